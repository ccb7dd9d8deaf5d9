"""How many tokens texts have, and texts of so many tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowbit.tokenizers.assembly import special_count
from lowbit.tokenizers.base import TokenizerBase
from lowbit.tokenizers.budget import longest_prefix
from lowbit.tokenizers.special_policy import Policy, specials_read

NO_LIMIT_OF_THREADS = (1 << 31) - 1


class TokenizerCounts(TokenizerBase):
    """A tokenizer that counts; use `Tokenizer`."""

    def count(
        self, text: str, parse_special: Policy | None = None, add_special_tokens: bool = False
    ) -> int:
        """How many tokens a text has, without making them; always without dropout.

        Parameters
        ----------
        add_special_tokens
            Count those of the template too.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> Tokenizer.train(["low bit"], model="word").count("low bit, low rank")
        5
        """
        special = specials_read(self._spec, parse_special, add_special_tokens)
        count = self._kernel.count(check_text(text), special)
        if add_special_tokens:
            count += special_count(self._template(False, True))
        return count

    def count_batch(
        self,
        texts: Sequence[str],
        parse_special: Policy | None = None,
        add_special_tokens: bool = False,
        num_threads: int | None = None,
    ) -> np.ndarray:
        """How many tokens each of many texts has, int64 [B]; see `count`.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> Tokenizer.train(["low bit"], model="word").count_batch(["low", "low bit"]).tolist()
        [1, 2]
        """
        special = specials_read(self._spec, parse_special, add_special_tokens)
        around = special_count(self._template(False, add_special_tokens))
        threads = most_threads("count_batch", num_threads)
        return around + self._kernel.count_batch(as_list("texts", texts), special, threads)

    def fits(
        self,
        text: str,
        max_tokens: int,
        parse_special: Policy | None = None,
        add_special_tokens: bool = False,
    ) -> bool:
        """Whether a text has at most `max_tokens` tokens; see `count`.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> Tokenizer.train(["low bit"], model="word").fits("low bit", 1)
        False
        """
        return self.count(text, parse_special, add_special_tokens) <= max_tokens

    def truncate(
        self,
        text: str,
        max_tokens: int,
        parse_special: Policy | None = None,
        add_special_tokens: bool = False,
    ) -> str:
        """The longest beginning of a text that has at most `max_tokens` tokens.

        What is returned fits: `count` of it is at most `max_tokens`. Nothing longer fits that ends
        in the word in which the tokens run out, or, where that word is longer, up to 64 characters
        behind the last token that fits. (A tokenizer may still spell a much longer text in fewer
        tokens: no more than that is looked at.)

        Raises
        ------
        ValueError
            If not even the tokens of the template fit.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> Tokenizer.train(["low bit"], model="word").truncate("low bit, low rank", 3)
        'low bit, '
        """
        special = specials_read(self._spec, parse_special, add_special_tokens)
        budget = max_tokens - special_count(self._template(False, add_special_tokens))
        if budget < 0:
            raise ValueError(
                f"Tokenizer.truncate: max_tokens={max_tokens} leaves no room for a text"
            )
        return longest_prefix(
            check_text(text),
            budget,
            lambda part: self._kernel.count(part, special),
            lambda part: self._kernel.encode(part, special)[:4],
        )


def check_text(text: Any) -> str:
    """The text, if it is one."""
    if not isinstance(text, str):
        raise TypeError(f"Tokenizer.encode: the text is a {type(text).__name__}; pass a string")
    return text


def as_list(argument: str, texts: Sequence[str]) -> list[str]:
    """Some texts as the kernels take them."""
    if isinstance(texts, str):
        raise TypeError(f"Tokenizer.encode_batch: {argument} is one string; pass a list of strings")
    return list(texts)


def most_threads(function: str, asked: int | None) -> int:
    """What the kernels take for `num_threads`."""
    if asked is not None and asked < 1:
        raise ValueError(f"Tokenizer.{function}: num_threads={asked} must be at least 1")
    return NO_LIMIT_OF_THREADS if asked is None else min(asked, NO_LIMIT_OF_THREADS)
