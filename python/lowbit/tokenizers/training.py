"""Vocabularies from a corpus: words, characters, byte-pair encoding, WordPiece, Unigram."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from lowbit import _core
from lowbit.tokenizers.alphabet import byte_level_text
from lowbit.tokenizers.plan import kernel_arguments
from lowbit.tokenizers.spec import (
    AddedToken,
    Bpe,
    Step,
    TokenizerSpec,
    Unigram,
    WordLevel,
    WordPiece,
    bert_templates,
)
from lowbit.tokenizers.steps import BERT_SPECIALS, META, bert_normalizer, byte_level

REPORT_EVERY = 100_000  # lines
LINES_AT_ONCE = 1000
Progress = bool | Callable[[str, int, int], None]
DEFAULT_SIZE = 30_000  # of what has no natural size

# Special tokens that a model has unless others are asked for; the first ids are theirs.
SPECIAL_TOKENS = {
    "word": ("[UNK]",),
    "character": ("[UNK]",),
    "bpe": ("<|endoftext|>",),
    "wordpiece": BERT_SPECIALS,
    "unigram": ("<unk>", "<s>", "</s>"),
}


def train(
    corpus: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    model: str,
    vocab_size: int | None,
    special_tokens: list[str] | None,
    lowercase: bool | None,
    min_count: int,
    progress: Progress,
) -> TokenizerSpec:
    """Count, learn, number; see `Tokenizer.train`."""
    if model not in SPECIAL_TOKENS:
        names = ", ".join(f'"{name}"' for name in SPECIAL_TOKENS)
        raise ValueError(f'Tokenizer.train: model="{model}" cannot be trained; use {names}')
    if special_tokens is None:
        special_tokens = list(SPECIAL_TOKENS[model])
    if len(set(special_tokens)) != len(special_tokens):
        raise ValueError("Tokenizer.train: special_tokens must name each token once")
    if vocab_size is not None and vocab_size <= len(special_tokens):
        raise ValueError(
            f"Tokenizer.train: vocab_size={vocab_size} has no room beside "
            f"{len(special_tokens)} special tokens"
        )
    if model == "bpe" and lowercase:
        raise ValueError('Tokenizer.train: lowercase=True is not for model="bpe"; pass other texts')
    if model == "unigram" and min_count != 1:
        raise ValueError(
            f'Tokenizer.train: min_count={min_count} is not for model="unigram"; use 1'
        )
    if model == "bpe":
        return _bpe(corpus, vocab_size or DEFAULT_SIZE, special_tokens, min_count, progress)
    if model == "unigram":
        size = vocab_size or DEFAULT_SIZE
        return _unigram(corpus, size, special_tokens, bool(lowercase), progress)
    lower = lowercase is None or lowercase
    if model == "wordpiece":
        size = vocab_size or DEFAULT_SIZE
        return _wordpiece(corpus, size, special_tokens, lower, min_count, progress)
    return _whole(corpus, model, vocab_size, special_tokens, lower, min_count, progress)


def _whole(
    corpus: object,
    model: str,
    vocab_size: int | None,
    special_tokens: list[str],
    lowercase: bool,
    min_count: int,
    progress: Progress,
) -> TokenizerSpec:
    """Words or characters, the most frequent first."""
    if not special_tokens:
        raise ValueError("Tokenizer.train: special_tokens must name the unknown token first")
    specials = {token: id for id, token in enumerate(special_tokens)}
    empty = TokenizerSpec(
        WordLevel(dict(specials), special_tokens[0]),
        **_chain(model, lowercase),
        added=tuple(AddedToken(token, id) for token, id in specials.items()),
        pad_token="[PAD]" if "[PAD]" in specials else None,
    )
    splitter = _core.Tokenizer(**kernel_arguments(empty))
    counts: Counter[str] = Counter()
    for lines in _lines(corpus, progress):
        counts.update(chain.from_iterable(splitter.split(line) for line in lines))
    ranked = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    words = [word for _, word in ranked if word not in specials]
    if not words:
        raise ValueError("Tokenizer.train: the corpus has no words")
    if vocab_size is not None:
        words = words[: vocab_size - len(specials)]
    vocabulary = specials | {word: len(specials) + i for i, word in enumerate(words)}
    return replace(empty, model=WordLevel(vocabulary, special_tokens[0]))


def _bpe(
    corpus: object, vocab_size: int, special_tokens: list[str], min_count: int, progress: Progress
) -> TokenizerSpec:
    """Byte-level, as GPT-2: every byte is a token, so no text is unknown."""
    step = byte_level()
    empty = TokenizerSpec(
        Bpe({token: id for id, token in enumerate([*special_tokens, "a"])}, []),
        pre_tokenizers=(step,),
        decoders=(step,),
    )
    counts = _word_counts(corpus, empty, progress)
    tokens, merges = _core.train_bpe(
        counts, vocab_size, min_count, special_tokens, _reporter(progress)
    )
    texts = special_tokens + [byte_level_text(token) for token in tokens[len(special_tokens) :]]
    return replace(
        empty,
        model=Bpe(
            {text: id for id, text in enumerate(texts)},
            [[texts[left], texts[right]] for left, right in merges],
        ),
        added=tuple(AddedToken(token, id) for id, token in enumerate(special_tokens)),
    )


def _unigram(
    corpus: object, vocab_size: int, special_tokens: list[str], lowercase: bool, progress: Progress
) -> TokenizerSpec:
    """The most likely pieces (Kudo, 2018), with a space as part of the word behind it."""
    if not special_tokens:
        raise ValueError("Tokenizer.train: special_tokens must name the unknown token first")
    meta = Step("Metaspace", {"replacement": META, "prepend_scheme": "always", "split": True})
    empty = TokenizerSpec(
        Unigram([[special_tokens[0], 0.0]], 0),
        normalizers=(Step("NFKC"), *([Step("Lowercase")] if lowercase else [])),
        pre_tokenizers=(meta,),
        decoders=(meta,),
    )
    counts = _word_counts(corpus, empty, progress)
    tokens, scores = _core.train_unigram(counts, vocab_size, special_tokens, _reporter(progress))
    pieces = [[token.decode(), score] for token, score in zip(tokens, scores, strict=True)]
    added = tuple(AddedToken(token, id) for id, token in enumerate(special_tokens))
    return replace(empty, model=Unigram(pieces, 0), added=added)


def _wordpiece(
    corpus: object,
    vocab_size: int,
    special_tokens: list[str],
    lowercase: bool,
    min_count: int,
    progress: Progress,
) -> TokenizerSpec:
    """Pieces of words, as BERT; [CLS] and [SEP], where they are, go round a text."""
    if "[UNK]" not in special_tokens:
        raise ValueError('Tokenizer.train: special_tokens must hold "[UNK]" for model="wordpiece"')
    specials = {token: id for id, token in enumerate(special_tokens)}
    empty = TokenizerSpec(
        WordPiece(dict(specials)),
        **_chain("word", lowercase),
        decoders=(Step("WordPiece", {"prefix": "##", "cleanup": True}),),
        pad_token="[PAD]" if "[PAD]" in specials else None,
    )
    counts = _word_counts(corpus, empty, progress)
    made = _core.train_wordpiece(counts, vocab_size, min_count, special_tokens, _reporter(progress))
    framed = "[CLS]" in specials and "[SEP]" in specials
    single, pair = (
        bert_templates(specials["[CLS]"], specials["[SEP]"])
        if framed
        else (empty.single, empty.pair)
    )
    return replace(
        empty,
        model=WordPiece({token.decode(): id for id, token in enumerate(made)}),
        added=tuple(AddedToken(token, id) for token, id in specials.items()),
        single=single,
        pair=pair,
    )


# The split of a character tokenizer, as the tokenizers library would do it.
_CHARACTERS = {"pattern": {"Regex": "(?m)."}, "behavior": "Isolated", "invert": False}


def _chain(model: str, lowercase: bool) -> dict[str, tuple[Step, ...]]:
    """Steps before and behind a model of words or characters."""
    if model == "word":
        return {
            "normalizers": (bert_normalizer(lowercase),),
            "pre_tokenizers": (Step("BertPreTokenizer"),),
        }
    # Characters keep every space and control unless the case is to be lowered.
    return {
        "normalizers": (bert_normalizer(lowercase, words=False),) if lowercase else (),
        "pre_tokenizers": (Step("Split", _CHARACTERS),),
        "decoders": (Step("Fuse"),),
    }


def _word_counts(corpus: object, spec: TokenizerSpec, progress: Progress) -> _core.WordCounts:
    splitter = _core.Tokenizer(**kernel_arguments(spec))
    counts = _core.WordCounts()
    for lines in _lines(corpus, progress):
        counts.add(splitter, lines)
    if len(counts) == 0:
        raise ValueError("Tokenizer.train: the corpus has no words")
    return counts


def _reporter(progress: Progress) -> Callable[[str, int, int], None]:
    """What the trainers call now and then; it also lets Ctrl-C through."""

    def show(stage: str, done: int, total: int) -> None:
        if progress:
            end = "\n" if done == total else ""
            print(f"\r{stage}: {done} of {total}", end=end, file=sys.stderr)

    return progress if callable(progress) else show


def _lines(corpus: object, progress: Progress) -> Iterator[list[str]]:
    """The lines of the corpus, some at a time."""
    read, source = 0, _each_line(corpus)
    while lines := list(islice(source, LINES_AT_ONCE)):
        yield lines
        read += len(lines)
        if progress is True and read % REPORT_EVERY == 0:
            print(f"{read} lines", file=sys.stderr)


def _each_line(corpus: object) -> Iterator[str]:
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
