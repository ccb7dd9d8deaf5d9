"""`lowbit embed`: a vector for each text, word or token, as .npy, .npz or JSON lines."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.cli.console import Console, table
from lowbit.cli.exit_codes import OK
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, peak_memory
from lowbit.cli.outputs import check_output
from lowbit.cli.picture import MISSING
from lowbit.cli.task import find_model, formats
from lowbit.errors import FileFormatError
from lowbit.files import read_labelled, read_texts, replace_file
from lowbit.files.static_folder import is_static_folder
from lowbit.models import ContextualVectors, Encoder, StaticEncoder, compare_senses
from lowbit.models.layer_choice import chosen_layers
from lowbit.models.picture import show_words

OUTPUTS = (".npy", ".jsonl")
Found = np.ndarray | ContextualVectors


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, embed, write, draw; returns the exit code."""
    unit = _check_options(args)
    texts, labels = _read(args)
    name, folder = find_model(args)
    encoder = _read_model(args, unit, folder)
    watch = Stopwatch()
    with console.progress("embedding") as bar:

        def show(done: int, total: int) -> None:
            bar.update(done, total, f"{done / watch.seconds:.0f} texts/s")

        found = _embed(args, encoder, unit, texts, show)
    seconds = watch.seconds
    if unit != "text" and not len(found.names):
        what = f"of the words {args.words}" if args.words else f"{unit}s"
        raise ValueError(f"embed: {args.input}: there are none {what}")
    senses = _senses(found, labels)
    picture = _draw(args, encoder, name, found, texts, labels, console) if args.plot else None
    found = _scaled(args, found)
    if args.output is None and args.plot is None:
        for line in _json_lines(texts, found):
            sys.stdout.write(line)
        return OK
    if args.output is not None:
        _write(Path(args.output), texts, found)
    report = {
        "command": "embed",
        "machine": machine(),
        "model": {"name": name, "format": encoder.format, "bytes": encoder.nbytes},
        "output": args.output,
        "texts": len(texts),
        "unit": unit,
        "vectors": len(_rows(found)),
        "layer": args.layer if isinstance(encoder, Encoder) else None,
        "dimension": _rows(found).shape[1],
        "texts_per_second": len(texts) / seconds,
        "peak_memory_bytes": peak_memory(),
    }
    report |= {"senses": senses} if senses else {}
    report |= {"picture": None if picture == MISSING else picture} if args.plot else {}
    console.result(table(_closing_rows(report, picture)))
    console.document(report)
    return OK


def _closing_rows(report: dict[str, Any], picture: str | None) -> list[tuple[str, str]]:
    model = report["model"]
    rows = [
        ("texts", f"{report['texts']}"),
        ("vectors", f"{report['vectors']} of {report['dimension']} values"),
        ("model", f"{model['name']}, {model['format']}, {megabytes(model['bytes'])}"),
        ("speed", f"{report['texts_per_second']:.0f} texts/s"),
        ("peak memory", megabytes(report["peak_memory_bytes"])),
        ("kernels", machine_line()),
        *_sense_rows(report.get("senses")),
    ]
    rows += [("written", report["output"])] if report["output"] else []
    return rows + ([("picture", picture)] if picture else [])


def _rows(found: Found) -> np.ndarray:
    return found if isinstance(found, np.ndarray) else found.vectors


def _check_options(args: argparse.Namespace) -> str:
    """What gets a vector; refuses options that do not go together before any work."""
    unit = args.unit or ("word" if args.words else "text")
    if args.words and unit != "word":
        raise ValueError(f"embed: --words asks for words, --unit {unit} does not; leave one out")
    if args.plot and not args.words:
        raise ValueError("embed: --plot draws the words of --words; name some")
    if args.label_column and not args.words:
        raise ValueError("embed: --label-column is for the senses of --words; name some")
    if unit != "text" and args.pooling:
        raise ValueError("embed: --pooling is for vectors of texts; words have --pieces")
    if args.output is not None:
        check_output("embed", args.output, OUTPUTS if unit == "text" else (*OUTPUTS, ".npz"))
    if args.plot is not None:
        check_output("embed", args.plot, (".png",), "--plot")
    return unit


def _read_model(args: argparse.Namespace, unit: str, folder: Path) -> Encoder | StaticEncoder:
    """The model in the formats asked for; a table as it is, which has no layers to ask about."""
    if not is_static_folder(folder):
        return Encoder.from_pretrained(folder, double_quant=True, **formats(args, folder))
    asked = {
        "--unit word or token": unit != "text",
        "--layer": args.layer != [-1],
        "--pooling": args.pooling,
        "--format": args.format,
        "--embeddings": args.embeddings,
    }
    if wrong := [option for option, given in asked.items() if given]:
        raise ValueError(
            f"embed: {args.model} is a table of static vectors, without layers or formats to "
            f"choose; leave out {' and '.join(wrong)}"
        )
    return StaticEncoder.from_pretrained(folder)


def _embed(
    args: argparse.Namespace,
    encoder: Encoder | StaticEncoder,
    unit: str,
    texts: list[str],
    progress: Any,
) -> Found:
    if isinstance(encoder, StaticEncoder):
        return encoder.embed(texts, normalize=False, progress=progress)
    options: dict[str, Any] = {
        "batch_size": args.batch_size,
        "normalize": False,
        "progress": progress,
        "layer": args.layer,
        "combine": args.combine,
    }
    if unit == "text":
        return encoder.embed(texts, pooling=args.pooling, **options)
    if unit == "token":
        return encoder.embed_tokens(texts, **options)
    return encoder.embed_words(texts, args.words, pieces=args.pieces, **options)


def _scaled(args: argparse.Namespace, found: Found) -> Found:
    """With the mean and the lengths that were asked for."""
    if args.center and isinstance(found, ContextualVectors):
        found = found.centered()
    elif args.center and len(found):
        found = (found - found.mean(axis=0, dtype=np.float64)).astype(np.float32)
    if args.no_normalize:
        return found
    if isinstance(found, ContextualVectors):
        return replace(found, vectors=_core.l2_normalize(found.vectors))
    return _core.l2_normalize(found)


def _senses(found: Found, labels: list[str] | None) -> dict[str, Any] | None:
    """How vectors without their mean tell the labels apart."""
    if labels is None or isinstance(found, np.ndarray):
        return None
    whole = ~found.cut
    own = np.array(labels)[found.text_ids[whole]]
    if len(own) < 2 or len(set(own.tolist())) < 2:
        return None
    report = compare_senses(found.centered().vectors[whole], own)
    return {
        "cosine_same": None if np.isnan(report.same) else report.same,
        "cosine_other": report.other,
        "nearest_same": report.nearest,
        "words": report.count,
    }


def _sense_rows(senses: dict[str, Any] | None) -> list[tuple[str, str]]:
    if senses is None:
        return []
    same = "-" if senses["cosine_same"] is None else f"{senses['cosine_same']:+.3f}"
    return [
        ("mean cosine", f"same sense {same}, other {senses['cosine_other']:+.3f}, centred"),
        ("nearest", f"{senses['nearest_same']} of {senses['words']} have the same sense"),
    ]


def _draw(
    args: argparse.Namespace,
    encoder: Encoder,
    name: str,
    found: ContextualVectors,
    texts: list[str],
    labels: list[str] | None,
    console: Console,
) -> str:
    """The words before the first layer, where all senses look alike, and at the layer asked for."""
    shown = {}
    if args.layer != [0]:
        with warnings.catch_warnings():  # of long texts, which were told before
            warnings.simplefilter("ignore")
            first = encoder.embed_words(texts, args.words, pieces=args.pieces, layer=0)
        shown["layer 0: token and place alone"] = first
    count = len(encoder.layers)
    layers = ", ".join(str(number) for number in chosen_layers(args.layer, count))
    shown[f"layer {layers}"] = found
    title = f"{', '.join(args.words)} in {len(texts)} texts, {name} in {encoder.format}"
    try:
        return show_words(shown, texts, args.plot, labels, title)
    except ModuleNotFoundError:
        console.notice(f"the picture is {MISSING}")
        return MISSING


def _read(args: argparse.Namespace) -> tuple[list[str], list[str] | None]:
    """The texts of a file, or the lines of standard input; and their labels."""
    if args.input == "-":
        return _read_standard_input(args), None
    options = {"allow_empty": args.allow_empty}
    if args.label_column is None:
        return read_texts(args.input, args.text_column, **options), None
    texts, ids, names = read_labelled(
        args.input, args.text_column, args.label_column, allow_one_class=True, **options
    )
    return texts, [names[i] for i in ids]


def _read_standard_input(args: argparse.Namespace) -> list[str]:
    if args.text_column is not None or args.label_column is not None:
        raise ValueError("embed: standard input has one text a line, and no columns")
    data = sys.stdin.buffer.read()
    try:
        # Not splitlines(): it would also break a line at the rarer Unicode separators.
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FileFormatError(f"standard input, line {line}: not UTF-8") from None
    if not data:
        raise FileFormatError("standard input: empty")
    for index, line in enumerate(lines, start=1):
        if not line.strip() and not args.allow_empty:
            raise FileFormatError(
                f"standard input, line {index}: empty text; remove it or pass --allow-empty"
            )
    return lines


def _json_lines(texts: Sequence[str], found: Found) -> Iterable[str]:
    if isinstance(found, np.ndarray):
        for text, vector in zip(texts, found, strict=True):
            yield _json_line({"text": text}, vector)
        return
    unit = zip(found.names, found.text_ids, found.spans.tolist(), found.vectors, strict=True)
    for (name, text, (begin, end), vector), cut in zip(unit, found.cut, strict=True):
        place = {"text": texts[text], "name": name, "begin": begin, "end": end}
        yield _json_line(place, None if cut else vector)


def _json_line(row: dict[str, Any], vector: np.ndarray | None) -> str:
    # repr of a float32 made double is long; 9 digits give the same float32 back.
    values = None if vector is None else [float(f"{value:.9g}") for value in vector.tolist()]
    return json.dumps(row | {"vector": values}, ensure_ascii=False) + "\n"


def _write(path: Path, texts: Sequence[str], found: Found) -> None:
    with replace_file(path) as stream:
        if path.suffix == ".jsonl":
            for line in _json_lines(texts, found):
                stream.write(line.encode())
        elif isinstance(found, np.ndarray):
            np.save(stream, found, allow_pickle=False)
        elif path.suffix == ".npy":
            np.save(stream, found.vectors, allow_pickle=False)
        else:
            arrays = {name: getattr(found, name) for name in ("vectors", "indptr", "spans", "cut")}
            np.savez(stream, **arrays, names=np.array(found.names, np.str_))
