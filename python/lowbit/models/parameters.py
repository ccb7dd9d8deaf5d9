"""Everything that is trained, in one flat array: an optimizer step is then one kernel call."""

from __future__ import annotations

import numpy as np

from lowbit import _core
from lowbit.adapters.config import LoraConfig


class Parameters:
    """Named float32 arrays that share one buffer, with gradients and AdamW's moments beside it.

    Examples
    --------
    >>> parameters = Parameters({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float32)})
    >>> parameters.size, parameters["a"].shape
    (10, (2, 3))
    """

    def __init__(self, initial: dict[str, np.ndarray]) -> None:
        self.size = sum(array.size for array in initial.values())
        self.values = np.empty(self.size, np.float32)
        self.gradients = np.zeros(self.size, np.float32)
        self._views: dict[str, np.ndarray] = {}
        self._gradient_views: dict[str, np.ndarray] = {}
        begin = 0
        for name, array in initial.items():
            end = begin + array.size
            self.values[begin:end] = array.reshape(-1)
            self._views[name] = self.values[begin:end].reshape(array.shape)
            self._gradient_views[name] = self.gradients[begin:end].reshape(array.shape)
            begin = end

    def __getitem__(self, name: str) -> np.ndarray:
        return self._views[name]

    def __contains__(self, name: str) -> bool:
        return name in self._views

    def get(self, name: str) -> np.ndarray | None:
        """The array `name`, or None."""
        return self._views.get(name)

    def names(self) -> list[str]:
        """Names in the order of the buffer."""
        return list(self._views)

    def gradient(self, name: str) -> np.ndarray:
        """The gradient of one array, to be written in place."""
        return self._gradient_views[name]


class AdamW:
    """AdamW (Loshchilov and Hutter, 2019) over one `Parameters`, as torch.optim.AdamW computes it.

    Parameters
    ----------
    parameters
        What is trained.
    weight_decay
        Decoupled decay, multiplied by the learning rate.
    max_grad_norm
        Gradients with a larger global norm are scaled down to it; None for no limit.
    """

    def __init__(
        self,
        parameters: Parameters,
        weight_decay: float = 0.01,
        max_grad_norm: float | None = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.parameters = parameters
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.betas = betas
        self.eps = eps
        self.step_count = 0
        self._mean = np.zeros(parameters.size, np.float32)
        self._square = np.zeros(parameters.size, np.float32)

    def step(self, learning_rate: float) -> float:
        """Apply the gradients once; returns their norm before clipping.

        Raises
        ------
        FloatingPointError
            If the gradients hold NaN or infinity; the parameters are left as they were.
        """
        norm = float(np.sqrt(_core.sum_of_squares(self.parameters.gradients)))
        if not np.isfinite(norm):
            raise FloatingPointError(
                "training: the gradients hold NaN or infinity; lower the learning rate "
                f"(step {self.step_count + 1}, lr={learning_rate:g})"
            )
        scale = 1.0
        if self.max_grad_norm is not None:
            scale = min(1.0, self.max_grad_norm / (norm + 1e-6))
        self.step_count += 1
        _core.adamw(
            self.parameters.values,
            self.parameters.gradients,
            self._mean,
            self._square,
            learning_rate,
            *self.betas,
            self.eps,
            self.weight_decay,
            self.step_count,
            scale,
        )
        return norm


def fresh_adapters(
    lora: LoraConfig, shapes: dict[str, tuple[int, int]], generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Adapters that change nothing yet: A uniform in +-1/sqrt(K), B zero.

    Parameters
    ----------
    shapes
        (N, K) of every adapted layer by its name.

    Returns
    -------
    dict
        float32 NAME.lora_A [rank, K] and NAME.lora_B [N, rank].
    """
    values: dict[str, np.ndarray] = {}
    for name, (rows, cols) in shapes.items():
        rank, bound = lora.rank_of(name), 1.0 / np.sqrt(cols)
        a = generator.uniform(-bound, bound, (rank, cols))
        values[f"{name}.lora_A"] = a.astype(np.float32)
        values[f"{name}.lora_B"] = np.zeros((rows, rank), np.float32)
    return values


def fresh_head(
    classes: int, width: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Weight [classes, width], normal with deviation 0.02, and bias, zero: float32."""
    weight = generator.normal(0, 0.02, (classes, width)).astype(np.float32)
    return weight, np.zeros(classes, np.float32)
