"""Steps and names that several file formats and the trainers have in common."""

from __future__ import annotations

from lowbit.tokenizers.spec import Step

META = "\u2581"
"""Stands for a space in the tokens of sentencepiece."""

BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def byte_level(trim_offsets: bool = True, use_regex: bool = True) -> Step:
    """GPT-2's alphabet of bytes, as a pre-tokenizer or a decoder.

    Parameters
    ----------
    trim_offsets
        Leave the white space at the ends of tokens out of their places.
    use_regex
        Cut texts into words by GPT-2's pattern first.
    """
    return Step(
        "ByteLevel",
        {"add_prefix_space": False, "trim_offsets": trim_offsets, "use_regex": use_regex},
    )


def bert_normalizer(lowercase: bool, words: bool = True) -> Step:
    """BERT's normalizer.

    Parameters
    ----------
    lowercase
        Lower the case and strip accents.
    words
        Also drop controls and put spaces round Chinese characters, as before a split into words.
    """
    return Step(
        "BertNormalizer",
        {
            "clean_text": words,
            "handle_chinese_chars": words,
            "strip_accents": None,
            "lowercase": lowercase,
        },
    )
