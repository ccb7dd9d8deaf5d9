"""Vocabularies as lists: BERT's vocab.txt, and GPT-2's vocab.json with merges.txt beside it."""

from __future__ import annotations

from pathlib import Path

from lowbit.errors import FileFormatError
from lowbit.files.tokenizer_models import read_vocabulary
from lowbit.files.untrusted import MAX_TOKENIZER_BYTES, parse_json, read_bounded, shorten
from lowbit.tokenizers.spec import (
    AddedToken,
    Bpe,
    Step,
    TokenizerSpec,
    WordPiece,
    bert_templates,
)
from lowbit.tokenizers.steps import BERT_SPECIALS, bert_normalizer, byte_level

GPT2_SPECIALS = ("<|endoftext|>",)


def read_vocab_txt(path: Path) -> TokenizerSpec:
    """Read a vocab.txt of BERT: a token in every line, its number the id."""
    tokens = _read_lines(path)
    vocabulary: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if token in vocabulary:
            raise FileFormatError(
                f"{path}: line {number + 1} repeats {shorten(token)} of line "
                f"{vocabulary[token] + 1}"
            )
        vocabulary[token] = number
    for token in ("[UNK]", "[CLS]", "[SEP]"):
        if token not in vocabulary:
            raise FileFormatError(f"{path}: {token} is missing; is this a BERT vocabulary?")
    added = tuple(AddedToken(t, vocabulary[t]) for t in BERT_SPECIALS if t in vocabulary)
    single, pair = bert_templates(vocabulary["[CLS]"], vocabulary["[SEP]"])
    return TokenizerSpec(
        WordPiece(vocabulary),
        normalizers=(bert_normalizer(lowercase=_lowercase_beside(path)),),
        pre_tokenizers=(Step("BertPreTokenizer"),),
        decoders=(Step("WordPiece", {"prefix": "##", "cleanup": True}),),
        added=added,
        single=single,
        pair=pair,
        pad_token="[PAD]" if "[PAD]" in vocabulary else None,
    )


def _lowercase_beside(path: Path) -> bool:
    """do_lower_case of a tokenizer_config.json in the same folder; True where there is none."""
    config = path.with_name("tokenizer_config.json")
    if not config.exists():
        return True
    values = parse_json(read_bounded(config, MAX_TOKENIZER_BYTES), str(config))
    lower = values.get("do_lower_case", True) if isinstance(values, dict) else True
    if not isinstance(lower, bool):
        raise FileFormatError(f"{config}: do_lower_case must be true or false; got {lower!r}")
    return lower


def read_vocab_json(path: Path) -> TokenizerSpec:
    """Read a vocab.json, an object of tokens and ids, and the merges.txt in the same folder."""
    vocabulary = read_vocabulary(parse_json(read_bounded(path, MAX_TOKENIZER_BYTES), str(path)))
    beside = path.with_name(path.name.replace("vocab.json", "merges.txt"))
    if not beside.exists():
        raise FileFormatError(f"{path}: {beside.name} has to be in the same folder")
    lines = _read_lines(beside)
    merges = [line for line in lines[lines[:1] != [] and lines[0].startswith("#version") :] if line]
    specials = [token for token in GPT2_SPECIALS if token in vocabulary]
    return TokenizerSpec(
        Bpe(vocabulary, merges),
        pre_tokenizers=(byte_level(),),
        decoders=(byte_level(),),
        added=tuple(AddedToken(token, vocabulary[token]) for token in specials),
    )


def _read_lines(path: Path) -> list[str]:
    data = read_bounded(path, MAX_TOKENIZER_BYTES)
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: byte {error.start} is not UTF-8") from error
    if lines and not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
