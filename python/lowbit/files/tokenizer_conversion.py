"""Tokenizers of other formats as a tokenizer.json can hold them, where that changes no result."""

from __future__ import annotations

from dataclasses import replace

from lowbit.files.tokenizer_components import COUNTED_PLUS, DECODERS, NORMALIZERS, PRE_TOKENIZERS
from lowbit.tokenizers.alphabet import ALPHABET
from lowbit.tokenizers.numbering import number_added
from lowbit.tokenizers.patterns import CL100K
from lowbit.tokenizers.spec import Bpe, Step, TokenizerSpec, Unigram

# The engine of the tokenizers library repeats {1,3}+ as a group. Nothing follows the digits that
# could take one back, so the + changes nothing.
PATTERNS = {CL100K: CL100K.replace("{1,3}+", "{1,3}")}


def for_tokenizer_json(spec: TokenizerSpec) -> TokenizerSpec:
    """A tokenizer with equal results that has only what a tokenizer.json holds.

    Ranks become merges. Whether special tokens written in a text are read as such by default is not
    in the file: the tokenizers library always does it.

    Raises
    ------
    ValueError
        Names what the format cannot hold.
    """
    if isinstance(spec.model, Bpe) and spec.model.ranked:
        spec = _ranked(spec)
    missing = _not_held(spec)
    if missing:
        raise ValueError(
            f"Tokenizer.save: a tokenizer.json cannot hold {', '.join(missing)}; nothing was "
            "written. Keep the file that the tokenizer was read from"
        )
    _check_numbers(spec)
    return replace(spec, asks_for_special=False)


def _not_held(spec: TokenizerSpec) -> list[str]:
    """What the format has no place for."""
    found = []
    for kind, table, steps in (
        ("normalizer", NORMALIZERS, spec.normalizers),
        ("pre-tokenizer", PRE_TOKENIZERS, spec.pre_tokenizers),
        ("decoder", DECODERS, spec.decoders),
    ):
        found += [f'the {kind} "{step.type}"' for step in steps if step.type not in table]
    for step in spec.pre_tokenizers:
        if COUNTED_PLUS.search(step.options.get("pattern", {}).get("Regex", "")):
            found.append("a + behind a counted repeat in a pattern")
    if isinstance(spec.model, Bpe) and spec.model.scores:
        found.append("byte-pair encoding by the scores of sentencepiece")
    if isinstance(spec.model, Unigram) and spec.model.types:
        found.append("the types of sentencepiece's pieces")
    if spec.surfaces:
        found.append("texts of tokens that do not stand for themselves")
    return found


def _check_numbers(spec: TokenizerSpec) -> None:
    ordered = sorted(spec.added, key=lambda token: token.id)
    given = number_added([token.content for token in ordered], spec.model.vocabulary)
    for token in ordered:
        if given.get(token.content) != token.id:
            raise ValueError(
                f"Tokenizer.save: readers of a tokenizer.json would give the added token "
                f"{token.content!r} the id {given.get(token.content)}, not {token.id}; nothing was "
                "written"
            )


def _ranked(spec: TokenizerSpec) -> TokenizerSpec:
    """Ranks as merges, and special tokens with ids of their own choice in the vocabulary."""
    vocabulary = dict(spec.model.vocabulary.items())
    merges, unreached = derive_merges(vocabulary)
    ordered = sorted(spec.added, key=lambda token: token.id)
    contents = [token.content for token in ordered]
    if number_added(contents, vocabulary) != {token.content: token.id for token in ordered}:
        if unreached:
            # A special token that is to be read as text could be found as a word.
            raise ValueError(
                f"Tokenizer.save: a tokenizer.json cannot hold both {unreached} tokens that no "
                "merges make and special tokens whose ids do not follow the vocabulary's; nothing "
                "was written"
            )
        vocabulary |= {token.content: token.id for token in ordered}
    model = Bpe(vocabulary, merges, ignore_merges=unreached > 0)
    steps = tuple(_without_counted_plus(step) for step in spec.pre_tokenizers)
    return replace(spec, model=model, pre_tokenizers=steps)


def _without_counted_plus(step: Step) -> Step:
    expression = step.options.get("pattern", {}).get("Regex")
    if expression not in PATTERNS:
        return step
    return Step(step.type, {**step.options, "pattern": {"Regex": PATTERNS[expression]}})


def derive_merges(vocabulary: dict[str, int]) -> tuple[list[list[str]], int]:
    """The merges that do what ranks do, and how many tokens they do not make.

    Within a text, merges that stay inside a token go as they would in the token alone, so each
    token has one merge: of the two parts that are left of it when those of all shorter tokens have
    been done. Tokens with more parts than two come up as whole words only.

    Parameters
    ----------
    vocabulary
        Tokens in GPT-2's alphabet and their ranks.

    Examples
    --------
    >>> derive_merges({"a": 0, "b": 1, "ab": 2, "aba": 3, "bbb": 4})
    ([['a', 'b'], ['ab', 'a']], 1)
    """
    made: dict[tuple[str, str], int] = {}
    unreached = 0
    bytes_of = set(ALPHABET)
    for token in sorted(vocabulary, key=len):
        if len(token) < 2:
            continue
        parts = _merged(list(token), made) if bytes_of.issuperset(token) else []
        if len(parts) == 2 and parts[0] in vocabulary and parts[1] in vocabulary:
            made[parts[0], parts[1]] = vocabulary[token]
        else:
            unreached += 1
    return [list(pair) for pair in sorted(made, key=made.__getitem__)], unreached


def _merged(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Parts after all merges, the lowest rank first and then the leftmost."""
    while len(parts) > 1:
        found = [
            (rank, i)
            for i in range(len(parts) - 1)
            if (rank := ranks.get((parts[i], parts[i + 1]))) is not None
        ]
        if not found:
            break
        i = min(found)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts
