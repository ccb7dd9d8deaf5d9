"""Every operation on every instruction set gives the same bits; which one runs can be chosen.

The parameters come from the compiled lists: a new instruction set or format is tested unasked, and
a new kernel fails `test_every_kernel_has_a_case` until it has a case here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from lowbit import Tokenizer, _core
from lowbit.embeddings.glove import start_table
from lowbit.embeddings.word_training import new_table
from lowbit.tokenizers.patterns import PATTERNS
from products import weight_of
from split_words import word_splitter

ISAS = _core.isas()
FORMATS = [entry["name"] for entry in _core.formats()]
PACKED = [entry["name"] for entry in _core.formats() if entry["packed"]]
WITH_ZEROS = [entry["name"] for entry in _core.formats() if entry["zero_points"]]
TILE_KERNELS = {"pack_tiles", "matmul_tiles", "probe_tiles"}  # tests/test_tiles.py

Arrays = list[np.ndarray]
CASES: dict[str, Callable[[np.random.Generator], Iterator[Arrays]]] = {}


def case(*kernels: str) -> Callable:
    """Register a generator of result arrays as the case of these kernels."""

    def register(function: Callable) -> Callable:
        for kernel in kernels:
            CASES[kernel] = function
        return function

    return register


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def weights(rng: np.random.Generator, rows: int, cols: int) -> Iterator[object]:
    """The same random matrix in every format, packed ones with and without groups and zeros."""
    w = normal(rng, rows, cols)
    w[rng.random(w.shape) < 0.02] = 0
    for name in FORMATS:
        if name in PACKED:
            yield _core.PackedMatrix.quantize(w, name, 0, False)
            yield _core.PackedMatrix.quantize(w, name, 32, True)
            if name in WITH_ZEROS:
                yield _core.PackedMatrix.quantize(w, name, 32, False, "fp16", False)
                yield _core.PackedMatrix.quantize(w, name, 0, False, "bf16", False)
        else:
            yield weight_of(name, False, w)


@case("probe")
def probed(rng: np.random.Generator) -> Iterator[Arrays]:
    """Rates differ; that they are rates at all is what can be compared."""
    rates = [_core.measure_read(np.ones(1 << 16, np.uint8)), _core.measure_fma()]
    rates += [_core.measure_pairs(), _core.measure_bytes()]
    yield [np.array([1e6 < rate < 1e15 for rate in rates], np.float32)]


@case("quantize")
def quantized(rng: np.random.Generator) -> Iterator[Arrays]:
    for rows, cols in [(1, 1), (15, 33), (16, 64), (35, 100)]:
        w = normal(rng, rows, cols) * np.float32(10.0) ** rng.integers(-30, 30, (rows, 1))
        w[0] = 0
        w.reshape(-1)[::7] = np.round(w.reshape(-1)[::7])
        for name in PACKED:
            kinds = [(0, False), (32, False), (64, True), (-1, False)]
            if name != "mxfp4":
                kinds += [(32, False, "bf16"), (32, False, "bf16", name not in WITH_ZEROS)]
            for kind in kinds:
                packed = _core.PackedMatrix.quantize(w.astype(np.float32), name, *kind)
                yield [v for v in packed.parts().values() if isinstance(v, np.ndarray)]


@case("dequantize")
def dequantized(rng: np.random.Generator) -> Iterator[Arrays]:
    for rows, cols in [(1, 1), (15, 33), (17, 64), (50, 130)]:
        for weight in weights(rng, rows, cols):
            yield [_core.dequantize(weight)]


@case("matmul", "matmul_few")
def products(rng: np.random.Generator, compute: str = "fp32") -> Iterator[Arrays]:
    options = {"scale": 0.5, "dropout": 0.1, "compute": compute}
    for tokens, outputs, inputs in [(1, 1, 1), (3, 17, 33), (13, 70, 100), (50, 33, 400)]:
        x, dy = normal(rng, tokens, inputs), normal(rng, tokens, outputs)
        bias, residual = normal(rng, outputs), normal(rng, tokens, outputs)
        a, b = normal(rng, 5, inputs), normal(rng, outputs, 5)
        for weight in weights(rng, outputs, inputs):
            yield [_core.linear_forward(x, weight, bias, residual, compute=compute)[0]]
            y, xa = _core.linear_forward(x, weight, lora_a=a, lora_b=b, **options)
            gradients = _core.linear_backward(dy, x, xa, weight, a, b, **options)
            yield [y, xa, *gradients]
            yield list(_core.linear_backward(dy, x, xa, weight, a, b, scale=2.0, compute=compute))


@case("pack_int8", "matmul_int8", "matmul_int8_tiles")
def byte_products(rng: np.random.Generator) -> Iterator[Arrays]:
    for tokens, outputs, inputs in [(1, 1, 1), (3, 17, 33), (13, 70, 100), (50, 40, 1200)]:
        x, residual = normal(rng, tokens, inputs), normal(rng, tokens, outputs)
        a, b = normal(rng, 5, inputs), normal(rng, outputs, 5)
        for weight in weights(rng, outputs, inputs):
            if not isinstance(weight, _core.PackedMatrix):
                continue
            for x_scale in ("block", "row", (0.02, 0, -127, 127), (0.02, -70, -127, 127)):
                options = {"compute": "int8", "x_scale": x_scale}
                yield list(_core.linear_forward(x, weight, None, residual, a, b, **options))


@case("pack_int16", "matmul_int16")
def integer_products(rng: np.random.Generator) -> Iterator[Arrays]:
    yield from products(rng, "int16")


SEQUENCES = np.array([0, 1, 1, 18, 67, 90], dtype=np.int64)  # lengths 1, 0, 17, 49, 23


@case("layer_norm", "layer_norm_backward")
def normalized(rng: np.random.Generator) -> Iterator[Arrays]:
    for rows, cols in [(1, 1), (5, 17), (33, 384)]:
        x, residual, dy = (normal(rng, rows, cols) for _ in range(3))
        gamma, beta = normal(rng, cols), normal(rng, cols)
        for extra in (None, residual):
            y, h, mean, rstd = _core.layer_norm(x, extra, gamma, beta, 1e-12)
            yield [y, h, mean, rstd, _core.layer_norm_backward(dy, h, mean, rstd, gamma)]


@case("rms_norm", "rms_norm_backward", "softmax", "softmax_backward")
def row_by_row(rng: np.random.Generator) -> Iterator[Arrays]:
    for cols in (1, 17, 400):
        x, dy, gamma = 3 * normal(rng, 9, cols), normal(rng, 9, cols), normal(rng, cols)
        yield [_core.rms_norm(x, gamma, 1e-6), _core.rms_norm_backward(dy, x, gamma, 1e-6)]
        y = _core.softmax(x)
        yield [y, _core.softmax_backward(dy, y)]


@case("activation", "activation_backward")
def activated(rng: np.random.Generator) -> Iterator[Arrays]:
    special = np.array([0, -0.0, 1e-40, 1e-10, -1e-10, 12, -12, np.inf, -1e30], np.float32)
    x = np.concatenate([special, 3 * normal(rng, 5000)])
    for name in ("gelu", "gelu_tanh", "silu"):
        dy = normal(rng, x.size)
        yield [_core.activation(x, name), _core.activation_backward(dy, x, name)]


@case("attention", "attention_backward")
def attended(rng: np.random.Generator) -> Iterator[Arrays]:
    for heads, head_dim in [(1, 7), (3, 32), (2, 40)]:
        shape = (int(SEQUENCES[-1]), heads * head_dim)
        q, k, v, dout = (normal(rng, *shape) for _ in range(4))
        for dropout, causal in ((0.0, False), (0.25, False), (0.25, True)):
            options = (heads, SEQUENCES, dropout, 7, 4, causal)
            out, lse = _core.attention(q, k, v, *options)
            yield [out, lse, *_core.attention_backward(dout, q, k, v, out, lse, *options)]
    q, k, v, dout = (normal(rng, 600, 7) for _ in range(4))  # two blocks of keys
    for causal in (False, True):
        options = (1, np.array([0, 600]), 0.0, 0, 0, causal)
        out, lse = _core.attention(q, k, v, *options)
        yield [out, lse, *_core.attention_backward(dout, q, k, v, out, lse, *options)]


@case("to_float32", "from_float32")
def converted(rng: np.random.Generator) -> Iterator[Arrays]:
    for count in (1, 17, 1000):
        values = normal(rng, count) * np.float32(10) ** rng.integers(-9, 6, count)
        for name in ("bf16", "fp16"):
            words = _core.from_float32(values.astype(np.float32), name)
            yield [words, _core.to_float32(words, name)]


@case("embed", "quantize_rows")
def embedded(rng: np.random.Generator) -> Iterator[Arrays]:
    for cols in (1, 17, 64):
        word, position, kind = normal(rng, 40, cols), normal(rng, 9, cols), normal(rng, 2, cols)
        ids, at, of = (rng.integers(0, n, 50, dtype=np.int32) for n in (40, 9, 2))
        codes, scales = _core.quantize_rows_int8(word)
        yield [codes, scales]
        words, halves = _core.from_float32(word, "bf16"), word.astype(np.float16)
        for table, scale in [(word, None), (words, None), (halves, None), (codes, scales)]:
            yield [
                _core.embed(table, scale, ids),
                _core.embed(table, scale, ids, position, at, kind, of),
            ]


@case("embed_bag", "sgd", "adagrad")
def trained_rows(rng: np.random.Generator) -> Iterator[Arrays]:
    """Bags, their gradients, and what optimizers make of the rows."""
    ids, indptr = rng.integers(0, 40, 60), np.array([0, 1, 1, 3, 6, 10, 15, 60])
    factors = normal(rng, 60)
    for cols in (1, 17, 64, 130):
        table, dout = normal(rng, 40, cols), normal(rng, 7, cols)
        codes, scales = _core.quantize_rows_int8(table)
        packed = _core.PackedMatrix.quantize(table, "int4", 32, False)
        kinds = [(table, None), (_core.from_float32(table, "bf16"), None), (codes, scales)]
        kinds += [(table.astype(np.float16), None), (packed, None), (_core.Int4Rows(packed), None)]
        for rows, scale in kinds:
            yield [_core.embed(rows, scale, ids), _core.embed_bag(rows, scale, ids, indptr, "mean")]
            yield [_core.embed_bag(rows, scale, ids, indptr, "sum", factors)]
        states = [np.zeros_like(table) for _ in range(4)]
        for step in (1, 2):
            gradient = _core.embed_bag_backward(dout, ids, indptr, "mean", None, 40)
            _core.sgd_rows(table, *gradient, states[0], 0.1, 0.9)
            _core.sgd_rows(table, *gradient, None, 0.1, 0.0)
            _core.sparse_adam_rows(table, *gradient, *states[1:3], 0.1, 0.9, 0.999, 1e-8, step)
            _core.adagrad_rows(table, *gradient, states[3], 0.1, 1e-10)
            yield [*gradient, table.copy(), *states]


@case("rotary")
def turned(rng: np.random.Generator) -> Iterator[Arrays]:
    shapes = [(1, 1, 1, 2, 1), (2, 5, 3, 7, 3), (1, 40, 4, 128, 64), (3, 33, 2, 100, 48)]
    for batches, tokens, heads, head_dim, pairs in shapes:
        angles = normal(rng, batches * tokens, pairs)
        cos, sin = np.cos(angles), np.sin(angles)
        x = 100 * normal(rng, batches, tokens, heads, head_dim)
        x.reshape(-1)[:: 11 * head_dim] = np.inf
        kinds = {"fp32": x, "fp16": x.astype(np.float16), "bf16": _core.from_float32(x, "bf16")}
        for name, values in kinds.items():
            for bits in range(8):
                options = (bool(bits & 1), bool(bits & 2), bool(bits & 4))
                y, z = values.copy(), np.ascontiguousarray(values.swapaxes(1, 2))
                _core.rotate([y, z.swapaxes(1, 2)], name, cos, sin, *options)
                yield [y, z]


@case("pool")
def pooled(rng: np.random.Generator) -> Iterator[Arrays]:
    for cols in (1, 17, 64):
        x = normal(rng, int(SEQUENCES[-1]), cols)
        yield [_core.pool(x, SEQUENCES, mode) for mode in ("mean", "sum", "cls")]


@case("adamw")
def optimized(rng: np.random.Generator) -> Iterator[Arrays]:
    for size in (1, 17, 1000):
        parameters, m, v = normal(rng, size), np.zeros(size, np.float32), np.zeros(size, np.float32)
        for step in (1, 2, 3):
            gradients = normal(rng, size)
            _core.adamw(parameters, gradients, m, v, 1e-3, 0.9, 0.999, 1e-8, 0.01, step, 0.5)
        yield [parameters, m, v]


@case("skipgram", "word_bags", "merge_rows")
def trained_vectors(rng: np.random.Generator) -> Iterator[Arrays]:
    """Losses too; more of them are in test_word_vectors.py."""
    builder = _core.WordCorpusBuilder()
    builder.add_lines(" ".join(f"w{i}" for i in rng.zipf(1.4, 3000) % 300).encode())
    corpus = builder.build(1, 0)
    tree = _core.WordTree(corpus.counts)
    for method, dim, negative, mean, paths in [
        ("skipgram", 1, 1, False, None),
        ("skipgram", 100, 5, False, None),
        ("skipgram", 33, 13, False, None),
        ("skipgram", 50, 0, False, tree),
        ("cbow", 100, 5, True, None),
        ("cbow", 20, 9, False, None),
        ("cbow", 20, 0, False, tree),
    ]:
        for deterministic in (True, False):
            rows = len(corpus.counts)
            tables = [new_table(rows, dim), new_table(rows - (paths is not None), dim)]
            _core.start_vectors(tables[0], dim, 5)
            options = (method, 4, negative, 1e-2, 0.75, 5, mean, deterministic, 1, 0.2, 0.01)
            before = _core.get_num_threads()
            _core.set_num_threads(2 if deterministic else 1)
            passed = _core.WordTrainer(corpus, None, *tables, *options, paths)
            _, loss, pairs = passed.run(0, 0, passed.chunks)
            _core.set_num_threads(before)
            yield [*tables, np.array([loss, pairs])]


@case("exchange_rows")
def exchanged_rows(rng: np.random.Generator) -> Iterator[Arrays]:
    for rows, dim in [(1, 16), (9, 112)]:
        table = new_table(rows, dim)
        table[:] = normal(rng, rows, dim)
        one, other = (_core.OwnRows(table, rows, False) for _ in range(2))
        for row in range(rows):
            one.add(row, float(rng.standard_normal()))
            other.add(row, float(rng.standard_normal()))
        one.note(rng.integers(0, rows, 40).astype(np.int32))
        one.exchange(rows, 3.0, 0.25)
        other.exchange(rows, 3.0, 0.25)
        yield [table]


@case("round_rows", "score_rows", "select_rows")
def nearest(rng: np.random.Generator) -> Iterator[Arrays]:
    """How many rows are scored is the same, too."""
    table = normal(rng, 700, 41)
    for metric in ("cosine", "dot", "euclidean"):
        for name in ("fp32", "int8"):
            for queries in (1, 6, 40):
                neighbours = _core.NeighbourTable(table, metric, name)
                scores, rows, scored = neighbours.search(normal(rng, queries, 41), 5, 690)
                yield [scores, rows, np.array([scored])]


@case("glove")
def fitted_vectors(rng: np.random.Generator) -> Iterator[Arrays]:
    """Losses too; more of them are in test_glove.py."""
    builder = _core.WordCorpusBuilder()
    builder.add_lines(" ".join(f"w{i}" for i in rng.zipf(1.4, 3000) % 300).encode())
    corpus = builder.build(1, 0)
    for dim, symmetric, plain_biases in [(1, True, False), (100, True, True), (47, False, False)]:
        with tempfile.TemporaryFile() as file:
            counter = _core.CooccurrenceCounter(
                corpus, 64, 5, symmetric, True, 1 << 20, file.fileno()
            )
            counter.run(0, counter.chunks)
            counter.finish()
            table = start_table(len(corpus.counts), dim, 5)
            options = (dim, 0.1, 5.0, 0.75, 0.05, plain_biases, 5)
            trainer = _core.GloveTrainer(counter, table.reshape(len(table), -1), *options)
            _, loss, pairs = trainer.run(0, 0, trainer.chunks)
        yield [table, np.array([loss, pairs])]


@case("classify")
def classified(rng: np.random.Generator) -> Iterator[Arrays]:
    """Words of random texts; more of them are in test_split_patterns.py."""
    tokenizer = word_splitter(PATTERNS["cl100k"])
    for size in (1, 64, 129, 3000):
        points = [*rng.integers(0, 128, size), *rng.integers(128, 0xD800, size // 4)]
        text = "".join(map(chr, rng.permutation(points)))
        yield [np.array([len(word) for word in tokenizer.split(text)])]
        yield list(tokenizer.encode_batch([text], [], [], 1 << 40, False, False, 1))


@case("classify_points")
def classified_points(rng: np.random.Generator) -> Iterator[Arrays]:
    """Words of texts of a few scripts, whose code points share their first bytes."""
    scripts = [(0x20, 0x80), (0x400, 0x530), (0x5D0, 0x640), (0x900, 0xA00), (0x3000, 0x3100)]
    scripts += [(0x4DF0, 0x9FFF), (0xAC00, 0xD7A0), (0x10400, 0x10480), (0x1D7C0, 0x1D800)]
    for pattern in ("gpt2", "cl100k", "o200k", "qwen2", "kimi-k2"):
        tokenizer = word_splitter(PATTERNS[pattern])
        for size in (1, 64, 129, 3000):
            chosen = rng.integers(0, len(scripts), size // 20 + 1)
            points = [p for s in chosen for p in rng.integers(*scripts[s], 20)]
            text = "".join(map(chr, points))
            yield [np.array([len(word) for word in tokenizer.split(text)])]
            yield list(tokenizer.encode_batch([text], [], [], 1 << 40, False, False, 1))


@case("list_bits")
def listed(rng: np.random.Generator) -> Iterator[Arrays]:
    """Words of BERT, which begin and end at places of their own."""
    tokenizer = Tokenizer.train(["a b"], model="wordpiece", vocab_size=300)._kernel
    for size in (1, 64, 129, 3000):
        for letters in ("ab", "a ", "a, ", "a b c d e f g."):
            text = "".join(rng.choice(list(letters), size))
            yield list(tokenizer.encode_batch([text], [], [], 1 << 40, False, False, 1))


@pytest.fixture
def restore_isa() -> Iterator[None]:
    before = _core.active_isa()
    yield
    _core.use_isa(before)


def test_every_kernel_has_a_case() -> None:
    assert set(_core.cpu_info()["kernels"]) - TILE_KERNELS == set(CASES)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kernel", sorted(set(_core.cpu_info()["kernels"]) - TILE_KERNELS))
def test_bits_equal_scalar(kernel: str, isa: str, restore_isa: None) -> None:
    make = CASES[kernel]
    _core.use_isa("scalar")
    expected = list(make(np.random.default_rng(3)))
    _core.use_isa(isa)
    got = list(make(np.random.default_rng(3)))
    assert _core.active_isa() == isa
    assert _core.last_kernel().split()[-1] == isa
    assert len(got) == len(expected) > 0
    for index, (one, other) in enumerate(zip(got, expected, strict=True)):
        for array, reference in zip(one, other, strict=True):
            assert array.tobytes() == reference.tobytes(), f"case {index} differs"
