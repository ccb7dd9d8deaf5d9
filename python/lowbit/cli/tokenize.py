"""`lowbit tokenize`: the tokens of a text in colour, as numbers, or in a file; and back."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from typing import Any

import numpy as np

from lowbit.cli.console import Console, clock_time, table
from lowbit.cli.exit_codes import OK
from lowbit.cli.ids_files import IdsFile, read_ids
from lowbit.cli.measurements import Stopwatch, machine
from lowbit.cli.outputs import check_output
from lowbit.cli.text_input import input_name
from lowbit.cli.token_stream import TokenStream
from lowbit.files import find_bundled_model, write_file
from lowbit.tokenizers import Tokenizer
from lowbit.tokenizers.pieces import Names, Piece, text_pieces
from lowbit.tokenizers.screen import Marks, color_count, marks_of, printable
from lowbit.tokenizers.view import terminal_text

OUTPUTS = (".npz", ".npy")


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, encode, show; returns the exit code."""
    if args.output is not None:
        check_output("tokenize", args.output, () if args.decode else OUTPUTS)
    tokenizer, name = _tokenizer(args)
    if args.decode:
        return _decode(args, tokenizer, console)
    console.unfinished = "no file was written"
    watch = Stopwatch()
    stream = TokenStream(args.input, tokenizer, args.lines, not args.no_special, console)
    detailed = args.json and not (args.count or args.ids or args.output)
    with stream:
        if args.output is not None:
            arrays = _write(args, stream)
        elif args.json:
            arrays = _collect(stream, detailed or args.offsets, args.ids)
        elif args.count:
            arrays = _print_counts(args, stream, console)
        elif args.ids:
            arrays = _print_ids(args, stream)
        elif args.offsets:
            arrays = _print_offsets(stream)
        else:
            arrays = _show(args, stream)
    _summarize(args, stream, name, watch.seconds, arrays, console)
    return OK


def _tokenizer(args: argparse.Namespace) -> tuple[Tokenizer, str]:
    """The tokenizer of `--tokenizer`, or of the bundled model, and its name."""
    if args.tokenizer is not None:
        return Tokenizer.from_file(args.tokenizer, pattern=args.pattern), args.tokenizer
    if args.pattern is not None:
        raise ValueError("tokenize: --pattern goes with --tokenizer and a .tiktoken file")
    try:
        folder = find_bundled_model(verify=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"tokenize: name a tokenizer with --tokenizer PATH; {error}"
        ) from None
    return Tokenizer.from_file(folder), "all-MiniLM-L6-v2"


def _summarize(
    args: argparse.Namespace,
    stream: TokenStream,
    name: str,
    seconds: float,
    arrays: dict[str, Any],
    console: Console,
) -> None:
    counts = stream.counts
    if args.output is not None:
        rows = [
            ("ids", f"int32, {args.output}"),
            ("texts", f"{stream.texts:,}"),
            ("length", str(counts)),
            ("tokenizer", name),
            ("time", f"{clock_time(seconds)}, {counts.bytes / seconds / 1e6:.1f} MB/s"),
        ]
        console.result(table(rows))
    elif not (args.json or args.count or args.ids or args.offsets):
        console.say(f"\n{counts}")
    console.document(
        {
            "command": "tokenize",
            "machine": machine(),
            "input": input_name(args.input),
            "tokenizer": name,
            "output": args.output,
            "texts": stream.texts,
            "summary": counts.summary(),
            "seconds": seconds,
        }
        | arrays
    )


def _write(args: argparse.Namespace, stream: TokenStream) -> dict[str, Any]:
    with IdsFile(args.output) as file:
        for ids, lengths in stream.ids():
            file.write(ids, lengths)
    return {}


def _collect(stream: TokenStream, detailed: bool, ids_wanted: bool) -> dict[str, Any]:
    """Arrays of the JSON document: those of a `Batch`, and with `detailed` those of encodings."""
    ids: list[int] = []
    lengths: list[int] = []
    tokens: list[str] = []
    offsets: list[list[int]] = []
    if not detailed:
        for some, counts in stream.ids():
            ids += some.tolist() if ids_wanted else []
            lengths += counts.tolist()
        arrays = {"ids": ids} if ids_wanted else {}
        return arrays | {"indptr": [0, *np.cumsum(lengths).tolist()]}
    for text in stream.encodings():
        start = len(ids)
        for _, encoding, shift in text:
            ids += encoding.ids.tolist()
            tokens += encoding.tokens
            offsets += (encoding.offsets + shift).tolist()
        lengths.append(len(ids) - start)
    indptr = [0, *np.cumsum(lengths).tolist()]
    return {"ids": ids, "indptr": indptr, "tokens": tokens, "offsets": offsets}


def _print_counts(
    args: argparse.Namespace, stream: TokenStream, console: Console
) -> dict[str, Any]:
    for _, lengths in stream.ids():
        if args.lines:
            sys.stdout.write("".join(f"{n}\n" for n in lengths.tolist()))
    if not args.lines:
        console.result(str(stream.counts.tokens))
    return {}


def _print_ids(args: argparse.Namespace, stream: TokenStream) -> dict[str, Any]:
    """A line for each text; that of a whole file grows as the file is read."""
    separator = ""
    for ids, lengths in stream.ids():
        if args.lines:
            parts = np.split(ids, np.cumsum(lengths)[:-1])
            sys.stdout.write("".join(f"{_spaced(part)}\n" for part in parts))
        elif len(ids):
            sys.stdout.write(separator + _spaced(ids))
            separator = " "
    if not args.lines:
        sys.stdout.write("\n")
    return {}


def _spaced(ids: np.ndarray) -> str:
    return " ".join(map(str, ids.tolist()))


def _print_offsets(stream: TokenStream) -> dict[str, Any]:
    """A line for each token, an empty one between texts."""
    for number, text in enumerate(stream.encodings()):
        sys.stdout.write("\n" if number else "")
        for _, encoding, shift in text:
            rows = zip(
                encoding.ids.tolist(),
                (encoding.offsets + shift).tolist(),
                encoding.tokens,
                strict=True,
            )
            for id, (begin, end), token in rows:
                # As JSON, so that every token is on one line and can be read back.
                written = json.dumps(token, ensure_ascii=not token.isprintable())
                sys.stdout.write(f"{id}\t{begin}\t{end}\t{written}\n")
    return {}


def _show(args: argparse.Namespace, stream: TokenStream) -> dict[str, Any]:
    """The tokens in colour, or with bars between them where there is none."""
    colors, marks = color_count(sys.stdout, args.color), marks_of(sys.stdout)
    names = Names.of(stream.tokenizer.spec)
    shown = 0
    limit = args.head or None
    for text in stream.encodings(limit):
        ended = True
        for part, encoding, _ in text:
            pieces = _first(text_pieces(encoding, part, names), limit and limit - shown)
            written = terminal_text(pieces, colors, marks, shown, begun=not ended)
            sys.stdout.write(written)
            shown += sum(piece.kind != "gap" for piece in pieces)
            ended = written.endswith("\n") if written else ended
        sys.stdout.write("" if ended else "\n")
    if shown < stream.counts.tokens:
        left = stream.counts.tokens - shown
        sys.stdout.write(f"... {left:,} more tokens; --head 0 shows all\n")
    return {}


def _first(pieces: list[Piece], count: int | None) -> list[Piece]:
    """Up to so many tokens and what is between them."""
    if count is None:
        return pieces
    places = [i for i, piece in enumerate(pieces) if piece.kind != "gap"]
    return pieces if len(places) <= count else pieces[: places[count]]


def _decode(args: argparse.Namespace, tokenizer: Tokenizer, console: Console) -> int:
    """Ids to text: one text as it is, several with a line for each."""
    ids, indptr = read_ids(args.input)
    parts = [ids[a:b] for a, b in pairwise(indptr.tolist())]
    try:
        texts = [tokenizer.decode(part, skip_special_tokens=args.no_special) for part in parts]
    except IndexError as error:
        raise ValueError(f"{input_name(args.input)}: {error}") from None
    text = texts[0] if len(texts) == 1 else "".join(f"{text}\n" for text in texts)
    if args.output is not None:
        write_file(args.output, text.encode("utf-8"))
        rows = [("text", f"{len(text):,} characters, {args.output}"), ("ids", f"{len(ids):,}")]
        console.result(table(rows))
    elif not args.json and sys.stdout.isatty():
        # What a terminal gets must not command it.
        plain = Marks(" ", "", "\t")
        console.result("".join(shown for shown, _ in printable(text, plain)))
    elif not args.json:
        sys.stdout.buffer.write(text.encode("utf-8"))
    console.document(
        {
            "command": "tokenize",
            "input": input_name(args.input),
            "output": args.output,
            "ids": len(ids),
        }
        | ({} if args.output else {"texts": texts})
    )
    return OK
