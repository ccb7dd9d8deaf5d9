"""Positions that are added to embeddings and to scores, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit import FileFormatError, positions
from lowbit.reference import positions as reference

PLACES = np.array([0, 1, 2, 500, 999_999, 1_000_000])


@pytest.mark.parametrize("frequencies", ["paper", "tensor2tensor"])
@pytest.mark.parametrize("layout", ["interleaved", "half"])
@pytest.mark.parametrize("dim", [4, 5, 64, 127])
def test_sinusoids(dim, layout, frequencies):
    given = {"layout": layout, "frequencies": frequencies}
    exact = reference.sinusoidal(PLACES, dim, 5000.0, **given)
    got = positions.Sinusoidal(dim, 5000.0, **given)
    assert got.rows(PLACES).dtype == np.float32
    np.testing.assert_allclose(got.rows(PLACES), exact, rtol=0, atol=6e-8)
    shifted = positions.Sinusoidal(dim, 5000.0, offset=3, padding=2, scale=0.5, **given)
    rows = shifted.rows([-1, 0, 7])
    expected = 0.5 * reference.sinusoidal(np.array([2, 3, 10]), dim, 5000.0, **given)
    expected[0] = 0
    np.testing.assert_allclose(rows, expected, rtol=0, atol=6e-8)
    with pytest.raises(IndexError, match="position -4 is negative"):
        shifted.rows([-4])


def test_sinusoids_that_are_rounded_are_near_for_small_positions():
    rounded = positions.Sinusoidal(64, compat=True).rows(np.arange(100))
    exact = positions.Sinusoidal(64).rows(np.arange(100))
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"dim": 0},
        {"dim": 4, "base": 1.0},
        {"dim": 4, "layout": "x"},
        {"dim": 4, "frequencies": "x"},
        {"dim": 3, "frequencies": "tensor2tensor"},
    ],
)
def test_sinusoids_that_make_no_sense(arguments):
    with pytest.raises(ValueError, match=r"positions\.Sinusoidal: "):
        positions.Sinusoidal(**arguments)


def test_learned_rows_with_an_offset():
    table = np.random.default_rng(0).standard_normal((10, 6)).astype(np.float32)
    scheme = positions.Learned(table, offset=2, scale=2.0)
    places = positions.from_mask([[0, 1, 1], [1, 1, 1]], masked=-1)
    assert np.array_equal(scheme.rows(places), 2 * reference.learned(table, places, 2))
    for bad in ([-3], [8]):
        with pytest.raises(IndexError, match="the table has 10 rows, of which 2 are before"):
            scheme.rows(bad)
    longer = scheme.resize(15)
    assert longer.shape == (17, 6)
    assert np.array_equal(longer.table[:2], table[:2])
    assert np.array_equal(longer.rows([0, 14]), scheme.rows([0, 7]))
    assert np.array_equal(longer.rows([2]), scheme.rows([1]))
    with pytest.raises(ValueError, match="offset=11 is not within the 10 rows"):
        positions.Learned(table, offset=11)
    with pytest.raises(ValueError, match="cannot resize 8 rows to 0"):
        scheme.resize(0)


def test_added_to_embeddings_of_padded_batches():
    x = np.random.default_rng(1).standard_normal((2, 4, 6)).astype(np.float32)
    scheme = positions.Sinusoidal(6)
    assert np.array_equal(scheme(x), x + scheme.rows([0, 1, 2, 3]))
    places = positions.from_mask([[0, 0, 1, 1], [1, 1, 1, 1]])
    assert np.array_equal(scheme(x, places), x + scheme.rows(places))
    for bad, message in (((2, 4, 5), "x has width 5"), ((4,), r"x has shape \(4,\)")):
        with pytest.raises(ValueError, match=message):
            scheme(np.zeros(bad))
    for bad in ([3], 3, [[0, 1, 2, 3]], np.zeros((3, 4), int)):
        with pytest.raises(ValueError, match=r"give them \(2, 4\) or \(4,\)"):
            scheme(x, bad)


@pytest.mark.parametrize("bias_max", [8.0, 5.0])
@pytest.mark.parametrize("heads", [1, 2, 3, 7, 8, 12, 71])
def test_alibi(heads, bias_max):
    alibi = positions.ALiBi(heads, bias_max)
    np.testing.assert_allclose(alibi.slopes, reference.alibi_slopes(heads, bias_max), rtol=6e-8)
    queries, keys = np.array([3, 1_000_000]), np.array([0, 3, 5, 999_999])
    expected = reference.alibi(queries, keys, heads, bias_max)
    np.testing.assert_allclose(alibi(queries, keys), expected, rtol=2e-7)


def test_bloom_adds_the_same_up_to_a_constant():
    alibi = positions.ALiBi(6)
    places = positions.from_mask([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    rows, columns = alibi(places), alibi.of_keys(places)
    assert rows.shape == (2, 6, 5, 5) and columns.shape == (2, 6, 1, 5)
    back = np.tril(np.ones((5, 5), bool))
    spread = np.where(back, columns - rows, np.nan)
    np.testing.assert_allclose(
        spread[1], np.broadcast_to(np.nanmax(spread[1], -1, keepdims=True), (6, 5, 5))
        + np.where(back, 0, np.nan), atol=1e-6
    )  # fmt: skip


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (4, 3), (8, 20), (18, 1000)])
def test_relative_bias(buckets, distance, bidirectional):
    table = np.random.default_rng(2).standard_normal((buckets, 3)).astype(np.float32)
    scheme = positions.RelativeBias(table, bidirectional, distance)
    queries, keys = np.array([0, 7, 1500]), np.arange(0, 3000, 7)
    expected = reference.relative_bias(queries, keys, table, bidirectional, distance)
    assert np.array_equal(scheme(queries, keys), expected)
    both = scheme(np.stack([queries, queries + 5]), np.stack([keys, keys + 5]))
    assert np.array_equal(both, np.stack([expected, expected]))


@pytest.mark.parametrize("kind", ["log", "power"])
def test_kerple(kind):
    rng = np.random.default_rng(3)
    p, a = rng.uniform(0.01, 2, 5), rng.uniform(0.01, 3, 5)
    queries, keys = np.array([0, 5, 1_000_000]), np.array([0, 4, 1000])
    got = positions.KERPLE(p, a, kind)(queries, keys)
    np.testing.assert_allclose(got, reference.kerple(queries, keys, p, a, kind), rtol=1e-6)


def test_fire():
    rng = np.random.default_rng(4)
    layers = [(rng.standard_normal((32, 1)), rng.standard_normal(32))]
    layers += [(rng.standard_normal((4, 32)), rng.standard_normal(4))]
    queries, keys = np.array([3, 600, 100_000]), np.array([0, 2, 3, 500])
    got = positions.FIRE(*layers[0], *layers[1], c=0.3, threshold=50)(queries, keys)
    expected = reference.fire(queries, keys, layers, 0.3, 50)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: positions.ALiBi(0), "heads=0"),
        (lambda: positions.ALiBi(2)([0.5]), "queries have dtype float64"),
        (lambda: positions.ALiBi(2)(3), r"queries have shape \(\)"),
        (lambda: positions.ALiBi(2)([[1], [2]], [[1]]), r"keys \(1, 1\)"),
        (lambda: positions.RelativeBias(np.ones((32, 2)), max_distance=8), "32 buckets do not"),
        (lambda: positions.RelativeBias(np.ones(32)), "expected 2 dimensions"),
        (lambda: positions.RelativeBias.from_config({}, np.ones((8, 2))), "says 32 buckets"),
        (lambda: positions.KERPLE([1.0], [0.0]), "above 0 for each head"),
        (lambda: positions.KERPLE([2.1], [1.0], "power"), "p at most 2"),
        (lambda: positions.KERPLE([1.0], [1.0], "x"), "kind='x'"),
        (lambda: positions.FIRE([[1.0]], [0.0], [[1.0, 1.0]], [0.0]), "do not fit"),
        (lambda: positions.from_indptr([0, 3, 2]), "never fall"),
        (lambda: positions.ALiBi.from_config({"model_type": "llama"}), "asks for no such"),
    ],
)
def test_arguments_that_make_no_sense(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_biases_from_configs(tmp_path):
    mpt = {"n_heads": 6, "attn_config": {"alibi": True, "alibi_bias_max": 4}}
    assert np.array_equal(positions.ALiBi.from_config(mpt).slopes, positions.ALiBi(6, 4).slopes)
    falcon = {"model_type": "falcon", "alibi": True, "num_attention_heads": 3}
    assert len(positions.ALiBi.from_config(falcon).slopes) == 3
    path = tmp_path / "config.json"
    for text in ('{"model_type": "falcon", "alibi": false}', '{"n_head": "x"}', "[]"):
        path.write_text(text)
        with pytest.raises(FileFormatError):
            positions.ALiBi.from_config(path)
    path.write_text('{"relative_attention_max_distance": 3}')
    with pytest.raises(FileFormatError, match="do not reach max_distance=3"):
        positions.RelativeBias.from_config(tmp_path, np.ones((32, 2)))


EVERY = [
    positions.Learned(np.random.default_rng(5).standard_normal((12, 8))),
    positions.Sinusoidal(8),
    positions.Rotary(8),
    positions.Rotary(16, rotary_dim=8, sections=[2, 2]),
    positions.XPos(8),
    positions.ALiBi(3),
    positions.RelativeBias(np.ones((8, 3))),
    positions.KERPLE(np.ones(3), np.ones(3)),
    positions.FIRE([[1.0]], [0.0], np.ones((3, 1)), np.zeros(3)),
    positions.NoPE(),
]


@pytest.mark.parametrize("scheme", EVERY, ids=lambda scheme: type(scheme).__name__)
def test_pictures(scheme, tmp_path):
    pytest.importorskip("matplotlib")
    path = positions.show(scheme, tmp_path / "picture.png", tokens=12)
    with open(path, "rb") as stream:
        assert stream.read(8) == b"\x89PNG\r\n\x1a\n"


def test_heat_map_of_rotary_is_one_at_distance_zero():
    from lowbit.positions.picture import heat_map

    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    numbers, _, _ = heat_map(positions.Rotary(16, scaling=scaling), tokens=9)
    np.testing.assert_allclose(np.diag(numbers), 1, atol=1e-6)
    np.testing.assert_allclose(numbers, numbers.T, atol=1e-6)
    with pytest.raises(TypeError, match="int is no scheme"):
        heat_map(3)
