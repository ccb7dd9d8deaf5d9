"""Random spellings, and the best ones: dropout of BPE merges, lattices of Unigram models."""

import json

import numpy as np
import pytest

import lowbit as lb
from lowbit.errors import FileFormatError
from lowbit.tokenizers.spec import Bpe, Slot, Step, TokenizerSpec, Unigram

TEXT = "low lower lowest, the slowest of the lowest 123 \u00e9\u00e8 \u65e5\u672c \U0001f600"


@pytest.fixture(scope="module")
def bpe():
    return lb.Tokenizer.train([TEXT] * 3, model="bpe", vocab_size=300)


def pair_of_letters(**options) -> lb.Tokenizer:
    vocabulary = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}
    merges = [["a", "b"], ["b", "c"], ["ab", "c"], ["a", "bc"]]
    return lb.Tokenizer(TokenizerSpec(Bpe(vocabulary, merges, **options)))


def test_no_dropout_is_the_plain_encoding(bpe):
    plain = bpe.encode(TEXT)
    zero = bpe.encode(TEXT, dropout=0.0, seed=3)
    assert zero.ids.tolist() == plain.ids.tolist()
    assert zero.offsets.tolist() == plain.offsets.tolist()


def test_full_dropout_leaves_bytes(bpe):
    encoding = bpe.encode(TEXT, dropout=1.0)
    assert len(encoding) == len(TEXT.encode())
    assert bpe.decode(encoding.ids) == TEXT


def test_every_spelling_decodes_to_the_text(bpe):
    batch = bpe.encode_batch([TEXT] * 50, dropout=0.4, seed=1)
    assert bpe.decode_batch(batch) == [TEXT] * 50
    assert len({tuple(batch[i]) for i in range(50)}) > 40


def test_a_seed_repeats_and_threads_do_not_matter(bpe):
    texts = [TEXT * (1 + i % 7) for i in range(300)]
    one = bpe.encode_batch(texts, dropout=0.2, seed=7, num_threads=1)
    two = bpe.encode_batch(texts, dropout=0.2, seed=7, num_threads=2)
    other = bpe.encode_batch(texts, dropout=0.2, seed=8)
    assert one.ids.tolist() == two.ids.tolist()
    assert one.ids.tolist() != other.ids.tolist()
    assert one[0].tolist() == bpe.encode(texts[0], dropout=0.2, seed=7).ids.tolist()


def test_pairs_are_spelled_alike_alone_and_in_a_batch(bpe):
    encoding = bpe.encode(TEXT, TEXT, dropout=0.5, seed=2)
    batch = bpe.encode_batch([TEXT], [TEXT], dropout=0.5, seed=2)
    assert encoding.ids.tolist() == batch[0].tolist()
    first = encoding.ids[encoding.type_ids == 0]
    assert first.tolist() != encoding.ids[encoding.type_ids == 1].tolist()


def test_without_a_seed_calls_differ(bpe):
    assert len({tuple(bpe.encode(TEXT, dropout=0.5).ids) for _ in range(5)}) > 1


def test_cutting_keeps_the_drawn_spelling(bpe):
    whole = bpe.encode_batch([TEXT], dropout=0.3, seed=4)[0]
    cut = bpe.encode_batch([TEXT], dropout=0.3, seed=4, max_length=9)[0]
    assert cut.tolist() == whole[:9].tolist()
    assert bpe.encode(TEXT, dropout=0.3, seed=4, max_length=9).ids.tolist() == cut.tolist()


@pytest.mark.parametrize("form", ["merges", "ranks", "scores"])
def test_spellings_have_their_probabilities(form):
    """The merge of a and bc never comes to pass without dropout, but counts with it."""
    if form == "merges":
        tok = pair_of_letters()
    elif form == "ranks":
        tok = lb.Tokenizer(
            TokenizerSpec(
                Bpe({"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}, [], ranked=True)
            )
        )
    else:
        tok = pair_of_letters(scores=(-9.0, -9.0, -9.0, -1.0, -2.0, -3.0))
    p, count = 0.3, 40000
    batch = tok.encode_batch(["abc"] * count, dropout=p, seed=11)
    found = dict.fromkeys(("a b c", "ab c", "a bc", "abc"), 0)
    names = {i: t for t, i in tok.spec.model.vocabulary.items()}
    for i in range(count):
        found[" ".join(names[id] for id in batch[i].tolist())] += 1
    q = 1 - p
    expected = {"a b c": p * p, "ab c": q * p, "a bc": p * q * p}
    expected["abc"] = 1 - sum(expected.values())
    for key, share in expected.items():
        error = np.sqrt(share * (1 - share) / count)
        assert abs(found[key] / count - share) < 5 * error + 1e-9, (key, found, expected)


def test_the_file_says_the_default(tmp_path, bpe):
    bpe.save(tmp_path / "plain.json")
    described = json.loads((tmp_path / "plain.json").read_text())
    assert described["model"]["dropout"] is None
    described["model"]["dropout"] = 1.0
    (tmp_path / "dropout.json").write_text(json.dumps(described))
    tok = lb.Tokenizer.from_file(tmp_path / "dropout.json")
    assert len(tok.encode(TEXT)) == len(TEXT.encode())
    assert len(tok.encode_batch([TEXT])[0]) == len(TEXT.encode())
    assert tok.encode(TEXT, dropout=0).ids.tolist() == bpe.encode(TEXT).ids.tolist()
    assert tok.count(TEXT) == bpe.count(TEXT)
    tok.save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["model"]["dropout"] == 1.0


@pytest.mark.parametrize("dropout", [-0.1, 1.5, "much", True])
def test_a_file_with_another_dropout_is_refused(tmp_path, bpe, dropout):
    bpe.save(tmp_path / "broken.json")
    described = json.loads((tmp_path / "broken.json").read_text())
    described["model"]["dropout"] = dropout
    (tmp_path / "broken.json").write_text(json.dumps(described))
    with pytest.raises(FileFormatError, match="dropout must be from 0 to 1"):
        lb.Tokenizer.from_file(tmp_path / "broken.json")


def test_files_are_spelled_at_random_too(tmp_path, bpe):
    (tmp_path / "texts.txt").write_text("\n".join([TEXT] * 20))
    path = tmp_path / "texts.txt"

    def ids(seed):
        batches = bpe.encode_files(path, batch_bytes=200, dropout=0.3, seed=seed)
        return lb.tokenizers.Batch.concatenate(batches)

    one = ids(1)
    assert one.ids.tolist() == ids(1).ids.tolist() != ids(2).ids.tolist()
    assert len({tuple(one[i]) for i in range(20)}) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dropout": 1.2}, "dropout=1.2 is no probability"),
        ({"dropout": float("nan")}, "dropout=nan is no probability"),
        ({"dropout": 0.1, "seed": -1}, "seed=-1 must be from 0"),
        ({"alpha": 0.1}, "alpha=0.1 is for Unigram models, and this one is Bpe"),
        ({"nbest_size": 4}, "nbest_size=4 is for Unigram models"),
    ],
)
@pytest.mark.parametrize("batch", [False, True])
def test_wrong_arguments_are_named(bpe, arguments, message, batch):
    with pytest.raises(ValueError, match=message):
        bpe.encode_batch([TEXT], **arguments) if batch else bpe.encode(TEXT, **arguments)


def test_other_models_have_no_dropout():
    tok = lb.Tokenizer.train(["low bit"], model="wordpiece", vocab_size=30)
    with pytest.raises(ValueError, match=r"dropout=0\.1 is for BPE models"):
        tok.encode("low", dropout=0.1)


# Unigram models

PIECES = [["<unk>", 0.0], ["a", -1.5], ["b", -2.0], ["ab", -2.25], ["ba", -3.0], ["aba", -4.5]]


def unigram(**extra) -> lb.Tokenizer:
    return lb.Tokenizer(TokenizerSpec(Unigram(PIECES, 0), **extra))


def spellings(word: str) -> dict[tuple[int, ...], float]:
    """Every way to write a word with the pieces, and its score."""
    if not word:
        return {(): 0.0}
    return {
        (id, *rest): score + more
        for id, (piece, score) in enumerate(PIECES)
        if word.startswith(piece)
        for rest, more in spellings(word[len(piece) :]).items()
    }


def test_nbest_is_all_spellings_in_order():
    expected = spellings("abaababab")
    found = unigram().nbest_encode("abaababab", 1000)
    assert {tuple(ids.tolist()) for ids, _ in found} == set(expected)
    assert len(found) == len(expected)
    for ids, score in found:
        assert score == pytest.approx(expected[tuple(ids.tolist())], abs=1e-12)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert [s for _, s in unigram().nbest_encode("abaababab", 4)] == scores[:4]
    assert found[0][0].tolist() == unigram().encode("abaababab").ids.tolist()


def test_nbest_of_several_words_has_the_best_sums():
    tok = unigram(pre_tokenizers=(Step("WhitespaceSplit"),))
    words = [spellings(word) for word in ("abab", "ba", "aba")]
    sums = {
        a + b + c: words[0][a] + words[1][b] + words[2][c]
        for a in words[0]
        for b in words[1]
        for c in words[2]
    }
    found = tok.nbest_encode("abab ba aba", 9)
    assert len(found) == 9
    best = sorted(sums.values(), reverse=True)[:9]
    assert [score for _, score in found] == pytest.approx(best, abs=1e-12)
    for ids, score in found:
        assert sums[tuple(ids.tolist())] == pytest.approx(score, abs=1e-12)
    assert len(tok.nbest_encode("abab ba aba", 65536)) == len(sums)


def test_nbest_of_equal_spellings_takes_no_longer():
    """Thousands of ways with one sum, which no order can tell apart."""
    found = unigram().nbest_encode("ab" * 2000, 50)
    assert len({tuple(ids.tolist()) for ids, _ in found}) == 50


def test_nbest_of_nothing_is_nothing_and_templates_are_put_round():
    assert [(i.tolist(), s) for i, s in unigram().nbest_encode("", 3)] == [([], 0.0)]
    slots = (Slot("", (4,)), Slot("A"))
    ids, _ = unigram(single=slots).nbest_encode("ab", 1)[0]
    assert ids.tolist() == [4, 3] and ids.dtype == np.int32
    ids, _ = unigram(single=slots).nbest_encode("ab", 1, add_special_tokens=False)[0]
    assert ids.tolist() == [3]


@pytest.mark.parametrize("nbest_size", [None, -1, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_samples_have_their_probabilities(alpha, nbest_size):
    count, word = 30000, "ababa"
    exact = spellings(word)
    if nbest_size == 3:
        exact = dict(sorted(exact.items(), key=lambda item: -item[1])[:3])
    weights = {ids: np.exp(alpha * score) for ids, score in exact.items()}
    whole = sum(weights.values())
    batch = unigram().encode_batch([word] * count, alpha=alpha, nbest_size=nbest_size, seed=9)
    found: dict[tuple[int, ...], int] = dict.fromkeys(weights, 0)
    for i in range(count):
        found[tuple(batch[i].tolist())] += 1
    for ids, weight in weights.items():
        share = weight / whole
        error = np.sqrt(share * (1 - share) / count)
        assert abs(found[ids] / count - share) < 5 * error, (ids, found[ids] / count, share)


def test_samples_repeat_with_their_seed_and_decode():
    tok = lb.Tokenizer.train([TEXT] * 3, model="unigram", vocab_size=60)
    texts = ["low lower lowest", "the slowest of the lowest"] * 100
    one = tok.encode_batch(texts, alpha=0.1, seed=3, num_threads=1)
    two = tok.encode_batch(texts, alpha=0.1, seed=3, num_threads=2)
    assert one.ids.tolist() == two.ids.tolist()
    assert tok.decode_batch(one) == tok.decode_batch(tok.encode_batch(texts))
    assert one[0].tolist() == tok.encode(texts[0], alpha=0.1, seed=3).ids.tolist()
    assert len({tuple(one[i]) for i in range(0, 200, 2)}) > 1
    plain = tok.encode(texts[0])
    assert tok.encode(texts[0], alpha=0.1, nbest_size=1).ids.tolist() == plain.ids.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dropout": 0.1}, "dropout=0.1 is for BPE models, and this one is Unigram"),
        ({"nbest_size": 4}, "nbest_size=4 goes with alpha"),
        ({"alpha": -1.0}, "alpha=-1.0 must be a finite number"),
        ({"alpha": float("inf")}, "alpha=inf must be a finite number"),
        ({"alpha": 0.1, "nbest_size": 0}, "nbest_size=0 must be from 1 to 65536, or -1"),
        ({"alpha": 0.1, "seed": 1 << 64}, "seed=18446744073709551616 must be from 0"),
    ],
)
def test_wrong_arguments_of_samples_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        unigram().encode("ab", **arguments)


def test_wrong_calls_of_nbest_are_named(bpe):
    with pytest.raises(ValueError, match="is for Unigram models, and this one is Bpe; use encode"):
        bpe.nbest_encode("low", 2)
    for size in (0, 65537):
        with pytest.raises(ValueError, match=f"nbest_size={size} must be from 1 to 65536"):
            unigram().nbest_encode("ab", size)
