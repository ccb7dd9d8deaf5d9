"""Questions to word vectors beside plain NumPy, and their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from lowbit import FileFormatError
from lowbit.embeddings import word_evaluation
from lowbit.embeddings.word_search import top_rows


def vectors(words: int = 500, dim: int = 20, seed: int = 0) -> lb.WordVectors:
    rng = np.random.default_rng(seed)
    names = [f"w{i}" for i in range(words)]
    return lb.WordVectors(names, rng.standard_normal((words, dim)), np.arange(words)[::-1])


def cosines(wv: lb.WordVectors, query: np.ndarray) -> np.ndarray:
    x = wv.vectors.astype(np.float64)
    return x @ query / np.linalg.norm(x, axis=1) / np.linalg.norm(query)


def test_most_similar_is_the_order_of_cosines() -> None:
    wv = vectors()
    expected = cosines(wv, wv["w7"].astype(np.float64))
    order = [i for i in np.argsort(-expected) if i != 7][:25]
    found = wv.most_similar("w7", top=25)
    assert [word for word, _ in found] == [f"w{i}" for i in order]
    np.testing.assert_allclose([score for _, score in found], expected[order], atol=1e-6)


def test_most_similar_of_sums_filters_and_limits() -> None:
    wv = vectors()
    unit = wv.normalized()
    query = (unit["w1"] + unit["w2"] - unit["w3"]).astype(np.float64)
    order = [f"w{i}" for i in np.argsort(-cosines(wv, query)) if i not in (1, 2, 3)]
    ask = {"positive": ["w1", "w2"], "negative": ["w3"], "top": 5}
    assert [word for word, _ in wv.most_similar(**ask)] == order[:5]
    below = [word for word in order if int(word[1:]) < 100]
    assert [word for word, _ in wv.most_similar(**ask, limit=100)] == below[:5]
    among = ["w40", "w1", "w9", "unknown"]
    expected = [word for word in order if word in among]
    assert [word for word, _ in wv.most_similar(**ask, among=among)] == expected
    # A vector is asked like a word, but leaves none out.
    assert wv.most_similar(wv["w5"], top=1)[0][0] == "w5"
    assert len(wv.most_similar("w5", top=1000)) == 499


def test_equal_scores_come_in_the_order_of_the_vocabulary() -> None:
    wv = lb.WordVectors(list("abcdef"), np.ones((6, 3)))
    assert [word for word, _ in wv.most_similar("c", top=3)] == ["a", "b", "d"]


def test_zero_vectors_are_near_to_nothing() -> None:
    wv = lb.WordVectors(["a", "zero", "b"], [[1.0, 0], [0, 0], [-1, 0]])
    assert wv.similarity("a", "zero") == 0 and wv.similarity("a", "b") == -1
    assert [word for word, _ in wv.most_similar("a")] == ["zero", "b"]
    assert np.isfinite([score for _, score in wv.most_similar("zero")]).all()


@pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
def test_analogies_in_batches_are_those_one_by_one(method: str, same_bits: Callable) -> None:
    wv = vectors()
    unit = wv.normalized().vectors.astype(np.float64)
    rng = np.random.default_rng(1)
    questions = np.array([rng.choice(500, 3, replace=False) for _ in range(300)])
    a, b, c = ([f"w{i}" for i in column] for column in questions.T)
    batch = wv.analogy(a, b, c, top=3, method=method)
    for i, (x, y, z) in enumerate(questions):
        if method == "3cosadd":
            scores = unit @ (unit[y] - unit[x] + unit[z])
        else:
            near = (unit @ unit[[x, y, z]].T + 1) / 2
            scores = near[:, 1] * near[:, 2] / (near[:, 0] + 0.001)
        scores[[x, y, z]] = -np.inf
        assert [word for word, _ in batch[i]] == [f"w{j}" for j in np.argsort(-scores)[:3]]
    assert wv.analogy(a[0], b[0], c[0], top=3, method=method) == batch[0]
    query = unit[:200].astype(np.float32)
    same_bits(lambda: top_rows(query, lb.NearestNeighbours(wv.unit_vectors(), "dot"), 5))


def write_questions(path: Path) -> Path:
    path.write_text(
        ": capitals\nParis France Rome Italy\nParis France Oslo Norway\n\n"
        ": gram\nman men Rome rome\n"
    )
    return path


def test_evaluation_of_analogies(tmp_path: Path) -> None:
    rows = {"paris": [1, 0, 0], "france": [1, 1, 0], "rome": [0, 0, 1], "italy": [0, 1, 1]}
    rows |= {"ROME": [9, 9, -9], "other": [-1, -1, -1]}
    wv = lb.WordVectors(rows, np.array(list(rows.values()), np.float64))
    path = write_questions(tmp_path / "questions.txt")
    report = wv.evaluate_analogies(path)
    assert report.sections == {"capitals": (1, 1), "gram": (0, 0)}
    assert (report.correct, report.total, report.unknown, report.accuracy) == (1, 1, 2, 1.0)
    assert wv.evaluate_analogies(path, case_sensitive=True).total == 0
    assert wv.evaluate_analogies(path, limit=3).total == 0
    assert np.isnan(wv.evaluate_analogies(path, limit=3).accuracy)


def test_evaluation_of_word_pairs(tmp_path: Path) -> None:
    angles = np.array([0.0, 0.1, 0.4, 1.2, 2.0])
    wv = lb.WordVectors(list("abcde"), np.stack([np.cos(angles), np.sin(angles)], axis=1))
    path = tmp_path / "pairs.tsv"
    path.write_text("# a comment\nA\tb\t9\na\tc\t8.5\na\td\t3\na\te\t3\na\tnone\t1\n")
    report = wv.evaluate_word_pairs(path)
    x, y = np.cos(angles[1:]), np.array([9, 8.5, 3, 3])
    assert report.pearson == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    ranked = np.corrcoef([4, 3, 2, 1], [4, 3, 1.5, 1.5])[0, 1]
    assert report.spearman == pytest.approx(ranked)
    assert (report.pairs, report.unknown) == (4, 1)
    assert np.isnan(wv.evaluate_word_pairs(path, case_sensitive=True, limit=2).spearman)


def test_broken_tests_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.txt"
    for text in ("a b c d\n", ": s\na b c\n"):
        path.write_text(text)
        with pytest.raises(FileFormatError, match="line"):
            vectors().evaluate_analogies(path)
    for text in ("a\tb\n", "a\tb\tx\n", "a b 3\n", "a\tb\tnan\n"):
        path.write_text(text)
        with pytest.raises(FileFormatError, match="line 1"):
            vectors().evaluate_word_pairs(path)


def test_ranks_share_ties() -> None:
    values = np.array([3.0, 1, 3, 2, 3])
    assert word_evaluation.ranks(values).tolist() == [4, 1, 4, 2, 4]


def test_restricted_normalized_and_projected() -> None:
    wv = vectors()
    few = wv.restrict(10)
    assert few.words == wv.words[:10] and few.counts.tolist() == wv.counts[:10].tolist()
    np.testing.assert_allclose(np.linalg.norm(wv.normalized().vectors, axis=1), 1, atol=1e-6)
    flat = wv.pca(3)
    x = wv.vectors.astype(np.float64) - wv.vectors.mean(axis=0)
    expected = np.linalg.svd(x, full_matrices=False)[1][:3]
    np.testing.assert_allclose(np.linalg.norm(flat.vectors, axis=0), expected, rtol=1e-5)
    assert wv.get("w1").tolist() == wv["w1"].tolist() and wv.get("nothing") is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda wv: wv["nothing"], KeyError, "'nothing' is not in the vocabulary"),
        (lambda wv: wv.most_similar("nothing"), KeyError, "'nothing'"),
        (lambda wv: wv.most_similar([]), ValueError, "pass a word or a vector"),
        (lambda wv: wv.most_similar("w1", top=0), ValueError, "top=0 must be at least 1"),
        (lambda wv: wv.most_similar("w1", limit=0), ValueError, "limit=0 must be at least 1"),
        (lambda wv: wv.analogy(["w1"], ["w2"], ["w3", "w4"]), ValueError, "as many each"),
        (lambda wv: wv.analogy("w1", "w2", ["w3"]), ValueError, "as many each"),
        (lambda wv: wv.analogy("w1", "w2", "w3", method="x"), ValueError, 'method="x"'),
        (lambda wv: wv.pca(0), ValueError, "dim=0 must be between 1 and 20"),
        (lambda wv: wv.save("vectors.xyz"), ValueError, "no format is known for '.xyz'"),
        (lambda wv: lb.WordVectors(["a"], np.eye(2)), ValueError, "1 words have 2 vectors"),
        (lambda wv: lb.WordVectors(["a", "a"], np.eye(2)), ValueError, "'a' comes twice"),
        (lambda wv: lb.WordVectors(["a"], np.eye(1), [1, 2]), ValueError, "counts have shape"),
    ],
)
def test_wrong_questions_are_refused(
    call: Callable, error: type[Exception], message: str, here: Path
) -> None:
    with pytest.raises(error, match=message):
        call(vectors())


@pytest.mark.parametrize("name", ["a.safetensors", "a.txt", "a.vec", "a.bin", "glove"])
def test_files_read_back_with_the_same_bits(name: str, here: Path) -> None:
    wv = vectors(50, 7)
    wv.words[3] = "d\u00fcwn"
    wv = lb.WordVectors(wv.words, wv.vectors * np.float32(1e-3), wv.counts)
    wv.save(name, "glove" if name == "glove" else None)
    again = lb.WordVectors.load(name)
    assert again.words == wv.words and again.vectors.tobytes() == wv.vectors.tobytes()
    few = lb.WordVectors.load(name, limit=5)
    assert few.words == wv.words[:5] and few.vectors.tobytes() == wv.vectors[:5].tobytes()
    if name == "a.safetensors":
        assert again.counts.tolist() == wv.counts.tolist()
        mapped = lb.WordVectors.load(name, mmap=True)
        assert isinstance(mapped.vectors.base, np.memmap)
        assert mapped.most_similar("w1") == wv.most_similar("w1")
    else:
        with pytest.raises(ValueError, match="cannot be mapped"):
            lb.WordVectors.load(name, mmap=True)


def test_words_with_spaces_go_into_safetensors_alone(here: Path) -> None:
    wv = lb.WordVectors(["new york", "line\nbreak", ""], np.eye(3))
    wv.save("a.safetensors")
    assert lb.WordVectors.load("a.safetensors").words == wv.words
    for name in ("a.txt", "a.bin"):
        with pytest.raises(ValueError, match='use "safetensors"'):
            wv.save(name)
    assert not Path("a.txt").exists()


def test_files_of_other_programs(here: Path) -> None:
    """Spaces at the ends of lines, words with spaces, doubles, bytes that are no text."""
    path = Path("a.txt")
    path.write_bytes(b"4 2\nup 1 2 \n. . 3 4\nup 5 6\r\nd\xffwn 7 8\n")
    with pytest.raises(
        FileFormatError, match=r'line 5: the word .* is not UTF-8; pass errors="repl'
    ):
        lb.WordVectors.load(path)
    wv = lb.WordVectors.load(path, errors="replace")
    assert wv.words == ["up", ". .", "d\ufffdwn"]
    assert wv.vectors.tolist() == [[1, 2], [3, 4], [7, 8]]
    row = np.array([1, 2], "<f4").tobytes()
    for newline in (b"", b"\n"):
        path.write_bytes(b"2 2\nup " + row + newline + b"down " + row + newline)
        assert lb.WordVectors.load(path).words == ["up", "down"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a word and numbers"),
        (b"up\n", "expected a word and numbers"),
        (b"up 1 2\ndown 1\n", "line 2: expected a word and 2 numbers"),
        (b"up 1 2\ndown 1 x\n", "line 2: expected a word and 2 numbers"),
        (b"up 1 nan\n", "line 1: a number is infinite or none"),
        (b"up 1 1e99\n", "line 1: a number is infinite or none"),
        (b"2 2\nup 1 2\n", "has 1 words, its first line says 2"),
        (b"999999999999 2\nup 1 2\n", "rows of 2 do not fit into 22 bytes"),
        (b"1 2\nup \0\0", "rows of 2 do not fit"),
    ],
)
def test_broken_vectors_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(FileFormatError, match=message):
        lb.WordVectors.load(tmp_path / "a.txt")


def test_glove_of_the_shared_data(shared_data: Path) -> None:
    wv = lb.WordVectors.load(shared_data / "embeddings" / "test_glove.txt")
    assert wv.dim == 50 and wv.words[0] == "the"
    np.testing.assert_allclose(wv["the"][:2], [0.418, 0.24968])


def fasttext_vectors() -> lb.WordVectors:
    lines = ["lowest lower slow slowly", "h\u00e9llo w\u00f6rld lower"] * 20
    return lb.WordVectors.train(lines, "fasttext", 6, ngrams=(2, 4), buckets=300, epochs=2)


@pytest.mark.parametrize("mmap", [False, True])
def test_fasttext_bin_reads_back(mmap: bool, here: Path) -> None:
    wv = fasttext_vectors()
    wv.save("a.bin", "fasttext")
    again = lb.WordVectors.load("a.bin", mmap=mmap)
    assert again.words == wv.words and again.counts.tolist() == wv.counts.tolist()
    for word in (*wv.words, "lowly", "unh\u00e9llo"):
        np.testing.assert_array_equal(again[word], wv[word])
    assert again.subwords.bucket_count == 300 and again.subwords.ngrams == (2, 4)
    assert lb.WordVectors.load("a.bin", limit=2).words == wv.words[:2]
    again.save("b.bin", "fasttext")
    assert Path("a.bin").read_bytes() == Path("b.bin").read_bytes()
    with pytest.raises(ValueError, match='format="fasttext" needs vectors of n-grams'):
        vectors().save("c.bin", "fasttext")


def test_broken_fasttext_bins_are_refused(here: Path) -> None:
    path = Path("a.bin")
    fasttext_vectors().save(path, "fasttext")
    good = path.read_bytes()
    for begin, data, message in [
        (4, b"\x0b", "in version 12"),
        (8, b"\xff\xff\xff\xff", "dim -1"),
        (8 + 4 * 8, b"\xff\xff\xff\x7f", "expected 21474"),
        (64, b"\xff\xff\xff\x7f", "of 2147483647 entries"),
        (64 + 20, b"\0" * 8, "expected"),
        (good.index(b"lower\0") + 14, b"\1", "words and labels are mixed"),
    ]:
        path.write_bytes(good[:begin] + data + good[begin + len(data) :])
        with pytest.raises(FileFormatError, match=message):
            lb.WordVectors.load(path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(FileFormatError):
        lb.WordVectors.load(path)
