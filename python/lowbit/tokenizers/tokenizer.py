"""The tokenizer people use: built from files or a corpus, immutable, safe in any thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lowbit.errors import FileFormatError
from lowbit.tokenizers import training
from lowbit.tokenizers.encoder import TokenizerEncodes
from lowbit.tokenizers.numbering import with_added_tokens
from lowbit.tokenizers.spec import AddedToken
from lowbit.tokenizers.view import TokenView, view


class Tokenizer(TokenizerEncodes):
    """Text to ids and back; make one with `from_file` or `train`.

    Encoding never cuts or pads unless it is asked to: pass `max_length`, or use `Batch.pad`.

    Examples
    --------
    >>> tok = Tokenizer.train(["low bit", "low rank"], model="word")
    >>> tok.encode("Low bit model").tokens
    ['low', 'bit', '[UNK]']
    >>> tok.decode(tok.encode("low rank").ids)
    'low rank'
    """

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        pattern: str | None = None,
        special_tokens: dict[str, int] | None = None,
    ) -> Tokenizer:
        """Read a tokenizer of any format that is known.

        Parameters
        ----------
        path
            A tokenizer.json, a .tiktoken file, a .model of sentencepiece, a vocab.txt, a vocab.json
            with merges.txt beside it; or a folder with one of these.
        pattern, special_tokens
            What a file in tiktoken's format does not say: how texts are cut into words, as a
            regular expression or a name of `lowbit.tokenizers.patterns.PATTERNS`, and ids of
            special tokens. Published files are known by their digest.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FileFormatError
            If the file is broken, or asks for a component that is not supported; names it.
        """
        from lowbit.files.tokenizer_files import read_tokenizer

        spec = read_tokenizer(Path(path), pattern, special_tokens)
        try:
            return cls(spec)
        except ValueError as error:
            raise FileFormatError(f"{path}: {error}") from error

    @classmethod
    def train(
        cls,
        corpus: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        model: str = "word",
        vocab_size: int | None = None,
        special_tokens: Sequence[str] | None = None,
        lowercase: bool | None = None,
        min_count: int = 1,
        progress: bool | Callable[[str, int, int], None] = False,
    ) -> Tokenizer:
        """Make a vocabulary from a corpus; the same corpus always gives the same one.

        Parameters
        ----------
        corpus
            One path, or any number of texts (str) and files (pathlib.Path), read line by line.
        model
            "word": every word and punctuation mark; "character": every character; "bpe": byte-level
            byte-pair encoding as GPT-2, with the merges of the tokenizers library; "wordpiece":
            pieces of words as BERT; "unigram": the most likely pieces, as sentencepiece.
        vocab_size
            Tokens, special ones included. Of words and characters the most frequent are kept, ties
            in alphabetical order, and None is for all; for the others it is for 30,000.
        special_tokens
            Get the first ids. None: "[UNK]" for words and characters, where the first one stands
            for what is not in the vocabulary, as for "unigram", where they are "<unk>", "<s>" and
            "</s>"; BERT's five for "wordpiece"; "<|endoftext|>" for "bpe".
        lowercase
            Lower the case and strip accents first; for "unigram" only the first, and not for
            "bpe". None: for words, characters and "wordpiece".
        min_count
            Rarer words, or pairs of pieces, are left out; not for "unigram".
        progress
            Print how far it is to standard error now and then; or a function that learning calls
            with the name of a stage, how much of it is done, and of how much.

        Raises
        ------
        ValueError
            For another model, an empty corpus, a `vocab_size` with no room for a word, or an option
            that is not for the model.

        Examples
        --------
        >>> tok = Tokenizer.train(["low lower lowest"], model="bpe", vocab_size=260)
        >>> tok.encode("lowest").tokens
        ['low', 'e', 's', 't']
        """
        specials = None if special_tokens is None else list(special_tokens)
        return cls(
            training.train(corpus, model, vocab_size, specials, lowercase, min_count, progress)
        )

    def add_tokens(self, tokens: Iterable[str | AddedToken], special: bool = False) -> Tokenizer:
        """A tokenizer with more tokens that are cut out of texts; this one stays as it is.

        Ids are those that the tokenizers library gives: a token that exists keeps its own, with the
        new options; the others follow the highest.

        Parameters
        ----------
        tokens
            Strings, or `AddedToken`s with options of their own, whose ids are not looked at.
        special
            For strings: whether decoding can leave them out. Others are looked for in normalized
            texts, but in those of sentencepiece's models.

        Raises
        ------
        ValueError
            If the next id belongs to another token, in a vocabulary with gaps.

        Examples
        --------
        >>> tok = Tokenizer.train(["low bit"], model="word").add_tokens(["<user>"])
        >>> tok.encode("<user>low").tokens
        ['<user>', 'low']
        """
        return self._with_spec(with_added_tokens(self._spec, tokens, special))

    def show(self, text: str, add_special_tokens: bool = True) -> TokenView:
        """A text with its tokens in colour, for notebooks and terminals.

        Examples
        --------
        >>> Tokenizer.train(["low lower lowest"], model="bpe", vocab_size=260).show("lowest")
        low|e|s|t
        """
        return view(self, self.encode(text, add_special_tokens=add_special_tokens), text)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a tokenizer.json that the tokenizers library reads with equal results.

        Ranks of tiktoken become the merges that do the same; whether special tokens written in a
        text are read as such without `add_special_tokens` is not in the file: there it always is.

        Raises
        ------
        ValueError
            If the format cannot hold the tokenizer, as for those of sentencepiece; names what it
            cannot hold, and nothing is written.
        """
        from lowbit.files.tokenizer_json import write_tokenizer

        write_tokenizer(Path(path), self._spec)
