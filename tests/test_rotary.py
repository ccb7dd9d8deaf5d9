"""Rotary positions against double precision: every layout, type, format, shape and order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit as lb
from lowbit import positions
from lowbit.arrays import bf16_to_float32, float32_to_bf16
from lowbit.positions.frequencies import SCALINGS
from lowbit.reference import rotary as reference

TRAINED = {"original_max_position_embeddings": 256}
SHORT, LONG = [1 + i / 20 for i in range(16)], [1 + i * i / 4 for i in range(16)]
GIVEN = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0, **TRAINED},
    "yarn": {"factor": 16.0, "beta_fast": 24, "truncate": False, **TRAINED},
    "longrope": {"short_factor": SHORT, "long_factor": LONG, "factor": 8.0, **TRAINED},
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **TRAINED},
    "proportional": {"partial_rotary_factor": 0.5},
}


def expected_of(kind: str, dim: int, base: float, length: int) -> tuple[np.ndarray, float]:
    """Frequencies and attention factor by the reference."""
    if kind == "default":
        return reference.frequencies(dim, base), 1.0
    if kind == "linear":
        return reference.linear(dim, base, 4.0), 1.0
    if kind == "dynamic":
        return reference.dynamic(dim, base, 4.0, 256, length), 1.0
    if kind == "yarn":
        found = reference.yarn(dim, base, 16.0, 256, fast=24, truncate=False)
        return found, reference.yarn_attention(16.0)
    if kind == "longrope":
        found = reference.longrope(dim, base, SHORT, LONG, 256, length)
        return found, reference.longrope_attention(8.0, 256)
    if kind == "llama3":
        return reference.llama3(dim, base, 8.0, 1.0, 4.0, 256), 1.0
    return reference.proportional(dim, base, 0.5), 1.0


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def test_every_type_has_a_case():
    assert set(GIVEN) == set(SCALINGS)


@pytest.mark.parametrize("length", [100, 256, 257, 5000])
@pytest.mark.parametrize("kind", GIVEN)
def test_frequencies_of_every_type(kind, length):
    scaling = {"rope_type": kind, **GIVEN[kind]}
    rotary = positions.Rotary(32, 5000.0, scaling=scaling).for_length(length)
    inv_freq, factor = expected_of(kind, 32, 5000.0, length)
    np.testing.assert_allclose(rotary.inv_freq, inv_freq, rtol=1e-13)
    assert rotary.attention_factor == pytest.approx(factor, rel=1e-14)


@pytest.mark.parametrize("kind", GIVEN)
def test_exact_at_a_million(kind):
    """Within a rounding of the real cosine, where a float32 angle is wrong by 0.06."""
    rotary = positions.Rotary(32, scaling={"rope_type": kind, **GIVEN[kind]}).for_length(2**31)
    ids = np.array([0, 1, -1, 255, 256, -257, 999_999, 1_000_000, -1_000_000, 1_048_576])
    inv_freq, factor = expected_of(kind, 32, 10000.0, 2**31)
    table = rotary.table(ids)
    angles = ids[:, None] * inv_freq
    for got, function in ((table.cos, np.cos), (table.sin, np.sin)):
        np.testing.assert_allclose(got, factor * function(angles), rtol=0, atol=factor * 6.1e-8)


@pytest.mark.parametrize("kind", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("rotary_dim", [2, 6, 32, 34, 62, 64, 96, 128, 130])
def test_turned_heads(rotary_dim, layout, kind):
    rng = np.random.default_rng(rotary_dim)
    head_dim = rotary_dim + rng.integers(0, 5)
    x, y = (normal(rng, 2, 37, heads, head_dim) for heads in (3, 1))
    ids = rng.integers(-100_000, 1_000_000, (2, 37))
    if kind == "fp16":
        x, y = (a.astype(np.float16) for a in (x, y))
    elif kind == "bf16":
        x, y = float32_to_bf16(x), float32_to_bf16(y)
    wide = [bf16_to_float32(a) if kind == "bf16" else a for a in (x, y)]
    angles = ids[..., None, None] * reference.frequencies(rotary_dim)
    expected = [reference.rotate(a.astype(np.float64), angles, layout) for a in wide]
    rotary = positions.Rotary(head_dim, rotary_dim=rotary_dim, layout=layout)
    before = [a.copy() for a in (x, y)]
    rotary.rotate_(x, y, ids)
    tolerance = {"fp32": 2e-7, "fp16": 2**-11, "bf16": 2**-8}[kind]
    for got, old, want in zip((x, y), before, expected, strict=True):
        assert np.array_equal(got[..., rotary_dim:], old[..., rotary_dim:])
        got = bf16_to_float32(got) if kind == "bf16" else got.astype(np.float64)
        largest = np.abs(want).max(axis=-1, keepdims=True)
        assert np.all(np.abs(got - want) <= tolerance * np.maximum(np.abs(want), largest / 2))


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_any_order_in_memory_gives_the_same_bits(layout, compat):
    rng = np.random.default_rng(3)
    rotary = positions.Rotary(20, rotary_dim=18, layout=layout, compat=compat)
    for make in (lambda a: a, lambda a: a.astype(np.float16), float32_to_bf16):
        x = make(normal(rng, 3, 70, 4, 20))
        expected = x.copy()
        rotary.rotate_(expected)
        heads_first = np.ascontiguousarray(x.swapaxes(1, 2))
        rotary.rotate_(heads_first.swapaxes(1, 2))
        assert np.array_equal(heads_first.swapaxes(1, 2), expected)
        wide = make(normal(rng, 3, 70, 7, 25))
        wide[:, :, 2:6, 3:23] = x
        rest = wide.copy()
        rotary.rotate_(wide[:, :, 2:6, 3:23])
        assert np.array_equal(wide[:, :, 2:6, 3:23], expected)
        wide[:, :, 2:6, 3:23] = rest[:, :, 2:6, 3:23]
        assert np.array_equal(wide, rest)
        packed = x[1].reshape(70, 80).copy()
        rotary.rotate_(packed)
        assert np.array_equal(packed.reshape(70, 4, 20), expected[1])
        assert np.array_equal(rotary(x), expected)


@pytest.mark.parametrize("threads", [2, 5])
def test_any_number_of_threads_gives_the_same_bits(threads):
    rng = np.random.default_rng(10)
    rotary = positions.Rotary(64)
    q, k = normal(rng, 3, 201, 8, 64), normal(rng, 3, 201, 2, 64)
    before = lb.get_num_threads()
    results = []
    try:
        for count in (1, threads):
            lb.set_num_threads(count)
            a, b = q.copy(), k.copy()
            rotary.rotate_(a, b)
            results.append((a, b))
    finally:
        lb.set_num_threads(before)
    assert all(np.array_equal(x, y) for x, y in zip(*results, strict=True))


def test_scores_depend_on_distance_alone():
    rng = np.random.default_rng(4)
    rotary = positions.Rotary(64, scaling={"rope_type": "yarn", **GIVEN["yarn"]})
    q, k = normal(rng, 1, 1, 64), normal(rng, 1, 1, 64)

    def score(i: int, j: int) -> float:
        a, b = q.copy(), k.copy()
        rotary.rotate_(a, positions=[i])
        rotary.rotate_(b, positions=[j])
        return float((a.astype(np.float64) * b).sum())

    for distance in (0, 5, 1000):
        near = score(distance, 0)
        for start in (-50, 7, 100_000, 1_000_000):
            assert score(start + distance, start) == pytest.approx(near, abs=3e-6)


@pytest.mark.parametrize("kind", ["default", "yarn"])
def test_unrotate_backward_and_shift(kind):
    rng = np.random.default_rng(5)
    rotary = positions.Rotary(32, scaling={"rope_type": kind, **GIVEN[kind]}, layout="interleaved")
    x, ids = normal(rng, 50, 2, 32), rng.integers(0, 1_000_000, 50)
    y = x.copy()
    rotary.rotate_(y, positions=ids)
    turned = y.copy()
    rotary.unrotate_(y, positions=ids)
    np.testing.assert_allclose(y, x, atol=2e-6)
    dy = normal(rng, 50, 2, 32)
    dx = dy.copy()
    rotary.backward_(dx, positions=ids)
    # <dy, R x> = <R^T dy, x>
    wide = [a.astype(np.float64) for a in (dy, turned, dx, x)]
    assert (wide[0] * wide[1]).sum() == pytest.approx((wide[2] * wide[3]).sum(), rel=1e-6)
    for delta in (-300_000, 17, rng.integers(-9, 9, 50)):
        moved, direct = turned.copy(), x.copy()
        rotary.shift_(moved, delta)
        rotary.rotate_(direct, positions=ids + delta)
        np.testing.assert_allclose(moved, direct, atol=3e-6)


def test_left_padding_and_packing():
    rng = np.random.default_rng(6)
    rotary = positions.Rotary(16)
    x = normal(rng, 5, 2, 16)
    alone = rotary(x)
    padded = np.zeros((2, 8, 2, 16), np.float32)
    padded[0, 3:], padded[1, :5] = x, x
    mask = np.array([[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0]])
    rotary.rotate_(padded, positions=positions.from_mask(mask))
    assert np.array_equal(padded[0, 3:], alone) and np.array_equal(padded[1, :5], alone)
    packed = np.concatenate([x, x[:2], x])
    rotary.rotate_(packed, positions=positions.from_indptr([0, 5, 7, 12]))
    assert np.array_equal(packed, np.concatenate([alone, alone[:2], alone]))


def test_a_table_serves_every_layer_and_batch():
    rng = np.random.default_rng(7)
    rotary = positions.Rotary(16, compat=True)
    table = rotary.table(np.arange(4, 10))
    x = normal(rng, 3, 6, 2, 16)
    each = np.stack([rotary(part, np.arange(4, 10)) for part in x])
    rotary.rotate_(x, positions=table)
    assert np.array_equal(x, each)


@pytest.mark.parametrize("order", ["blocks", "interleaved"])
@pytest.mark.parametrize("sections", [[4, 6, 6], [8, 8], [10, 3, 3]])
def test_positions_with_coordinates(sections, order):
    rng = np.random.default_rng(8)
    rotary = positions.Rotary(32, sections=sections, section_order=order)
    ids = rng.integers(0, 1_000_000, (len(sections), 2, 9))
    axes = reference.axis_of_pairs(sections, order)
    angles = np.moveaxis(ids[axes], 0, -1) * reference.frequencies(32)
    x = normal(rng, 2, 9, 3, 32)
    expected = reference.rotate(x.astype(np.float64), angles[:, :, None])
    rotary.rotate_(x, positions=ids)
    np.testing.assert_allclose(x, expected, atol=1e-6)
    same = normal(rng, 9, 1, 32)
    text = np.stack([np.arange(9)] * len(sections))
    plain = positions.Rotary(32)(same)
    assert np.array_equal(rotary(same, text), plain) and np.array_equal(rotary(same), plain)


@settings(max_examples=60, deadline=None)
@given(
    heads=st.integers(1, 3),
    pairs=st.integers(1, 40),
    rest=st.integers(0, 3),
    backwards=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_other_layout_by_reordering_weights(heads, pairs, rest, backwards, seed):
    rng = np.random.default_rng(seed)
    head_dim = 2 * pairs + rest
    names = ["half", "interleaved"][:: -1 if backwards else 1]
    weight = rng.standard_normal((heads * head_dim, 5))
    moved = positions.reorder(weight, head_dim, *names, rotary_dim=2 * pairs)
    back = positions.reorder(moved, head_dim, *names[::-1], rotary_dim=2 * pairs)
    assert np.array_equal(back, weight)
    x = rng.standard_normal((7, 5))
    turned = []
    for w, layout in ((weight, names[0]), (moved, names[1])):
        rotary = positions.Rotary(head_dim, rotary_dim=2 * pairs, layout=layout)
        turned.append(rotary((x @ w.T).astype(np.float32)))
    for_second = positions.reorder(turned[0].T, head_dim, *names, rotary_dim=2 * pairs).T
    assert np.array_equal(for_second, turned[1])


def test_lengths_are_chosen_once():
    for kind in ("dynamic", "longrope"):
        rotary = positions.Rotary(32, scaling={"rope_type": kind, **GIVEN[kind]})
        rotary.table([0, 255])
        with pytest.raises(ValueError, match=r"position 256 is beyond 256 tokens.*for_length"):
            rotary.table([256])
        longer = rotary.for_length(1000)
        longer.table([999])
        with pytest.raises(ValueError, match="position 1000 is beyond 1000 tokens"):
            longer.table([1000])
        assert not np.array_equal(longer.inv_freq, rotary.inv_freq)
        assert np.array_equal(rotary.for_length(256).inv_freq, rotary.inv_freq)


def test_xpos_fades_with_distance():
    rng = np.random.default_rng(9)
    xpos = positions.XPos(16, rotary_dim=12)
    q, k = normal(rng, 40, 2, 16), normal(rng, 40, 2, 16)
    a, b = q.copy(), k.copy()
    xpos.rotate_(a, b)
    angles = np.arange(40)[:, None, None] * reference.frequencies(12)
    scale = np.repeat(reference.xpos_scale(np.arange(40), 12), 2, axis=-1)[:, None]
    for got, x, power in ((a, q, 1), (b, k, -1)):
        expected = reference.rotate(x.astype(np.float64), angles, "interleaved")
        expected[..., :12] *= scale**power
        np.testing.assert_allclose(got, expected, atol=1e-6)
    moved = b.copy()
    xpos.shift_(moved, 100)
    far_a, far_b = q.copy(), k.copy()
    xpos.rotate_(far_a, far_b, np.arange(100, 140))
    np.testing.assert_allclose(moved, far_b, rtol=1e-5, atol=1e-5)
    scores = np.einsum("qhd,khd->hqk", a, b)
    np.testing.assert_allclose(np.einsum("qhd,khd->hqk", far_a, far_b), scores, atol=2e-5)
    xpos.unrotate_(a, b)
    np.testing.assert_allclose(a, q, atol=1e-5)
    np.testing.assert_allclose(b, k, atol=1e-5)
    with pytest.raises(ValueError, match=r"at position 1000000 .* choose a center nearer to it"):
        xpos.rotate_(q, k, 1_000_000 - np.arange(40))
    positions.XPos(16, center=1_000_000).rotate_(q, k, 1_000_000 - np.arange(40))


def test_no_positions():
    x = np.ones((3, 2, 4), np.float32)
    scheme = positions.NoPE()
    scheme.rotate_(x, x, [1, 2, 3])
    scheme.shift_(x, 4)
    assert np.array_equal(scheme(x), np.ones_like(x))
