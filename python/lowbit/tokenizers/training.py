"""Vocabularies of words and characters from a corpus."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from lowbit import _core
from lowbit.tokenizers.plan import kernel_arguments
from lowbit.tokenizers.spec import AddedToken, Step, TokenizerSpec, WordLevel

REPORT_EVERY = 100_000  # lines


def train(
    corpus: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    model: str,
    vocab_size: int | None,
    special_tokens: list[str],
    lowercase: bool,
    min_count: int,
    progress: bool,
) -> TokenizerSpec:
    """Count, rank, number; see `Tokenizer.train`."""
    if model not in ("word", "character"):
        raise ValueError(
            f'Tokenizer.train: model="{model}" cannot be trained; use "word" or "character"'
        )
    if not special_tokens or len(set(special_tokens)) != len(special_tokens):
        raise ValueError(
            "Tokenizer.train: special_tokens must name each token once, the unknown one first"
        )
    if vocab_size is not None and vocab_size <= len(special_tokens):
        raise ValueError(
            f"Tokenizer.train: vocab_size={vocab_size} has no room beside "
            f"{len(special_tokens)} special tokens"
        )
    specials = {token: id for id, token in enumerate(special_tokens)}
    added = tuple(AddedToken(token, id) for token, id in specials.items())
    empty = TokenizerSpec(
        WordLevel(dict(specials), special_tokens[0]),
        **_chain(model, lowercase),
        added=added,
        pad_token="[PAD]" if "[PAD]" in specials else None,
    )
    counts = _count(corpus, empty, progress)
    ranked = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    words = [word for _, word in ranked if word not in specials]
    if not words:
        raise ValueError("Tokenizer.train: the corpus has no words")
    if vocab_size is not None:
        words = words[: vocab_size - len(specials)]
    vocabulary = specials | {word: len(specials) + i for i, word in enumerate(words)}
    return replace(empty, model=WordLevel(vocabulary, special_tokens[0]))


# The split of a character tokenizer, as the tokenizers library would do it.
_CHARACTERS = {"pattern": {"Regex": "(?m)."}, "behavior": "Isolated", "invert": False}


def _chain(model: str, lowercase: bool) -> dict[str, tuple[Step, ...]]:
    """Steps before and behind a model of words or characters."""
    bert = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    if model == "word":
        return {
            "normalizers": (Step("BertNormalizer", {**bert, "lowercase": lowercase}),),
            "pre_tokenizers": (Step("BertPreTokenizer"),),
        }
    # Characters keep every space and control unless the case is to be lowered.
    nothing = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": None}
    lowered = Step("BertNormalizer", {**nothing, "lowercase": True})
    return {
        "normalizers": (lowered,) if lowercase else (),
        "pre_tokenizers": (Step("Split", _CHARACTERS),),
        "decoders": (Step("Fuse"),),
    }


def _count(corpus: object, spec: TokenizerSpec, progress: bool) -> Counter[str]:
    splitter = _core.Tokenizer(**kernel_arguments(spec))
    counts: Counter[str] = Counter()
    for number, line in enumerate(_lines(corpus), start=1):
        counts.update(splitter.split(line))
        if progress and number % REPORT_EVERY == 0:
            print(f"{number} lines, {len(counts)} different words", file=sys.stderr)
    return counts


def _lines(corpus: object) -> Iterator[str]:
    if isinstance(corpus, str | os.PathLike):
        corpus = [Path(corpus)]
    if not isinstance(corpus, Iterable):
        raise TypeError(
            f"Tokenizer.train: corpus is a {type(corpus).__name__}; pass a path or texts"
        )
    for item in corpus:
        if isinstance(item, os.PathLike):
            with open(item, encoding="utf-8", newline="") as file:
                yield from file
        elif isinstance(item, str):
            yield item
        else:
            raise TypeError(
                f"Tokenizer.train: the corpus holds a {type(item).__name__}; pass strings or paths"
            )
