"""Rotary positions: queries and keys turned in place, by tables made in double precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.positions.config import blamed_on, read_rotary
from lowbit.positions.frequencies import BY_LENGTH, Asked, check_scaling, compute
from lowbit.positions.heads import check_layout, heads_of
from lowbit.positions.tables import RotaryTable, Turns, axes_of_pairs, rounded_turns


class Rotary:
    """Pairs of columns of queries and keys turned by position times frequency (Su et al., 2021).

    Angles are computed in double precision: cosines and sines are those of the real angle, rounded
    once to float32, at any position. Products and sums are float32.

    Parameters
    ----------
    head_dim
        Columns of a head.
    base
        `rope_theta`: pair i turns by base^(-2i / rotary_dim) radians a position.
    rotary_dim
        Columns that turn, from the first on; None: all of them.
    layout
        "half": pair i is columns i and rotary_dim / 2 + i, as in most models. "interleaved":
        columns 2i and 2i + 1, as in GPT-J, GLM and Cohere.
    scaling
        A `rope_scaling` as in config.json: {"rope_type": "yarn", "factor": 4.0, ...}.
    length
        Tokens of the longest text, for types that depend on it; see `for_length`.
    sections
        Pairs of each coordinate where positions have several, such as time, height and width.
    section_order
        "blocks": the pairs of a coordinate are neighbours (Qwen2-VL). "interleaved": coordinates
        take turns (Qwen3-VL).
    compat
        Round as the transformers library does: frequencies and angles to float32, cosines, sines
        and products to the type of the arrays. Powers may differ from torch's in the last bit.

    Raises
    ------
    ValueError
        If sizes do not fit, or the scaling has unknown keys or values without sense.

    Examples
    --------
    >>> rotary = Rotary(head_dim=4)
    >>> q = np.array([[[1, 0, 0, 1]], [[1, 0, 0, 1]]], np.float32)  # two tokens, one head
    >>> rotary.rotate_(q)
    >>> q[1].round(2)
    array([[ 0.54, -0.01,  0.84,  1.  ]], dtype=float32)
    >>> rotary.unrotate_(q)
    >>> q[1].round(2)
    array([[1., 0., 0., 1.]], dtype=float32)
    """

    def __init__(
        self,
        head_dim: int,
        base: float = 10000.0,
        *,
        rotary_dim: int | None = None,
        layout: str = "half",
        scaling: Mapping[str, Any] | None = None,
        length: int | None = None,
        sections: list[int] | None = None,
        section_order: str = "blocks",
        compat: bool = False,
    ) -> None:
        self.head_dim, self.base = int(head_dim), float(base)
        self.rotary_dim = self.head_dim if rotary_dim is None else int(rotary_dim)
        if not 2 <= self.rotary_dim <= self.head_dim or self.rotary_dim % 2:
            raise ValueError(
                f"positions.Rotary: rotary_dim={self.rotary_dim} must be even, at least 2 and at "
                f"most head_dim={self.head_dim}"
            )
        if not 1 < self.base < np.inf:
            raise ValueError(f"positions.Rotary: base={base} must be above 1")
        check_layout(layout, "positions.Rotary")
        self.layout, self.compat, self.length = layout, bool(compat), length
        self.scaling = check_scaling(scaling, self.rotary_dim)
        self.sections = None if sections is None else tuple(sections)
        self.section_order = section_order
        self._axes = (
            None if sections is None else axes_of_pairs(sections, section_order, self.pairs)
        )
        dtype = np.float32 if compat else np.float64
        asked = Asked(self.rotary_dim, self.base, length, dtype)
        self.inv_freq, self.attention_factor = compute(asked, self.scaling)
        self._turns = Turns(self.inv_freq)

    @classmethod
    def from_config(
        cls, config: Any, layer_type: str | None = None, *, compat: bool = False
    ) -> Rotary:
        """The positions that a model's config.json asks for.

        Parameters
        ----------
        config
            The file, its folder, or what is in it as a dictionary; old and new spellings.
        layer_type
            Such as "full_attention", where layers differ.
        compat
            As for the class.

        Raises
        ------
        ValueError
            If a key about rotary positions is not known, or the model has none.
        lowbit.FileFormatError
            The same for a file; it is a ValueError.

        Examples
        --------
        >>> config = {"head_dim": 64, "rope_theta": 5e5, "partial_rotary_factor": 0.5}
        >>> Rotary.from_config(config)
        Rotary(head_dim=64, base=500000.0, rotary_dim=32)
        """
        with blamed_on(config):
            return cls(**read_rotary(config, layer_type), compat=compat)

    @property
    def pairs(self) -> int:
        """Pairs of columns that turn."""
        return self.rotary_dim // 2

    def _arguments(self) -> dict[str, Any]:
        """Arguments beside head_dim and base that are not the default."""
        given = {
            "rotary_dim": None if self.rotary_dim == self.head_dim else self.rotary_dim,
            "layout": None if self.layout == "half" else self.layout,
            "scaling": None if self.scaling["rope_type"] == "default" else self.scaling,
            "length": self.length,
            "sections": self.sections,
            "section_order": None if self.section_order == "blocks" else self.section_order,
            "compat": self.compat or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def __repr__(self) -> str:
        more = "".join(f", {name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}(head_dim={self.head_dim}, base={self.base}{more})"

    def for_length(self, length: int) -> Rotary:
        """The same for texts of up to `length` tokens.

        Frequencies of "dynamic" and "longrope" depend on the length. A cache holds keys that are
        turned already, so choose the length once, for all that a cache will hold.

        Examples
        --------
        >>> scaling = {"rope_type": "dynamic", "factor": 2.0}
        >>> scaling["original_max_position_embeddings"] = 8
        >>> rotary = Rotary(4, scaling=scaling)
        >>> rotary.inv_freq.round(4), rotary.for_length(16).inv_freq.round(4)
        (array([1.  , 0.01]), array([1.    , 0.0033]))
        """
        arguments = self._arguments() | {"length": int(length)}
        return type(self)(self.head_dim, self.base, **arguments)

    def table(self, positions: Any) -> RotaryTable:
        """Cosines and sines at these positions, to be given to `rotate_` in their place.

        Parameters
        ----------
        positions
            Integers [tokens] or [batches, tokens], negative ones too; with `sections` an axis of
            coordinates before these.

        Examples
        --------
        >>> Rotary(4).table([0, 1_000_000]).cos
        array([[ 1.        ,  1.        ],
               [ 0.93675214, -0.95215535]], dtype=float32)
        """
        ids = self._checked(positions)
        shape = ids.shape if self._axes is None else ids.shape[1:]
        flat = ids.reshape(-1) if self._axes is None else ids.reshape(len(ids), -1)
        count = flat.shape[-1]
        cos, sin = (np.empty((count, self.pairs), np.float32) for _ in range(2))
        for begin in range(0, count, 8192):
            part = slice(begin, begin + 8192)
            cos[part], sin[part] = self._cos_and_sin(flat[..., part])
        return RotaryTable(cos, sin, shape)

    def _checked(self, positions: Any) -> np.ndarray:
        ids = np.asarray(positions)
        if ids.dtype.kind not in "iu" and ids.size:
            raise TypeError(f"positions.Rotary: positions have dtype {ids.dtype}; pass integers")
        ids = ids.astype(np.int64)
        axes = 0 if self._axes is None else 1
        if ids.ndim not in (1 + axes, 2 + axes) or (axes and len(ids) != len(self.sections)):
            before = f"[{len(self.sections)}, " if axes else "["
            raise ValueError(
                f"positions.Rotary: positions have shape {ids.shape}; expected {before}tokens] or "
                f"{before}batches, tokens]"
            )
        kind = self.scaling["rope_type"]
        if kind in BY_LENGTH and ids.size:
            reach = self.length or self.scaling["original_max_position_embeddings"]
            if ids.max() >= reach:
                raise ValueError(
                    f"positions.Rotary: position {ids.max()} is beyond {reach} tokens, where "
                    f"rope_type={kind!r} has other frequencies; use rotary.for_length(n), with n "
                    f"the most tokens that queries and cached keys will have"
                )
        return ids

    def _cos_and_sin(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[N, pairs] each for ids [N] or [coordinates, N]."""
        if self.compat:
            return rounded_turns(ids, self.inv_freq, self.attention_factor, self._axes)
        turns = self.attention_factor * self._turns(ids, self._axes)
        return turns.real, turns.imag

    def rotate_(self, q: np.ndarray, k: np.ndarray | None = None, positions: Any = None) -> None:
        """Turn queries, and keys with them, in place.

        Parameters
        ----------
        q, k
            float32, float16 or bfloat16 [tokens, heads * head_dim], [tokens, heads, head_dim] or
            [batches, tokens, heads, head_dim]; their numbers of heads may differ. Only the columns
            of a head need be neighbours in memory, so where heads come before tokens,
            `x.swapaxes(-3, -2)` will do.
        positions
            As in `table`, or a table; one row of [tokens] serves all batches. None: 0, 1, 2, ...

        Raises
        ------
        TypeError
            If an array is of another kind.
        ValueError
            If shapes do not fit, or an array is read-only or overlaps itself.
        """
        self._turn("Rotary.rotate_", (q, k), positions, back=False)

    def unrotate_(self, q: np.ndarray, k: np.ndarray | None = None, positions: Any = None) -> None:
        """Undo `rotate_`, but for rounding."""
        table = self._table_for(q, positions)
        if self.attention_factor != 1:
            scale = np.float32(self.attention_factor**-2)
            table = RotaryTable(table.cos * scale, table.sin * scale, table.shape)
        self._turn("Rotary.unrotate_", (q, k), table, back=True)

    def backward_(
        self, dq: np.ndarray, dk: np.ndarray | None = None, positions: Any = None
    ) -> None:
        """Gradients behind `rotate_` to gradients before it, in place.

        Examples
        --------
        >>> dq = np.array([[1.0, 0.0]], np.float32)
        >>> Rotary(2).backward_(dq, positions=[1])
        >>> dq.round(4).tolist()
        [[0.5403000116348267, -0.8414999842643738]]
        """
        self._turn("Rotary.backward_", (dq, dk), positions, back=True)

    def shift_(self, k: np.ndarray, delta: Any) -> None:
        """Move keys that are turned already, as those of a cache, by `delta` positions.

        Parameters
        ----------
        k
            As in `rotate_`.
        delta
            An integer, or one for each token as `positions` are.

        Examples
        --------
        >>> rotary, k = Rotary(2), np.array([[1.0, 0.0]], np.float32)
        >>> rotary.rotate_(k, positions=[7])
        >>> rotary.shift_(k, -7)
        >>> k.round(4).tolist()
        [[1.0, 0.0]]
        """
        view, _ = heads_of(k, self.head_dim, "shift_", "k")
        moves = np.asarray(delta)
        if moves.ndim == 0:
            moves = np.full(view.shape[1], moves)
        if self._axes is not None:
            moves = np.stack([moves] * len(self.sections))
        unit = self._unit()
        unit._turn("Rotary.shift_", (k,), unit.table(moves), back=False)

    def _unit(self) -> Rotary:
        """The same without the attention factor, and without a limit of positions."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, attention_factor=1.0, scaling={"rope_type": "default"})
        return other

    def __call__(self, x: Any, positions: Any = None) -> np.ndarray:
        """A turned copy of x, of float32 unless it has 16 bits."""
        array = np.asarray(x)
        sixteen = array.dtype.itemsize == 2 and array.dtype.kind in "fVu"
        out = np.array(array, array.dtype if sixteen else np.float32, order="C")
        self.rotate_(out, positions=positions)
        return out

    def _table_for(self, x: Any, positions: Any) -> RotaryTable:
        if isinstance(positions, RotaryTable):
            return positions
        if positions is None:
            view, _ = heads_of(x, self.head_dim, type(self).__name__, "q")
            positions = np.arange(view.shape[1])
            if self._axes is not None:
                positions = np.stack([positions] * len(self.sections))
        return self.table(positions)

    def _turn(self, name: str, arrays: tuple, positions: Any, back: bool) -> None:
        q, k = arrays if len(arrays) == 2 else (*arrays, None)
        view, format = heads_of(q, self.head_dim, name, "q")
        views = [view]
        if k is not None:
            other, kind = heads_of(k, self.head_dim, name, "k")
            if kind != format:
                raise TypeError(f"{name}: q is {q.dtype}, k is {k.dtype}; pass the same type")
            views.append(other)
        table = self._table_for(q, positions)
        batches, tokens = view.shape[:2]
        if table.shape not in ((tokens,), (batches, tokens)):
            raise ValueError(
                f"{name}: positions have shape {table.shape} for {batches} x {tokens} tokens; "
                f"expected ({tokens},) or ({batches}, {tokens})"
            )
        cos, sin = table.rounded(format) if self.compat else (table.cos, table.sin)
        _core.rotate(views, format, cos, sin, self.layout == "interleaved", back, self.compat)
