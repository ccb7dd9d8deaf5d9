"""Batches whose rows belong to different adapters: each row as if it were alone with its own."""

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.quantization.linear import kernel_weight

RANKS = (1, 8, 16, 3, 40)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def adapters(outputs: int, inputs: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    return [(normal(r, inputs), normal(outputs, r), 0.5 + i) for i, r in enumerate(RANKS)]


def assignments(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    return {
        "mixed": rng.integers(-1, len(RANKS), rows),
        "sorted": np.sort(rng.integers(0, len(RANKS), rows)),
        "one": np.full(rows, 2),
        "none": np.full(rows, -1),
        "some unused": rng.choice([1, 3], rows),
    }


@pytest.mark.parametrize("rows", [1, 16, 98, 200])
@pytest.mark.parametrize("kind", assignments(1))
def test_every_row_is_what_it_is_alone_with_its_adapter(kind, rows, isa):
    own = adapters(70, 400)
    of_row = assignments(rows)[kind]
    x, dy, bias, residual = normal(rows, 400), normal(rows, 70), normal(70), normal(rows, 70)
    for weight in (normal(70, 400), kernel_weight(lb.quantize(normal(70, 400), "nf4"), "test")):
        y, xa = _core.linear_batch_forward(
            x, weight, bias, residual, own, of_row.astype(np.int32), "fp32"
        )
        dx, da, db = _core.linear_batch_backward(dy, x, xa, weight, own, of_row.astype(np.int32))
        for j in range(-1, len(own)):
            mine = of_row == j
            lora = own[j] if j >= 0 else (None, None, 1.0)
            alone, low = _core.linear_forward(x[mine], weight, bias, residual[mine], *lora)
            np.testing.assert_allclose(y[mine], alone, rtol=1e-4, atol=1e-3)
            back = _core.linear_backward(dy[mine], x[mine], low, weight, *lora)
            np.testing.assert_allclose(dx[mine], back[0], rtol=1e-4, atol=1e-3)
            if j >= 0:
                assert np.array_equal(xa[j], low)
                assert np.array_equal(da[j], back[1]) and np.array_equal(db[j], back[2])


def test_the_same_bits_for_any_number_of_threads(same_bits):
    own, of_row = adapters(300, 500), assignments(333)["mixed"].astype(np.int32)
    weight = kernel_weight(lb.quantize(normal(300, 500), "nf4"), "test")
    x, dy = normal(333, 500), normal(333, 300)

    def run() -> list[np.ndarray]:
        y, xa = _core.linear_batch_forward(x, weight, None, None, own, of_row, "int16")
        dx, da, db = _core.linear_batch_backward(dy, x, xa, weight, own, of_row, True, "int16")
        return [y, *xa, dx, *da, *db]

    same_bits(run)


def test_gradients_are_those_of_finite_differences():
    rows = np.array([0, 2, -1, 0])
    own = [(normal(2, 6), normal(5, 2), 0.5), (normal(1, 6), normal(5, 1), 1.0)]
    own.append((normal(3, 6), normal(5, 3), 2.0))
    w, x, dy = normal(5, 6), normal(4, 6), normal(4, 5)
    batch = lb.LoraBatch(own, rows)

    def loss() -> float:
        y = w.astype(np.float64) @ x.T
        total = np.vdot(dy, y.T)
        for i, j in enumerate(rows):
            if j >= 0:
                a, b, scale = (np.float64(part) for part in own[j])
                total += scale * dy[i] @ (b @ (a @ x[i]))
        return float(total)

    lb.linear(x, w, lora=batch)
    dx = batch.backward(dy)
    for array, gradient in [(x, dx), (own[2][0], batch.gradients[2][0])] + [
        (own[j][1], batch.gradients[j][1]) for j in (0, 2)
    ]:
        for index in np.ndindex(array.shape):
            value = array[index]
            ends = []
            for step in (0.25, -0.25):
                array[index] = value + step
                ends.append(loss())
            array[index] = value
            assert (ends[0] - ends[1]) / 0.5 == pytest.approx(gradient[index], rel=1e-3, abs=1e-3)
    assert not batch.gradients[1][0].any() and not batch.gradients[1][1].any()  # it has no rows


def test_leading_axes_and_an_empty_batch():
    own = adapters(7, 9)
    w = normal(7, 9)
    x = normal(2, 3, 9)
    rows = [0, 1, 2, 3, 4, -1]
    y = lb.linear(x, w, lora=lb.LoraBatch(own, rows))
    assert y.shape == (2, 3, 7)
    np.testing.assert_array_equal(
        y.reshape(6, 7), lb.linear(x.reshape(6, 9), w, lora=lb.LoraBatch(own, rows))
    )
    assert lb.linear(np.zeros((0, 9)), w, lora=lb.LoraBatch(own, [])).shape == (0, 7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a: ([a], [0, 1]), "linear: row 1 has adapter 1; there are 1, so use 0 to 0, or -1"),
        (lambda a: ([a], [0]), "linear: rows of the batch has 1 values, expected 2"),
        (lambda a: ([a], [0.5, 0]), "rows must be integers"),
        (lambda a: ([a], [[0, 0]]), "rows must be integers"),
        (lambda a: ([a], [-2, 0]), "rows has the adapter -2"),
        (lambda a: ([(a[0], a[1].T, 1.0)], [0, 0]), "linear: lora_b has shape"),
    ],
)
def test_bad_batches_are_refused(make, message):
    own, rows = make((normal(2, 6), normal(5, 2), 1.0))
    with pytest.raises(ValueError, match=message):
        lb.linear(normal(2, 6), normal(5, 6), lora=lb.LoraBatch(own, rows))


def test_backward_before_forward_says_so():
    with pytest.raises(RuntimeError, match="call linear"):
        lb.LoraBatch([], [0]).backward(np.zeros((1, 4)))
