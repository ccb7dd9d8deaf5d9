"""Training a vocabulary in other libraries, on documents in memory.

Each function returns what trains, and says in its name what cannot be made alike. A library that is
missing raises ImportError.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import Any

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def tokenizers_bpe(documents: list[str], size: int) -> Callable[[], list[tuple[str, str]]]:
    """Byte-level BPE of the tokenizers library; gives its merges."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    def train() -> list[tuple[str, str]]:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(documents, trainer)
        return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]

    return train


def rustbpe(documents: list[str], size: int) -> Callable[[], Any]:
    """karpathy/rustbpe."""
    import rustbpe

    def train() -> Any:
        tokenizer = rustbpe.Tokenizer()
        tokenizer.train_from_iterator(iter(documents), size, pattern=GPT2)
        return tokenizer.get_mergeable_ranks()

    return train


def gigatoken(documents: list[str], size: int) -> Callable[[], Any]:
    """gigatoken's trainer, which takes bytes with a separator between documents."""
    import gigatoken

    joined = "\0".join(documents).encode()
    return lambda: gigatoken.train_bpe(joined, size, [], separator=b"\0")


def lines(documents: list[str]) -> Iterator[str]:
    """What sentencepiece takes instead of documents."""
    return (line for text in documents for line in text.split("\n"))


def _sentencepiece(documents: list[str], size: int, kind: str) -> bytes:
    """With as many threads as the environment grants the rivals that use rayon."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines(documents),
        model_writer=model,
        vocab_size=size,
        model_type=kind,
        num_threads=int(os.environ["RAYON_NUM_THREADS"]),
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def sentencepiece_bpe(documents: list[str], size: int) -> Callable[[], bytes]:
    """sentencepiece's BPE of characters."""
    import sentencepiece  # noqa: F401, for the ImportError

    return lambda: _sentencepiece(documents, size, "bpe")


def sentencepiece_unigram(documents: list[str], size: int) -> Callable[[], bytes]:
    """sentencepiece's unigram."""
    import sentencepiece  # noqa: F401, for the ImportError

    return lambda: _sentencepiece(documents, size, "unigram")


def tokenizers_wordpiece(documents: list[str], size: int) -> Callable[[], Any]:
    """WordPiece of the tokenizers library."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    def train() -> Any:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=specials, show_progress=False
        )
        tokenizer.train_from_iterator(documents, trainer)
        return tokenizer

    return train
