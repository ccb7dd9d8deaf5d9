"""The settings of a LoRA adapter, and which modules they reach.

y = W x + scale * B A x   with A [rank, in], B [out, rank], scale = alpha / rank
                          (alpha / sqrt(rank) with use_rslora, Kalajdzievski 2023)

LoRA: Hu et al. 2021, arXiv 2106.09685. Names follow PEFT where they are clear and are spelled out
where PEFT abbreviates (`rank` for `r`, `alpha` for `lora_alpha`, `dropout` for `lora_dropout`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from lowbit.adapters.module_pattern import ModulePattern
from lowbit.files.untrusted import shorten

MAX_RANK = 1024
MAX_ENTRIES = 20_000
MAX_PATTERNS = 20
ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class LoraConfig:
    """Settings of a LoRA adapter.

    Parameters
    ----------
    rank : int
        Rows of A, 1 to 1024.
    alpha : float
        Numerator of the scale, above 0.
    dropout : float
        Probability that an input of A is dropped in training, in [0, 1).
    target_modules : str or sequence of str
        "all-linear": every linear layer but those in `modules_to_save`. A list: each entry is the
        full name of a module or its end after a dot ("query", "attention.output.dense"). Any other
        string: a regular expression over full names (see `ModulePattern`), as in PEFT.
    exclude_modules : str or sequence of str
        Modules to leave out, in the same forms.
    use_rslora : bool
        Divide alpha by sqrt(rank) instead of rank.
    bias : str
        "none"; biases are not trained.
    modules_to_save : sequence of str
        Modules trained in full and saved with the adapter, such as "classifier".
    rank_pattern, alpha_pattern : mapping of str to number
        Other ranks and alphas for modules whose name, or its end after a dot, is the key (or is
        matched by it); the first key that fits is taken.
    layers_to_transform : sequence of int, optional
        Only these layers: the last number among the inner parts of a module's name.
    task_type : str, optional
        What PEFT should make of the model: "SEQ_CLS", "FEATURE_EXTRACTION" ...
    base_model_name : str, optional
        Name of the model that the adapter belongs to.

    Raises
    ------
    TypeError, ValueError
        A value has the wrong type or is out of range.

    Examples
    --------
    >>> config = LoraConfig(rank=8, alpha=16, target_modules=["query", "value"])
    >>> config.scale
    2.0
    >>> config.find_targets(["layer.0.query", "layer.0.key", "layer.0.value"])
    ['layer.0.query', 'layer.0.value']
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    exclude_modules: str | tuple[str, ...] = ()
    use_rslora: bool = False
    bias: str = "none"
    modules_to_save: tuple[str, ...] = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    layers_to_transform: tuple[int, ...] | None = None
    task_type: str | None = None
    base_model_name: str | None = None

    def __post_init__(self) -> None:
        _check_rank("rank", self.rank)
        _check_alpha("alpha", self.alpha)
        _check_number("dropout", self.dropout)
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"LoraConfig: dropout must be in [0, 1); got {self.dropout!r}")
        if not isinstance(self.use_rslora, bool):
            raise _type_error("use_rslora", "True or False", self.use_rslora)
        if self.bias != "none":
            raise ValueError(
                f"LoraConfig: bias={shorten(self.bias)} is not supported; use bias='none'"
            )
        self._set("target_modules", _names("target_modules", self.target_modules, text=True))
        self._set("exclude_modules", _names("exclude_modules", self.exclude_modules, text=True))
        self._set("modules_to_save", _names("modules_to_save", self.modules_to_save, most=256))
        self._set("rank_pattern", _table("rank_pattern", self.rank_pattern, _check_rank))
        self._set("alpha_pattern", _table("alpha_pattern", self.alpha_pattern, _check_alpha))
        self._set("layers_to_transform", _layers(self.layers_to_transform))
        if not self.target_modules:
            raise ValueError("LoraConfig: target_modules is empty; name modules or 'all-linear'")
        for name in ("task_type", "base_model_name"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or len(value) > 4096):
                raise _type_error(name, "a text or None", value)
        _ = self._targets, self._excluded, self._ranks, self._alphas  # patterns compile now

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def scale(self) -> float:
        """Factor of B A x in modules that no pattern names."""
        return self._scale(self.rank, self.alpha)

    def rank_of(self, module: str) -> int:
        """Rank in the module of this full name."""
        return self._ranks.find(module, self.rank)

    def alpha_of(self, module: str) -> float:
        """Alpha in the module of this full name."""
        return self._alphas.find(module, self.alpha)

    def scale_of(self, module: str) -> float:
        """Factor of B A x in the module of this full name."""
        return self._scale(self.rank_of(module), self.alpha_of(module))

    def find_targets(self, modules: Iterable[str]) -> list[str]:
        """The modules that get an adapter, in the order given.

        Parameters
        ----------
        modules : iterable of str
            Full names of all linear layers of the model.

        Raises
        ------
        ValueError
            Nothing is reached, or an entry of a target list reaches no module: an adapter that
            does less than was asked for must not pass silently.
        """
        modules = list(modules)
        if self.target_modules == ALL_LINEAR:
            saved = _Matcher("modules_to_save", self.modules_to_save)
            reached = [name for name in modules if saved.key(name) is None]
        else:
            reached = [name for name in modules if self._targets.key(name) is not None]
            self._check_every_entry_hits(modules)
        chosen = [
            name for name in reached if self._excluded.key(name) is None and self._in_layers(name)
        ]
        if not chosen:
            raise ValueError(
                f"LoraConfig: target_modules={shorten(self.target_modules)} reaches none of the "
                f"{len(modules)} modules; they are called {_sample(modules)}"
            )
        return chosen

    def _check_every_entry_hits(self, modules: list[str]) -> None:
        if isinstance(self.target_modules, str):
            return
        hit = {end for name in modules for end in _ends(name)}
        missed = [entry for entry in self.target_modules if entry not in hit]
        if missed:
            raise ValueError(
                f"LoraConfig: target_modules entry {shorten(missed[0])} reaches no module; "
                f"modules are called {_sample(modules)}"
            )

    def _in_layers(self, module: str) -> bool:
        if self.layers_to_transform is None:
            return True
        # As PEFT: a number with at least two parts before it and one behind.
        inner = module.split(".")[2:-1]
        numbers = [part for part in inner if part.isascii() and part.isdigit() and len(part) < 10]
        return bool(numbers) and int(numbers[-1]) in self.layers_to_transform

    def _scale(self, rank: int, alpha: float) -> float:
        return alpha / math.sqrt(rank) if self.use_rslora else alpha / rank

    @cached_property
    def _targets(self) -> "_Matcher":
        return _Matcher("target_modules", self.target_modules)

    @cached_property
    def _excluded(self) -> "_Matcher":
        return _Matcher("exclude_modules", self.exclude_modules)

    @cached_property
    def _ranks(self) -> "_Matcher":
        return _Matcher("rank_pattern", self.rank_pattern)

    @cached_property
    def _alphas(self) -> "_Matcher":
        return _Matcher("alpha_pattern", self.alpha_pattern)


class _Matcher:
    """Finds which of many names a module fits; plain names by look-up, patterns by automaton."""

    def __init__(self, argument: str, entries: str | Iterable[str] | Mapping[str, float]):
        self.values = entries if isinstance(entries, Mapping) else {}
        self.known: dict[str, str | None] = {}
        self.plain: dict[str, int] = {}
        self.patterns: list[tuple[int, str, ModulePattern]] = []
        whole = isinstance(entries, str)
        if whole and entries == ALL_LINEAR:
            return
        for index, entry in enumerate([entries] if whole else entries):
            if not whole and (not self.values or _is_plain(entry)):
                self.plain.setdefault(entry, index)
                continue
            # Keys of the pattern tables may also match the end of a name, behind a dot.
            text = entry if whole else rf"(.*\.)?({entry})"
            try:
                self.patterns.append((index, entry, ModulePattern(text)))
            except ValueError as error:
                raise ValueError(f"LoraConfig: {argument}: {error}") from error
        if len(self.patterns) > MAX_PATTERNS:
            raise ValueError(
                f"LoraConfig: {argument} has {len(self.patterns)} regular expressions; "
                f"at most {MAX_PATTERNS} are accepted"
            )

    def key(self, module: str) -> str | None:
        """The first entry that fits, in the order of the entries; each module is tried once."""
        if module not in self.known:
            self.known[module] = self._first(module)
        return self.known[module]

    def _first(self, module: str) -> str | None:
        found = [(self.plain[end], end) for end in _ends(module) if end in self.plain]
        found += [(i, entry) for i, entry, p in self.patterns if p.matches(module)]
        return min(found)[1] if found else None

    def find(self, module: str, default: float) -> float:
        """Value of the first entry that fits."""
        key = self.key(module)
        return default if key is None else self.values[key]


def _ends(module: str) -> list[str]:
    """The full name and everything behind a dot: a.b.c -> a.b.c, b.c, c."""
    return [module] + [module[i + 1 :] for i, c in enumerate(module) if c == "."]


def _is_plain(entry: str) -> bool:
    """A name of letters, digits, underscores, hyphens and dots means itself."""
    return all(c.isalnum() or c in "_-." for c in entry)


def _sample(modules: list[str]) -> str:
    names = ", ".join(shorten(name) for name in modules[:4])
    return names + (", ..." if len(modules) > 4 else "") if names else "(there are none)"


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(name, "a number", value)


def _check_rank(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _type_error(name, "a whole number", value)
    if not 1 <= value <= MAX_RANK:
        raise ValueError(f"LoraConfig: {name} must be 1 to {MAX_RANK}; got {shorten(value)}")


def _check_alpha(name: str, value: object) -> None:
    _check_number(name, value)
    if not 0 < value <= 1e6:
        raise ValueError(f"LoraConfig: {name} must be above 0 and finite; got {shorten(value)}")


def _names(
    argument: str, value: object, text: bool = False, most: int = MAX_ENTRIES
) -> str | tuple[str, ...]:
    """A tuple of module names; with `text` also one string."""
    if value is None:
        return ()
    if text and isinstance(value, str):
        return value
    if isinstance(value, str) or not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise _type_error(argument, "a list of names", value)
    # PEFT keeps sets; sorted, the same adapter always makes the same file.
    names = tuple(sorted(value, key=str) if isinstance(value, set | frozenset) else value)
    if len(names) > most:
        raise ValueError(f"LoraConfig: {argument} has {len(names)} entries; at most {most}")
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= 512:
            raise _type_error(argument, "a list of names", name)
    return names


def _table(argument: str, value: object, check) -> dict:
    """A checked copy of rank_pattern or alpha_pattern."""
    if not isinstance(value, Mapping):
        raise _type_error(argument, "a mapping of names to numbers", value)
    if len(value) > MAX_ENTRIES:
        raise ValueError(f"LoraConfig: {argument} has {len(value)} entries; at most {MAX_ENTRIES}")
    for key, number in value.items():
        if not isinstance(key, str) or not 0 < len(key) <= 512:
            raise _type_error(argument, "a mapping of names to numbers", key)
        check(f"{argument}[{shorten(key)}]", number)
    return dict(value)


def _layers(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    layers = (value,) if isinstance(value, int) else value
    good = isinstance(layers, Iterable) and not isinstance(layers, str | bytes | Mapping)
    layers = tuple(layers) if good else ()
    if not layers or not all(type(n) is int and 0 <= n < 100_000 for n in layers):
        raise _type_error("layers_to_transform", "numbers of layers", value)
    return layers


def _type_error(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"LoraConfig: {name} must be {expected}; got {shorten(value)}")
