"""Draw docs/positions.png: every position scheme as a heat map. Needs matplotlib.

python tools/draw_positions.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowbit import positions

OUT = Path(__file__).resolve().parent.parent / "docs" / "positions.png"
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64}


def schemes() -> dict[str, object]:
    """One of each, with made-up numbers where a model would have trained ones."""
    rng = np.random.default_rng(0)
    buckets = np.concatenate([np.linspace(1, -1, 16)] * 2)[:, None]
    fading = {"w1": [[1.0]], "b1": [0.0], "w2": [[-1.0]], "b2": [0.0], "threshold": 8}
    return {
        "Sinusoidal": positions.Sinusoidal(64),
        "Sinusoidal, half": positions.Sinusoidal(64, layout="half"),
        "Learned, 8 rows resized": positions.Learned(rng.standard_normal((8, 64))).resize(64),
        "NoPE": positions.NoPE(),
        "Rotary": positions.Rotary(64),
        "Rotary, linear": positions.Rotary(64, scaling={"rope_type": "linear", "factor": 8.0}),
        "Rotary, yarn": positions.Rotary(64, scaling=YARN),
        "XPos": positions.XPos(64, scale_base=64),
        "ALiBi": positions.ALiBi(8),
        "RelativeBias": positions.RelativeBias(buckets),
        "KERPLE": positions.KERPLE([1.0], [1.0]),
        "FIRE": positions.FIRE(**fading),
    }


if __name__ == "__main__":
    print(positions.show(schemes(), OUT))
