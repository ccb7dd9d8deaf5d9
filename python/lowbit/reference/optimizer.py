"""AdamW, its learning rate over time, and the limit on the gradient's norm."""

from __future__ import annotations

import numpy as np


def adamw(
    parameters: np.ndarray,
    gradients: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of AdamW (Loshchilov and Hutter, 2019), in the order of torch.optim.AdamW.

    Parameters
    ----------
    parameters, gradients
        Floats of one shape.
    m, v
        Running means of the gradient and of its square, zeros before the first step.
    step
        Counted from 1.
    lr
        Learning rate of this step; weight decay is multiplied by it.

    Returns
    -------
    parameters, m, v
        New arrays; the arguments stay as they were.

    Examples
    --------
    >>> zero = np.zeros(1)
    >>> parameters, m, v = adamw(np.array([1.0]), np.array([0.5]), zero, zero, step=1, lr=0.1)
    >>> parameters.round(6).tolist()  # decay takes 0.001, the first step its full 0.1
    [0.899]
    """
    parameters = parameters * (1 - lr * weight_decay)
    m = betas[0] * m + (1 - betas[0]) * gradients
    v = betas[1] * v + (1 - betas[1]) * gradients * gradients
    m_unbiased = m / (1 - betas[0] ** step)
    v_unbiased = v / (1 - betas[1] ** step)
    return parameters - lr * m_unbiased / (np.sqrt(v_unbiased) + eps), m, v


def learning_rate(step: int, total: int, peak: float, warmup: int) -> float:
    """Linear warm-up from 0 to `peak`, then linear decay to 0 at `total`.

    Parameters
    ----------
    step
        Counted from 0.
    total, warmup
        Steps of the whole training, and of the warm-up.

    Examples
    --------
    >>> [learning_rate(step, total=6, peak=1.0, warmup=2) for step in range(7)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if step < warmup:
        return peak * step / warmup
    return peak * (total - step) / max(1, total - warmup)


def clip_by_norm(gradients: list[np.ndarray], limit: float) -> tuple[list[np.ndarray], float]:
    """Scale gradients down together until their common norm is at most `limit`.

    The factor is limit / (norm + 1e-6) as in torch.nn.utils.clip_grad_norm_, never above 1.

    Returns
    -------
    gradients, norm
        New arrays, and the norm before.

    Examples
    --------
    >>> clipped, norm = clip_by_norm([np.array([3.0]), np.array([4.0])], limit=1.0)
    >>> norm, [g.round(4).tolist() for g in clipped]
    (5.0, [[0.6], [0.8]])
    """
    norm = float(np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients)))
    factor = min(1.0, limit / (norm + 1e-6))
    return [g * g.dtype.type(factor) for g in gradients], norm
