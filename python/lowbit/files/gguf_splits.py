"""How texts are cut into words, by the names that GGUF files have for it (tokenizer.ggml.pre)."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.tokenizers.patterns import CL100K, GPT2, KIMI_K2, LLAMA3, O200K, QWEN2
from lowbit.tokenizers.spec import Step
from lowbit.tokenizers.steps import byte_level


@dataclass(frozen=True)
class Split:
    """Steps in front of the model, and what goes with them.

    Where ByteLevel is none of the steps it comes behind them. `frames`: the tokenizer puts tokens
    before and behind a text, as RoBERTa.
    """

    steps: tuple[Step, ...]
    ignore_merges: bool = False
    add_bos: bool = False
    frames: bool = False


def _cut(*expressions: str) -> tuple[Step, ...]:
    """Each expression cuts what the ones before it left."""
    return tuple(
        Step(
            "Split",
            {"pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False},
        )
        for expression in expressions
    )


_SINGLE_DIGITS = Step("Digits", {"individual_digits": True})
_FALCON = (
    Step("Punctuation", {"behavior": "Contiguous"}),
    byte_level(),
    Step("Digits", {"individual_digits": False}),  # of the letters that stand for bytes
    *_cut("[0-9][0-9][0-9]"),
)
_DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]")
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
_DEEPSEEK_CODER = (
    r"[\r\n]",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
    "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
    r"\p{N}",
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
_BAILING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_SEED_CODER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}"
    r"| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_GPT2 = Split(_cut(GPT2))
_LLAMA3 = Split(_cut(LLAMA3), ignore_merges=True, add_bos=True)
_DIGITS_GPT2 = Split((_SINGLE_DIGITS, *_cut(GPT2)))
_QWEN2 = Split(_cut(QWEN2))
_O200K = Split(_cut(O200K))

SPLITS: dict[str, Split] = {
    "default": Split(_cut(*_DEFAULT)),
    "falcon": Split(_FALCON),
    **dict.fromkeys(
        ("gpt-2", "phi-2", "gigachat", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "mpt",
         "olmo", "jais", "trillion", "granite-docling", "mellum", "modern-bert", "exaone4",
         "a.x-4.0"),
        _GPT2,
    ),
    **dict.fromkeys(("roberta-bpe", "jina-v1-en", "jina-v2-code"), Split(_cut(GPT2), frames=True)),
    **dict.fromkeys(
        ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
         "jina-v5-nano"),
        _LLAMA3,
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe"), Split(_cut(CL100K))),
    "chatglm-bpe": Split(_cut(LLAMA3)),
    **dict.fromkeys(("glm4", "glm5"), Split(_cut(LLAMA3), ignore_merges=True)),
    **dict.fromkeys(
        ("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan",
         "solar-open", "grok-2"),
        _QWEN2,
    ),
    "qwen35": Split(_cut(_QWEN35)),
    **dict.fromkeys(
        ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
         "mellum2"),
        _DIGITS_GPT2,
    ),
    **dict.fromkeys(
        ("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"), Split(_cut(*_DEEPSEEK_V3))
    ),
    "deepseek-coder": Split(_cut(*_DEEPSEEK_CODER)),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), Split(_cut(_BLOOM))),
    "viking": Split(_cut(_BLOOM, r"\p{N}")),
    "tekken": Split(_cut(_TEKKEN), ignore_merges=True, add_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "minimax-m2"), _O200K),
    "kimi-k2": Split(_cut(KIMI_K2)),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), Split(_cut(_BAILING))),
    "seed-coder": Split(_cut(_SEED_CODER)),
}  # fmt: skip
