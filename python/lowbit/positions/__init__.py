"""Where a token stands: added to its embedding, turned into queries and keys, or scored.

`Learned` and `Sinusoidal` are added; `Rotary` and `XPos` turn queries and keys in place; `ALiBi`,
`RelativeBias`, `KERPLE` and `FIRE` are added to scores; `NoPE` does nothing. All take the positions
of the tokens, which `from_mask` and `from_indptr` make for padded and packed batches.
"""

from lowbit.positions.additive import Learned, Sinusoidal
from lowbit.positions.biases import FIRE, KERPLE, ALiBi, RelativeBias
from lowbit.positions.heads import reorder
from lowbit.positions.ids import from_indptr, from_mask
from lowbit.positions.picture import show
from lowbit.positions.rotary import Rotary
from lowbit.positions.tables import RotaryTable
from lowbit.positions.xpos import NoPE, XPos

__all__ = [
    "FIRE",
    "KERPLE",
    "ALiBi",
    "Learned",
    "NoPE",
    "RelativeBias",
    "Rotary",
    "RotaryTable",
    "Sinusoidal",
    "XPos",
    "from_indptr",
    "from_mask",
    "reorder",
    "show",
]
