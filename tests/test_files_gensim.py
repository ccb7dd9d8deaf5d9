"""Word vectors that gensim has saved: read without its code, or any code of the file."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from lowbit.errors import FileFormatError
from lowbit.files.pickle_stream import Described, read_pickle

DATA = Path(__file__).parent / "data" / "gensim"
INLINE = ["keyed2", "keyed3", "keyed4", "keyed5", "model"]


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return dict(np.load(DATA / "expected.npz"))


@pytest.mark.parametrize("name", [*INLINE, "apart"])
def test_vectors_are_those_of_gensim(name: str, expected: dict) -> None:
    wv = lb.WordVectors.load(DATA / name)
    assert wv.words == expected["words"].tolist() and "caf\u00e9" in wv
    assert wv.vectors.tobytes() == expected["vectors"].tobytes() and wv.vectors.flags.writeable
    assert wv.counts.tolist() == expected["counts"].tolist() and wv.subwords is None
    few = lb.WordVectors.load(DATA / name, limit=2)
    assert few.words == wv.words[:2] and np.array_equal(few.vectors, wv.vectors[:2])


def test_vectors_of_fasttext_know_more_words(expected: dict) -> None:
    wv = lb.WordVectors.load(DATA / "fasttext")
    assert wv.words == expected["fasttext_words"].tolist()
    np.testing.assert_allclose(wv.vectors, expected["fasttext_vectors"], atol=1e-7)
    unknown = str(expected["unknown_word"])
    assert unknown not in wv
    np.testing.assert_allclose(wv[unknown], expected["unknown_vector"], atol=1e-7)


def test_doubles_become_floats() -> None:
    wv = lb.WordVectors.load(DATA / "doubles", "gensim")
    assert wv.words == ["up", "down"] and wv.counts is None
    assert wv.vectors.dtype == np.float32 and wv.vectors.tolist() == [[0.5, 1], [2, -0.25]]


def test_arrays_beside_the_pickle_are_mapped(here: Path, expected: dict) -> None:
    for file in DATA.glob("apart*"):
        shutil.copy(file, here)
    wv = lb.WordVectors.load("apart", mmap=True)
    assert np.array_equal(wv.vectors, expected["vectors"]) and not wv.vectors.flags.owndata
    with pytest.raises(ValueError, match="is inside the pickle"):
        lb.WordVectors.load(DATA / "model", mmap=True)
    array = here / "apart.wv.vectors.npy"
    good = array.read_bytes()
    for broken, message in (
        (good[:-1], "do not fill"),
        (good + b"0", "do not fill"),
        (good.replace(b"<f4", b"|O4"), "describes no matrix"),
        (good.replace(b"(6, 5)", b"(6, 6)"), "do not fill"),
        (good.replace(b"(6, 5)", b"(30, )"), "describes no matrix"),
        (b"NUMPY" + good, "is no .npy file"),
        (b"", "is no .npy file"),
    ):
        array.write_bytes(broken)
        with pytest.raises(FileFormatError, match=message):
            lb.WordVectors.load("apart")
    array.unlink()
    with pytest.raises(FileNotFoundError, match=r"vectors\.npy"):
        lb.WordVectors.load("apart")


def test_a_pickle_is_a_description() -> None:
    value = {
        "a": [1, -2, 3 << 70, 2.5, None, True],
        5: (b"x" * 300, "caf\u00e9" * 99, frozenset([1])),
    }
    expected = value | {5: (*value[5][:2], (1,))}
    for protocol in (2, 3, 4, 5):
        if protocol > 2:  # which spells bytes as a call
            got = read_pickle(pickle.dumps({**value, 6: bytearray(b"y")}, protocol), "x")
            if protocol == 5:
                assert got.pop(6) == b"y"
            got.pop(6, None)
            got[5] = (*got[5][:2], (1,))
            assert got == expected
        path = read_pickle(pickle.dumps(Path("a") / "b", protocol), "x")
        assert isinstance(path, Described) and path.what.module.startswith("pathlib")
    shared = [[1]] * 2
    got = read_pickle(pickle.dumps(shared), "x")
    assert got == shared and got[0] is got[1]


class Trap:
    """Python's pickle would make a file of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple:
        return open, (str(self._path), "w")


def test_nothing_of_a_pickle_is_called(here: Path) -> None:
    for protocol in (2, 3, 4, 5):
        data = pickle.dumps(Trap(here / "made"), protocol)
        got = read_pickle(data, "x")
        assert got.what.name == "open" and got.arguments == (str(here / "made"), "w")
        (here / "trap").write_bytes(data)
        with pytest.raises(FileFormatError, match="describes no object of gensim"):
            lb.WordVectors.load("trap", "gensim")
        state = {"index_to_key": ["a"], "vectors": Trap(here / "made")}
        for name, value in (("vectors", state["vectors"]), ("index_to_key", Trap(here / "made"))):
            (here / "trap").write_bytes(gensim_pickle(state | {name: value}, protocol))
            with pytest.raises(FileFormatError, match=name):
                lb.WordVectors.load("trap")
    assert not (here / "made").exists()
    pickle.loads(data).close()
    assert (here / "made").exists()


def gensim_pickle(state: object, protocol: int = 4) -> bytes:
    """A pickle of gensim's KeyedVectors with any state."""
    name = b"cgensim.models.keyedvectors\nKeyedVectors\n)\x81"
    head = b"\x80" + bytes([protocol])
    body = pickle.dumps(state, protocol)[2:-1]
    if protocol >= 4:
        body = body[9:] if body[:1] == b"\x95" else body
    return head + name + body + b"b."


VECTORS = np.eye(2, dtype=np.float32)
GOOD = {"index_to_key": ["a", "b"], "vectors": VECTORS, "expandos": {}, "__numpys": []}


def test_states_that_make_no_word_vectors_are_refused(here: Path) -> None:
    path = here / "saved"
    path.write_bytes(gensim_pickle(GOOD))
    assert lb.WordVectors.load(path).vectors.tolist() == VECTORS.tolist()
    path.write_bytes(
        gensim_pickle(GOOD | {"vectors": np.asfortranarray(np.arange(6.0).reshape(2, 3))})
    )
    assert lb.WordVectors.load(path).vectors.tolist() == [[0, 1, 2], [3, 4, 5]]
    for changes, message in (
        ({"index_to_key": ["a"]}, "1 words have vectors"),
        ({"index_to_key": ["a", "a"]}, "comes twice"),
        ({"index_to_key": [1, 2]}, "no index_to_key of words"),
        ({"index_to_key": []}, "there are no words"),
        ({"index_to_key": None, "index2word": ["a", "b"]}, "as gensim 4 has"),
        ({"vectors": None}, "vectors is no array"),
        ({"vectors": np.array([["a", "b"]] * 2)}, "vectors has no shape and type of numbers"),
        ({"vectors": np.array([[None, {}]] * 2)}, "vectors has no shape and type of numbers"),
        ({"vectors": np.eye(2, dtype=np.int32)}, "not rows of floats"),
        ({"vectors": np.ones(2)}, "not rows of floats"),
        ({"vectors": np.ones((2, 0))}, r"shape \(2, 0\)"),
        ({"vectors": np.full((2, 2), np.nan)}, "infinite or none"),
        ({"expandos": {"count": np.array([1])}}, "counts are int64"),
        ({"expandos": {"count": np.array([1, -1])}}, "counts are int64"),
        ({"expandos": {"count": [1, 2]}}, "count is no array"),
        ({"wv": GOOD}, "describes no object of gensim"),
        ({"vectors_ngrams": VECTORS, "vectors_vocab": VECTORS}, "rows of n-grams"),
    ):
        path.write_bytes(gensim_pickle(GOOD | changes))
        with pytest.raises(FileFormatError, match=message):
            lb.WordVectors.load(path)
    (here / "empty").write_bytes(b"")
    with pytest.raises(FileFormatError, match="the file is empty"):
        lb.WordVectors.load("empty", "gensim")


def nested(open_: bytes, count: int) -> bytes:
    return b"\x80\x04" + open_ * count + b"."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no pickle"),
        (b"(lp0\n.", "is no pickle"),
        (b"\x80\x04", "is not complete"),
        (b"\x80\x04.", "does not end with one value"),
        (b"\x80\x04NN.", "does not end with one value"),
        (b"\x80\x04N.N", "does not end with one value"),
        (b"\x80\x04(.", "does not end with one value"),
        (b"\x80\x04]t.", "from a mark, and there is none"),
        (nested(b"(", 1_000_001), "more than 1000000 lists"),
        (b"\x80\x04]]a", "is not complete"),
        (b"\x80\x04Na.", "there is none"),
        (b"\x80\x04NNa.", "has a NoneType"),
        (b"\x80\x04h\x05.", "takes a value from 5"),
        (b"\x80\x04Nr\xff\xff\xff\xff.", "keeps a value at"),
        (b"\x80\x04C\x09x.", "is not complete"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b".", "is not complete"),
        (b"\x80\x04\x8c\x01\xff.", "is not UTF-8"),
        (b"\x80\x04}(N.", "does not end with one value"),
        (b"\x80\x04}(Nu.", "a key has no value"),
        (b"\x80\x04})Ns.", "a key is no string"),
        (b"\x80\x04cos\n", "a name is not complete"),
        (b"\x80\x04Ni.", "instruction"),
        (b"\x80\x04N\x82\x01.", "instruction"),
        (b"\x80\x04N)R.", "has a NoneType"),
        (nested(b"}", 1_000_001), "more than 1000000 lists"),
    ],
)
def test_broken_pickles_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        read_pickle(data, "here")


@pytest.mark.parametrize("name", [*GOOD, "wv", "vectors_ngrams", "min_n"])
def test_a_list_of_lists_of_lists_takes_no_time(here: Path, name: str) -> None:
    bomb: list = []  # each is in the next one twice: to print or compare it would never end
    for _ in range(200):
        bomb = [bomb, bomb]
    fasttext = {"vectors_ngrams": VECTORS, "vectors_vocab": VECTORS} if name == "min_n" else {}
    (here / "bomb").write_bytes(gensim_pickle(GOOD | fasttext | {name: bomb}))
    if name in ("expandos", "__numpys"):  # which may hold anything
        assert lb.WordVectors.load("bomb").counts is None
        return
    with pytest.raises(FileFormatError):
        lb.WordVectors.load("bomb")
