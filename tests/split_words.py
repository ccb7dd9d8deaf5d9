"""A tokenizer that only cuts texts, by an expression."""

from lowbit import _core
from lowbit.tokenizers.plan import kernel_arguments
from lowbit.tokenizers.spec import Step, TokenizerSpec, WordLevel


def word_splitter(expression: str) -> _core.Tokenizer:
    """Its words are those of a pre-tokenizer Split; every one of them is the token 0."""
    options = {"pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    spec = TokenizerSpec(WordLevel({"?": 0}, "?"), pre_tokenizers=(Step("Split", options),))
    return _core.Tokenizer(**kernel_arguments(spec))
