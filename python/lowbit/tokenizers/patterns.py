"""The regular expressions that cut texts into words, by the names people know them by.

A vocabulary in tiktoken's format does not say which one it was made with; `Tokenizer.from_file`
takes a name or an expression for it.
"""

from __future__ import annotations

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
R50K = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
LLAMA3 = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
)
KIMI_K2 = (
    rf"[\p{{Han}}]+"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER[1:-1]}&&[^\p{{Han}}]]*[{_LOWER[1:-1]}&&[^\p{{Han}}]]+"
    rf"{_CONTRACTION}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER[1:-1]}&&[^\p{{Han}}]]+[{_LOWER[1:-1]}&&[^\p{{Han}}]]*"
    rf"{_CONTRACTION}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
)

PATTERNS = {
    "gpt2": GPT2,
    "r50k": R50K,
    "p50k": R50K,
    "whisper": R50K,
    "cl100k": CL100K,
    "o200k": O200K,
    "llama3": LLAMA3,
    "llama4": O200K,
    "qwen2": QWEN2,
    "qwen": QWEN2,
    "kimi-k2": KIMI_K2,
}


def find_pattern(name: str) -> str:
    """The expression of a name; anything with other than letters, digits, - and _ is one itself.

    Raises
    ------
    ValueError
        For a name that is not known.

    Examples
    --------
    >>> find_pattern("r50k") == R50K, find_pattern(r"\\w+|\\W")
    (True, '\\\\w+|\\\\W')
    """
    if name.removesuffix("_base") in PATTERNS:
        return PATTERNS[name.removesuffix("_base")]
    if name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(
            f'Tokenizer.from_file: pattern="{name}" is not known; use a regular expression or one '
            f"of {', '.join(PATTERNS)}"
        )
    return name
