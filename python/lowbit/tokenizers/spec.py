"""Everything that defines a tokenizer, as checked plain data.

A tokenizer is a chain: normalizers change the text, pre-tokenizers cut it into words, a model turns
words into tokens, a template puts special tokens round them, decoders turn tokens back into text.
The steps are those of tokenizer.json, by their names there; other file formats are read into them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowbit.tokenizers.vocabulary import Merges, Pieces, Vocabulary

MAX_ID = (1 << 31) - 1


@dataclass(frozen=True)
class AddedToken:
    """A token that is cut out of the text before it is split.

    `special` tokens can be left out when decoding. A `normalized` one is looked for in the
    normalized text. `single_word`: only between characters that are not part of a word. `lstrip`
    and `rstrip`: with the white space before and behind. `Tokenizer.add_tokens` gives the `id`.
    """

    content: str
    id: int = -1
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


@dataclass(frozen=True)
class Step:
    """A normalizer, pre-tokenizer or decoder: its name in tokenizer.json, and all its options."""

    type: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WordPiece:
    """Greedy longest match; a word that cannot be spelled is one `unknown` token."""

    vocabulary: Mapping[str, int]
    unknown: str = "[UNK]"
    continuing_prefix: str = "##"
    max_characters: int = 100

    def __post_init__(self) -> None:
        _to_table(self)


@dataclass(frozen=True)
class WordLevel:
    """Every word is a token, or `unknown`."""

    vocabulary: Mapping[str, int]
    unknown: str = "[UNK]"

    def __post_init__(self) -> None:
        _to_table(self)


@dataclass(frozen=True)
class Bpe:
    """Byte-pair encoding: the merge of the lowest rank first.

    `merges` are pairs of tokens, or both with a space between, in order of rank. `ranked`: there
    are no merges, and two neighbours join when the result is a token, the one of the lowest id
    first; tokens are then bytes in GPT-2's alphabet. With `scores`, one for each token of the
    vocabulary, the one of the highest score comes first, as in sentencepiece. `dropout` is the
    probability that a merge is passed over where a call does not say another.
    """

    vocabulary: Mapping[str, int]
    merges: Sequence[Any]
    unknown: str | None = None
    continuing_prefix: str = ""
    end_of_word_suffix: str = ""
    fuse_unknown: bool = False
    byte_fallback: bool = False
    ignore_merges: bool = False
    ranked: bool = False
    scores: tuple[float, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _to_table(self)
        object.__setattr__(self, "merges", Merges.of(self.merges, self.vocabulary))


@dataclass(frozen=True)
class Unigram:
    """The most likely pieces, by the logarithms of their probabilities.

    With `types`, the numbers of sentencepiece's files, sums are made as that library makes them.
    """

    pieces: Sequence[Any]  # [token, score]; the place is the id
    unknown_id: int | None = None
    byte_fallback: bool = False
    types: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pieces", Pieces.of(self.pieces))

    @property
    def vocabulary(self) -> Vocabulary:
        """Tokens and ids; of equal tokens the last."""
        table = self.pieces.table
        return Vocabulary(table.to_dict() if table.has_equal_tokens() else table)

    @property
    def unknown(self) -> str | None:
        """The token of what cannot be spelled."""
        return None if self.unknown_id is None else self.pieces.table.text(self.unknown_id)


Model = WordPiece | WordLevel | Bpe | Unigram


def _to_table(model: WordPiece | WordLevel | Bpe) -> None:
    """Vocabularies are tables from the start, whatever they were given as."""
    if not isinstance(model.vocabulary, Vocabulary):
        object.__setattr__(model, "vocabulary", Vocabulary(model.vocabulary))


@dataclass(frozen=True)
class Slot:
    """One part of a template: the text "A", its pair "B", or, where `text` is "", fixed ids."""

    text: str
    ids: tuple[int, ...] = ()
    type_id: int = 0


def bert_templates(cls: int, sep: int) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """BERT's templates of one text, [CLS] A [SEP], and of two."""
    single = (Slot("", (cls,)), Slot("A"), Slot("", (sep,)))
    return single, (*single, Slot("B", type_id=1), Slot("", (sep,), 1))


STRATEGIES = ("longest_first", "only_first", "only_second")


@dataclass(frozen=True)
class Truncation:
    """How a file asks for longer texts to be cut, which is done only where a call asks for it.

    `strategy`: which text of a pair is cut. `direction`: "left" cuts the beginning. The windows of
    a text share `stride` tokens.
    """

    max_length: int
    stride: int = 0
    strategy: str = "longest_first"
    direction: str = "right"


@dataclass(frozen=True)
class Padding:
    """How a file asks for shorter texts to be filled up, which is done only by calls of `pad`.

    `length` None: that of the longest text.
    """

    length: int | None = None
    side: str = "right"
    multiple_of: int | None = None
    pad_id: int = 0
    pad_type_id: int = 0
    pad_token: str = "[PAD]"


@dataclass(frozen=True)
class TokenizerSpec:
    """A tokenizer.

    `trim` leaves the white space at the ends of tokens out of their places; "first": but not a
    space that was put before the text. `pad_token` fills up where no `padding` says otherwise.
    `asks_for_special`: special tokens written in a text are read as such only when special tokens
    are asked for, as in tiktoken. `surfaces` are the texts of tokens that do not stand for
    themselves.

    Raises
    ------
    ValueError
        If parts do not fit each other: an unknown token that is not in the vocabulary, two tokens
        with one id, ids that are negative or too large.
    """

    model: Model
    normalizers: tuple[Step, ...] = ()
    pre_tokenizers: tuple[Step, ...] = ()
    decoders: tuple[Step, ...] = ()
    added: tuple[AddedToken, ...] = ()
    single: tuple[Slot, ...] = (Slot("A"),)
    pair: tuple[Slot, ...] = (Slot("A"), Slot("B", type_id=1))
    trim: str = ""
    truncation: Truncation | None = None
    padding: Padding | None = None
    pad_token: str | None = None
    asks_for_special: bool = False
    surfaces: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vocabulary = self.model.vocabulary
        if not vocabulary:
            raise ValueError("Tokenizer: the vocabulary is empty")
        unknown = self.model.unknown
        if unknown is not None and unknown not in vocabulary:
            raise ValueError(f"Tokenizer: the unknown token {unknown!r} is not in the vocabulary")
        _check_ids(vocabulary, self.added)
        added = {token.id for token in self.added}
        for id in {id for slot in (*self.single, *self.pair) for id in slot.ids} - added:
            if id not in vocabulary.table.ids():
                raise ValueError(f"Tokenizer: the template uses id {id}, which is no token")
        if self.truncation is not None and self.truncation.max_length < 1:
            raise ValueError(
                f"Tokenizer: truncation to {self.truncation.max_length} tokens is no length"
            )

    @property
    def table(self) -> Any:
        """The model's tokens, a `_core.TokenTable`."""
        model = self.model
        return (model.pieces if isinstance(model, Unigram) else model.vocabulary).table

    def tokens_by_id(self) -> dict[int, str]:
        """Text of every token, the added ones included."""
        table = dict(zip(self.table.ids().tolist(), self.table.texts(), strict=True))
        table.update({token.id: token.content for token in self.added})
        return table


def _check_ids(vocabulary: Vocabulary, added: tuple[AddedToken, ...]) -> None:
    """Ids are in range, and each is one token's; an added token may take that of another."""
    for token in added:
        if not 0 <= token.id <= MAX_ID:
            raise ValueError(f"Tokenizer: a token has id {token.id}; ids go from 0 to 2^31-1")
    for tokens in (vocabulary, Vocabulary({token.content: token.id for token in added})):
        if repeated := tokens.repeated_id():
            id, first, second = repeated
            raise ValueError(f"Tokenizer: id {id} belongs to {first!r} and to {second!r}")
