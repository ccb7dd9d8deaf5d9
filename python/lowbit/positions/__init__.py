"""Where a token stands: vectors added to its embedding."""

from lowbit.positions.additive import Learned, Sinusoidal

__all__ = ["Learned", "Sinusoidal"]
