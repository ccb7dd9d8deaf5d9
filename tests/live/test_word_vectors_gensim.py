"""Word vectors beside gensim: files both ways, answers, tests of quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from lowbit.reference.word_trees import huffman_paths

keyed = pytest.importorskip("gensim.models.keyedvectors", reason="needs gensim")
# gensim leaves files open and calls functions of its own that it has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def both() -> tuple[lb.WordVectors, object]:
    """Random vectors of the words of a few hundred countries and capitals, and others."""
    rng = np.random.default_rng(0)
    names = [f"word{i}" for i in range(3000)]
    vectors = rng.standard_normal((3000, 30)).astype(np.float32)
    theirs = keyed.KeyedVectors(30)
    theirs.add_vectors(names, vectors)
    return lb.WordVectors(names, vectors), theirs


@pytest.mark.parametrize("binary", [False, True])
def test_files_go_both_ways(both: tuple, binary: bool, tmp_path: Path) -> None:
    ours, theirs = both
    theirs.save_word2vec_format(str(tmp_path / "theirs"), binary=binary)
    read = lb.WordVectors.load(tmp_path / "theirs")
    assert read.words == ours.words and read.vectors.tobytes() == ours.vectors.tobytes()
    ours.save(tmp_path / "ours", "binary" if binary else "text")
    again = keyed.KeyedVectors.load_word2vec_format(str(tmp_path / "ours"), binary=binary)
    assert again.index_to_key == ours.words and again.vectors.tobytes() == ours.vectors.tobytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("limit", [0, 10 << 20])
def test_saved_vectors_are_read_without_gensim(
    both: tuple, tmp_path: Path, protocol: int, limit: int
) -> None:
    ours, theirs = both
    theirs.save(str(tmp_path / "saved"), sep_limit=limit, pickle_protocol=protocol)
    assert (tmp_path / "saved.vectors.npy").exists() == (limit == 0)
    read = lb.WordVectors.load(tmp_path / "saved", mmap=limit == 0)
    assert read.words == ours.words and read.vectors.tobytes() == ours.vectors.tobytes()


@pytest.mark.parametrize("limit", [0, 10 << 20])
@pytest.mark.parametrize("kind", ["Word2Vec", "FastText", "Doc2Vec"])
@pytest.mark.parametrize("whole", [False, True])
def test_saved_models_are_read_without_gensim(
    tmp_path: Path, kind: str, whole: bool, limit: int
) -> None:
    models = pytest.importorskip("gensim.models")
    lines = [f"w{i} w{i + 1} w{i + 3}".split() for i in range(50)] * 3
    if kind == "Doc2Vec":
        lines = [models.doc2vec.TaggedDocument(line, [i]) for i, line in enumerate(lines)]
    extra = {"bucket": 500} if kind == "FastText" else {}
    model = getattr(models, kind)(
        lines, vector_size=9, min_count=2, epochs=1, workers=1, seed=1, **extra
    )
    (model if whole else model.wv).save(str(tmp_path / "saved"), sep_limit=limit)
    read = lb.WordVectors.load(tmp_path / "saved")
    assert read.words == model.wv.index_to_key
    np.testing.assert_allclose(read.vectors, model.wv.vectors, atol=1e-7)
    assert read.counts.tolist() == [model.wv.get_vecattr(word, "count") for word in read.words]
    if kind == "FastText":
        np.testing.assert_allclose(read["w12x"], model.wv["w12x"], atol=1e-7)


def test_glove_text_goes_to_gensim(both: tuple, tmp_path: Path) -> None:
    ours, _ = both
    ours.save(tmp_path / "ours", "glove")
    again = keyed.KeyedVectors.load_word2vec_format(str(tmp_path / "ours"), no_header=True)
    assert again.vectors.tobytes() == ours.vectors.tobytes()


def test_answers_are_gensims(both: tuple) -> None:
    ours, theirs = both
    for ask in (
        {"positive": ["word5"]},
        {"positive": ["word5", "word6"], "negative": ["word7"]},
    ):
        expected = theirs.most_similar(**ask, topn=20)
        got = ours.most_similar(**ask, top=20)
        assert [word for word, _ in got] == [word for word, _ in expected]
        np.testing.assert_allclose([s for _, s in got], [s for _, s in expected], atol=1e-6)
    expected = theirs.most_similar_cosmul(positive=["word2", "word3"], negative=["word1"], topn=5)
    got = ours.analogy("word1", "word2", "word3", top=5, method="3cosmul")
    assert [word for word, _ in got] == [word for word, _ in expected]


def test_tests_of_quality_score_as_gensims(shared_data: Path) -> None:
    folder = shared_data / "embeddings"
    rng = np.random.default_rng(1)
    lines = (folder / "questions-words.txt").read_text().split("\n")
    questions = [line.split() for line in lines if line and not line.startswith(":")]
    lines = (folder / "wordsim353.tsv").read_text().split("\n")
    pairs = [line.split("\t")[:2] for line in lines if line and line[0] != "#"]
    names = list(dict.fromkeys(w.lower() for q in [*questions[:3000], *pairs] for w in q))
    names = names[::-1]  # so that a limit cuts off some of the questions' words
    # A word is its letters and a little noise: some answers are right.
    letters = {c: rng.standard_normal(40) for c in sorted(set("".join(names)))}
    vectors = np.stack([sum(letters[c] for c in name) for name in names]).astype(np.float32)
    theirs = keyed.KeyedVectors(40)
    theirs.add_vectors(names, vectors)
    ours = lb.WordVectors(names, vectors)
    path = str(folder / "questions-words.txt")
    for limit in (300_000, len(names) - 100):
        score, sections = theirs.evaluate_word_analogies(path, restrict_vocab=limit)
        report = ours.evaluate_analogies(path, limit=limit)
        assert 0 < report.accuracy == pytest.approx(score, abs=1e-12)
        total = sum(len(sections[-1][kind]) for kind in ("correct", "incorrect"))
        assert report.total == total
    pearson, spearman, unknown = theirs.evaluate_word_pairs(str(folder / "wordsim353.tsv"))
    pairs_report = ours.evaluate_word_pairs(folder / "wordsim353.tsv")
    assert pairs_report.pearson == pytest.approx(pearson[0], abs=1e-6)
    assert pairs_report.spearman == pytest.approx(spearman[0], abs=1e-6)
    total = pairs_report.pairs + pairs_report.unknown
    assert 100 * pairs_report.unknown / total == pytest.approx(unknown)


def test_paths_of_words_cost_what_gensims_do() -> None:
    """Ties may be broken otherwise, which leaves the sum of lengths times counts as it is."""
    from gensim.models import Word2Vec

    rng = np.random.default_rng(0)
    lines = [[f"w{i}" for i in rng.zipf(1.3, 20) % 300] for _ in range(500)]
    model = Word2Vec(lines, hs=1, negative=0, min_count=1, vector_size=2, epochs=1)
    wv = lb.WordVectors.train(lines, loss="hierarchical_softmax", dim=2, min_count=1, epochs=1)
    theirs = sum(
        len(model.wv.get_vecattr(word, "code")) * model.wv.get_vecattr(word, "count")
        for word in model.wv.index_to_key
    )
    lengths = [len(nodes) for nodes, _ in huffman_paths(wv.counts)]
    assert (wv.counts * lengths).sum() == theirs


@pytest.mark.parametrize("method", ["skipgram", "cbow"])
def test_hierarchical_softmax_learns_what_gensims_does(method: str) -> None:
    """Words of ten topics: the mean cosine within a topic, and between topics."""
    from gensim.models import Word2Vec

    rng = np.random.default_rng(0)
    lines = [
        [f"t{topic}_{i}" for i in rng.integers(0, 10, 8)] for topic in rng.integers(0, 10, 3000)
    ]
    settings = {"window": 5, "min_count": 1, "sample": 0, "epochs": 5}
    model = Word2Vec(
        lines, hs=1, negative=0, sg=int(method == "skipgram"), vector_size=24, **settings
    )
    wv = lb.WordVectors.train(lines, method, 24, loss="hierarchical_softmax", lr=0.025, **settings)
    theirs = lb.WordVectors(model.wv.index_to_key, model.wv.vectors).restrict(wv.words)
    found = []
    for each in (wv, theirs):
        cosines = each.unit_vectors() @ each.unit_vectors().T
        topics = np.array([word[:2] for word in each.words])
        same = topics[:, None] == topics
        found.append((cosines[same].mean(), cosines[~same].mean()))
    assert found[0][0] - found[0][1] > 0.5
    np.testing.assert_allclose(found[0], found[1], atol=0.06)


@pytest.fixture(scope="module")
def fasttext_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[lb.WordVectors, str]:
    """Vectors with n-grams, and a .bin of them."""
    lines = ["lowest lower slow slowly", "h\u00e9llo w\u00f6rld lower"] * 20
    wv = lb.WordVectors.train(lines, "fasttext", 6, ngrams=(2, 4), buckets=300, epochs=2)
    path = str(tmp_path_factory.mktemp("bin") / "a.bin")
    wv.save(path, "fasttext")
    return wv, path


ASKED = ("lower", "h\u00e9llo", "lowly", "w\u00f6rldl\u00fc")


def test_gensim_reads_our_fasttext_bin(fasttext_file: tuple) -> None:
    from gensim.models.fasttext import load_facebook_vectors

    wv, path = fasttext_file
    theirs = load_facebook_vectors(path)
    for word in ASKED:
        np.testing.assert_allclose(wv[word], theirs[word], atol=1e-6)


def test_gensims_fasttext_bin_is_read(tmp_path: Path) -> None:
    from gensim.models import FastText
    from gensim.models.fasttext import save_facebook_model

    lines = [["lowest", "lower", "slow", "slowly"], ["h\u00e9llo", "w\u00f6rld", "lower"]] * 20
    model = FastText(lines, vector_size=6, min_n=2, max_n=4, bucket=300, min_count=1, sg=1)
    save_facebook_model(model, str(tmp_path / "a.bin"))
    wv = lb.WordVectors.load(tmp_path / "a.bin")
    assert sorted(wv.words) == sorted(model.wv.index_to_key)
    for word in ASKED:
        np.testing.assert_allclose(wv[word], model.wv[word], atol=1e-6)


def test_fasttext_reads_our_bin(fasttext_file: tuple) -> None:
    fasttext = pytest.importorskip("fasttext", reason="needs fasttext")
    wv, path = fasttext_file
    theirs = fasttext.load_model(path)
    assert theirs.get_words() == wv.words
    for word in ASKED:
        np.testing.assert_allclose(wv[word], theirs.get_word_vector(word), atol=1e-6)


def test_fasttexts_bin_is_read(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext", reason="needs fasttext")
    (tmp_path / "corpus.txt").write_text("lowest lower slow slowly\n" * 50, encoding="utf-8")
    for model in ("skipgram", "cbow"):
        theirs = fasttext.train_unsupervised(
            str(tmp_path / "corpus.txt"), model=model, dim=7, bucket=500, minCount=1, thread=1
        )
        theirs.save_model(str(tmp_path / "a.bin"))
        wv = lb.WordVectors.load(tmp_path / "a.bin")
        assert wv.words == theirs.get_words()
        for word in ("lower", "lowly", "</s>", "sl\u00f6w"):
            np.testing.assert_allclose(wv[word], theirs.get_word_vector(word), atol=1e-6)
