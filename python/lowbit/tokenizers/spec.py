"""Everything that defines a tokenizer, as checked plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

MODELS = ("wordpiece", "word", "character")
MAX_ID = (1 << 31) - 1


@dataclass(frozen=True)
class AddedToken:
    """A token that is cut out of the text before it is split.

    `special` tokens can be left out when decoding. `single_word`, `lstrip` and `rstrip` as in
    tokenizer.json.
    """

    content: str
    id: int
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True)
class Normalizer:
    """BERT's: clean text, spaces round Chinese characters, accents off, lower case."""

    clean_text: bool = True
    chinese_spaces: bool = True
    strip_accents: bool | None = None  # None: as `lowercase` says
    lowercase: bool = True


@dataclass(frozen=True)
class Slot:
    """One part of a template: the text "A", its pair "B", or, where `text` is "", fixed ids."""

    text: str
    ids: tuple[int, ...] = ()
    type_id: int = 0


@dataclass(frozen=True)
class TokenizerSpec:
    """A tokenizer of words, pieces of words, or characters.

    Raises
    ------
    ValueError
        If parts do not fit each other: an unknown token that is not in the vocabulary, two tokens
        with one id, ids that are negative or too large.
    """

    model: str
    vocabulary: dict[str, int]
    unknown: str = "[UNK]"
    continuing_prefix: str = "##"
    max_characters: int = 100
    normalizer: Normalizer | None = field(default_factory=Normalizer)
    added: tuple[AddedToken, ...] = ()
    single: tuple[Slot, ...] = (Slot("A"),)
    pair: tuple[Slot, ...] = (Slot("A"), Slot("B", type_id=1))
    max_length: int | None = None
    keep_end: bool = False
    pad_token: str | None = None
    cleanup: bool = True

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f'Tokenizer: model="{self.model}" is not known; use one of {MODELS}')
        if not self.vocabulary:
            raise ValueError("Tokenizer: the vocabulary is empty")
        if self.unknown not in self.vocabulary:
            raise ValueError(
                f"Tokenizer: the unknown token {self.unknown!r} is not in the vocabulary"
            )
        by_id: dict[int, str] = {}
        added = [(token.content, token.id) for token in self.added]
        for token, id in [*self.vocabulary.items(), *added]:
            if not 0 <= id <= MAX_ID:
                raise ValueError(f"Tokenizer: token {token!r} has id {id}; ids go from 0 to 2^31-1")
            if by_id.setdefault(id, token) != token:
                raise ValueError(f"Tokenizer: id {id} belongs to {by_id[id]!r} and to {token!r}")
        for slot in (*self.single, *self.pair):
            for id in slot.ids:
                if id not in by_id:
                    raise ValueError(f"Tokenizer: the template uses id {id}, which is no token")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"Tokenizer: truncation to {self.max_length} tokens is no length")

    def tokens_by_id(self) -> dict[int, str]:
        """Text of every token, the added ones included."""
        table = {id: token for token, id in self.vocabulary.items()}
        table.update({token.id: token.content for token in self.added})
        return table
