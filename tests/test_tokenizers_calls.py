"""Calls of `Tokenizer`: windows, padding, added tokens, files, budgets, places, special tokens."""

import copy
import multiprocessing
import os
import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.errors import FileFormatError
from lowbit.tokenizers import AddedToken, Batch, Tokenizer
from lowbit.tokenizers.spec import Truncation

CORPUS = ["the low bit tokenizer of the low rank model, the lowest of the low!"]
MODELS = ["word", "character", "bpe", "wordpiece", "unigram"]


@pytest.fixture(scope="module", params=MODELS)
def tok(request) -> Tokenizer:
    size = {"bpe": 275, "unigram": 40, "wordpiece": 40}.get(request.param)
    return Tokenizer.train(CORPUS, model=request.param, vocab_size=size)


@pytest.fixture(scope="module")
def bert() -> Tokenizer:
    return Tokenizer.train(CORPUS, model="wordpiece", vocab_size=60)


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return Tokenizer.train(CORPUS, model="bpe", vocab_size=275)


def rows(batch: Batch) -> list[list[int]]:
    return [batch[i].tolist() for i in range(len(batch))]


# Truncation, windows, padding


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"stride": 1}, "stride=1 needs max_length"),
        ({"max_length": 5, "stride": -1}, "stride=-1"),
        ({"max_length": 5, "stride": 3}, "stride=3 must be less than the 3 tokens"),
        ({"max_length": 5, "strategy": "longest"}, 'strategy="longest" is not one of'),
        ({"max_length": 5, "direction": "up"}, 'direction="up"'),
        ({"max_length": 5, "strategy": "only_second"}, "needs a pair"),
        ({"max_length": 1}, "no room for the 2 special tokens"),
    ],
)
def test_wrong_lengths_are_named(bert, how, message):
    with pytest.raises(ValueError, match=message):
        bert.encode(CORPUS[0], **how)
    with pytest.raises(ValueError, match=message):
        bert.encode_batch(CORPUS, **how)


def test_a_strategy_with_too_little_to_cut_is_refused(bert):
    with pytest.raises(ValueError, match="only_first"):
        bert.encode("low", CORPUS[0], max_length=6, strategy="only_first")
    with pytest.raises(ValueError, match="only_first"):
        bert.encode_batch(["low"], CORPUS, max_length=6, strategy="only_first")


@pytest.mark.parametrize("stride", [None, 0, 2])
@pytest.mark.parametrize("direction", ["left", "right"])
def test_batches_are_their_texts_one_by_one(tok, stride, direction):
    rng = np.random.default_rng(0)
    words = CORPUS[0].split()
    texts, pairs = (
        [" ".join(rng.choice(words, rng.integers(0, 20))) for _ in range(30)] for _ in range(2)
    )
    for other in (None, pairs):
        how = {"max_length": 14, "stride": stride, "direction": direction}
        batch = tok.encode_batch(texts, other, **how)
        alone, types, sources = [], [], []
        for i, text in enumerate(texts):
            encoding = tok.encode(text, None if other is None else other[i], **how)
            for row in (encoding, *encoding.overflowing):
                alone.append(row.ids.tolist())
                types += row.type_ids.tolist()
                sources.append(i)
        assert rows(batch) == alone and batch.type_ids.tolist() == types
        if stride is None:
            assert batch.sources is None
        else:
            assert batch.sources.tolist() == sources
        one = tok.encode_batch(texts, other, num_threads=1, **how)
        np.testing.assert_array_equal(one.ids, batch.ids)
    assert len(tok.encode_batch([], [], max_length=14, stride=stride)) == 0


def test_a_file_gives_the_defaults_of_a_cut(bert):
    left = Tokenizer(replace(bert.spec, truncation=Truncation(9, 2, "only_second", "left")))
    assert len(left.encode(CORPUS[0])) > 9  # nothing is cut that is not asked for
    how = {"max_length": 9, "strategy": "only_second", "direction": "left"}
    expected = bert.encode("low", CORPUS[0], **how)
    assert left.encode("low", CORPUS[0], max_length=9).ids.tolist() == expected.ids.tolist()
    assert not left.encode("low", CORPUS[0], max_length=9).overflowing


def test_padding_on_both_sides(bert):
    batch = bert.encode_batch(["low bit", "the"], ["rank", "low"])
    for side in ("left", "right"):
        ids, mask, types = batch.pad(4, side=side, pad_id=9, pad_type_id=5, return_type_ids=True)
        assert ids.shape == mask.shape == types.shape and ids.shape[1] % 4 == 0
        for i, text in enumerate((("low bit", "rank"), ("the", "low"))):
            encoding = bert.encode(*text).pad(ids.shape[1], side, 9, 5)
            assert ids[i].tolist() == encoding.ids.tolist()
            assert mask[i].tolist() == encoding.attention_mask.tolist()
            assert types[i].tolist() == encoding.type_ids.tolist()
    assert (batch.pad(max_length=20)[0][:, -1] == bert.pad_id).all()
    padded = bert.encode(CORPUS[0], max_length=6, stride=0).pad(8)
    assert {len(window) for window in padded.overflowing} == {8}
    assert len(padded.tokens) == len(padded.word_ids) == len(padded.offsets) == 8
    for call in (lambda: batch.pad(side="up"), lambda: padded.pad(9, side="up")):
        with pytest.raises(ValueError, match='side="up"'):
            call()


# Added tokens


def test_added_tokens_leave_the_old_tokenizer_alone(tok):
    text = "low<user>bit"
    before = tok.encode(text).ids.tolist()
    new = tok.add_tokens(["<user>", "the", AddedToken("<|x|>", lstrip=True)])
    assert tok.encode(text).ids.tolist() == before and tok.token_to_id("<user>") is None
    assert new.token_to_id("<user>") == tok.vocab_size
    assert "<user>" in new.encode(text).tokens
    again = pickle.loads(pickle.dumps(new))
    assert again.encode(text).ids.tolist() == new.encode(text).ids.tolist()
    assert [token.special for token in new.spec.added[-3:]] == [False, False, True]
    assert new.decode(new.encode("low <|x|>").ids, skip_special_tokens=True).strip() == "low"


def test_a_token_that_exists_keeps_its_id_and_takes_the_options(bpe):
    new = bpe.add_tokens(["<user>"]).add_tokens(["<user>"], special=True)
    assert new.vocab_size == bpe.vocab_size + 1
    assert new.spec.added[-1] == AddedToken("<user>", bpe.vocab_size)


def test_many_tokens_at_once(bpe):
    names = [f"<tok{i}>" for i in range(10_000)]
    new = bpe.add_tokens(names)
    assert new.vocab_size == bpe.vocab_size + 10_000
    ids = new.encode_batch(["".join(names)]).ids
    assert ids.tolist() == list(range(bpe.vocab_size, bpe.vocab_size + 10_000))


def test_wrong_added_tokens_are_named(bpe):
    with pytest.raises(TypeError, match="one string"):
        bpe.add_tokens("<user>")
    with pytest.raises(TypeError, match="a token is a int"):
        bpe.add_tokens([3])
    gaps = replace(bpe.spec.model, vocabulary=bpe.spec.model.vocabulary | {"zz": 276})
    with pytest.raises(ValueError, match="id 276 for '<user>' belongs to 'zz'"):
        Tokenizer(replace(bpe.spec, model=gaps)).add_tokens(["<user>"])


# Special tokens written in texts


def test_some_special_tokens_may_be_read(bpe):
    new = bpe.add_tokens(["<a>", "<b>"], special=True)
    text = "<a>low<b>"
    a, b = new.token_to_id("<a>"), new.token_to_id("<b>")

    def found(policy: object) -> set[int]:
        ids = new.encode(text, parse_special=policy).ids
        assert new.encode_batch([text], parse_special=policy).ids.tolist() == ids.tolist()
        assert new.count(text, policy) == len(ids)
        assert new.decode(ids) == text
        return {a, b} & set(ids.tolist())

    assert found(True) == found(None) == found({"<a>", "<b>"}) == {a, b}
    assert found({"<a>"}) == {a}
    assert found(False) == found(set()) == set()
    with pytest.raises(ValueError, match="'<c>', which is no special token"):
        new.encode(text, parse_special={"<c>"})
    with pytest.raises(TypeError, match="parse_special is a str"):
        new.encode(text, parse_special="<a>")


def test_disallowed_tokens_are_named_with_their_place(bpe):
    new = bpe.add_tokens(["<a>", "<b>"], special=True)
    message = r"texts\[1\] contains the special token '<b>' at character 3"
    for disallow in (True, {"<b>"}):
        with pytest.raises(ValueError, match=message):
            new.encode_batch(["low", "low<b>"], disallow=disallow)
        with pytest.raises(ValueError, match="'<b>' at character 3"):
            new.encode("low<b>", disallow=disallow)
    assert len(new.encode("low<b>", parse_special={"<b>"}, disallow=True)) == 3
    assert len(new.encode("low<b>", disallow={"<a>"})) == 3
    with pytest.raises(ValueError, match="disallow names '<c>'"):
        new.encode("low", disallow={"<c>"})
    with pytest.raises(TypeError, match=r"texts\[0\] is not a string"):
        new.encode_batch([3], disallow=True)


# Places


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_bytes_and_characters_are_the_same_places(tok, text):
    chars, data = tok.encode(text), tok.encode(text, offsets="bytes")
    encoded = text.encode("utf-8")
    for (begin, end), (first, last) in zip(chars.offsets, data.offsets, strict=True):
        assert encoded[first:last].decode("utf-8") == text[begin:end]


def test_places_are_chars_or_bytes(bert):
    with pytest.raises(ValueError, match='offsets="words"'):
        bert.encode("low", offsets="words")
    pair = bert.encode("\u00e9 low", "\u4e2d low", offsets="bytes")
    assert [list(place) for place in pair.offsets if place[1]][-1] == [4, 7]
    assert pair.sequence_ids[0] is None and pair.special_tokens_mask.sum() == 3


# Budgets


@settings(max_examples=150, deadline=None)
@given(st.text("the low bt<>!\u00e9\u4e2d\n\u0301", max_size=60), st.integers(0, 12))
def test_the_longest_prefix_that_fits(tok, text, budget):
    prefix = tok.truncate(text, budget)
    assert text.startswith(prefix) and tok.count(prefix) <= budget
    assert tok.fits(prefix, budget) and tok.fits(text, budget) == (prefix == text)
    # Texts this short are looked at as a whole but for words far behind.
    longest = max(n for n in range(len(text) + 1) if tok.count(text[:n]) <= budget)
    word_end = len(text)
    encoding = tok.encode(text, add_special_tokens=False)
    if len(encoding) > budget:
        same = [w == encoding.word_ids[budget] for w in encoding.word_ids]
        word_end = int(encoding.offsets[np.array(same), 1].max())
    if longest <= word_end:
        assert len(prefix) == longest
    else:
        assert len(prefix) >= word_end or tok.count(text[:word_end]) > budget


def test_prefixes_of_long_texts(bpe, bert):
    text = " ".join(CORPUS * 3000)
    for made in (bpe, bert):
        for budget in (1, 100, 5001):
            prefix = made.truncate(text, budget)
            assert made.count(prefix) == budget
            assert made.count(text[: len(prefix) + 20]) > budget
        inside = made.truncate(text, 50, add_special_tokens=True)
        assert len(made.encode(inside)) <= 50
    assert bpe.truncate("x" * 10_000, 7) == "x" * 7
    with pytest.raises(ValueError, match="no room"):
        bert.truncate("low", 1, add_special_tokens=True)


def test_counts_of_batches(tok):
    texts = ["", *CORPUS, "low <unk> [UNK]", "\u4e2d" * 50] * 20
    for special in (True, False):
        counts = tok.count_batch(texts, add_special_tokens=special, num_threads=2)
        batch = tok.encode_batch(texts, add_special_tokens=special)
        assert counts.tolist() == np.diff(batch.indptr).tolist()
        assert counts.dtype == np.int64
        assert tok.count(texts[1], add_special_tokens=special) == counts[1]
    with pytest.raises(ValueError, match="num_threads=0"):
        tok.count_batch(texts, num_threads=0)
    with pytest.raises(TypeError, match="one string"):
        tok.count_batch("low")


# Files


@pytest.mark.parametrize("batch_bytes", [1, 7, 64, 1 << 20])
def test_files_line_by_line(tok, tmp_path, batch_bytes):
    lines = ["the low", "", "bit \u00e9\u4e2d" * 5, "carriage\r inside", "last"]
    (tmp_path / "a.txt").write_bytes("\n".join(lines).encode())
    (tmp_path / "b.txt").write_bytes("\r\n".join([*lines, ""]).encode())
    (tmp_path / "empty.txt").write_bytes(b"")
    paths = [tmp_path / name for name in ("a.txt", "empty.txt", "b.txt")]
    batches = list(tok.encode_files(paths, batch_bytes=batch_bytes, max_length=9))
    assert len(batches) > 2 or batch_bytes > 64
    whole, expected = Batch.concatenate(batches), tok.encode_batch(lines * 2, max_length=9)
    assert rows(whole) == rows(expected)
    assert whole.type_ids.tolist() == expected.type_ids.tolist()
    cut = Batch.concatenate(
        tok.encode_files(paths, batch_bytes=batch_bytes, max_length=6, stride=1)
    )
    expected = tok.encode_batch(lines * 2, max_length=6, stride=1)
    assert rows(cut) == rows(expected) and cut.sources.tolist() == expected.sources.tolist()


def test_files_as_documents(tok, tmp_path, capsys):
    texts = ["the low\nbit\r\n", "", "rank"]
    paths = [tmp_path / f"{i}.txt" for i in range(3)]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode())
    batches = list(tok.encode_files(paths, unit="document", batch_bytes=10, progress=True))
    assert [len(batch) for batch in batches] == [1, 2]
    assert rows(Batch.concatenate(batches)) == rows(tok.encode_batch(texts))
    output = capsys.readouterr()
    assert output.out == "" and output.err.endswith("encoding: 17 of 17 bytes\n")
    assert len(Batch.concatenate(tok.encode_files([]))) == 0


def test_bad_files_are_named(bpe, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes("\u00e9\n".encode() * 10 + b"low \xff\n")
    for unit in ("line", "document"):
        with pytest.raises(FileFormatError, match=r"bad\.txt: byte 34 is not UTF-8"):
            list(bpe.encode_files(path, unit, batch_bytes=5))
    path.write_bytes(b"low\nlow<|endoftext|>\n")
    with pytest.raises(ValueError, match=r"bad\.txt: .*<\|endoftext\|>"):
        list(bpe.encode_files(path, disallow=True))
    with pytest.raises(FileNotFoundError):
        list(bpe.encode_files(tmp_path / "none.txt"))
    for arguments, message in (
        ({"unit": "word"}, 'unit="word"'),
        ({"batch_bytes": 0}, "batch_bytes=0"),
        ({"num_threads": 0}, "num_threads=0"),
        ({"max_length": 3, "strategy": "x"}, 'strategy="x"'),
    ):
        with pytest.raises(ValueError, match=message):
            bpe.encode_files(path, **arguments)
    with pytest.raises(TypeError, match="pad"):
        bpe.encode_files(path, pad=True)


# Threads and processes


def test_threads_with_arguments_of_their_own(tok):
    texts = [CORPUS[0][i:] for i in range(40)]
    calls = [
        {"max_length": 8, "stride": 1},
        {"max_length": 5, "direction": "left"},
        {"num_threads": 1},
        {"parse_special": False, "num_threads": 2},
    ]
    expected = [tok.encode_batch(texts, **how).ids.tolist() for how in calls]
    wrong = []

    def work(n: int) -> None:
        for _ in range(20):
            if tok.encode_batch(texts, **calls[n]).ids.tolist() != expected[n]:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(i % 4,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_copies_are_the_tokenizer_itself(tok):
    assert copy.copy(tok) is tok and copy.deepcopy({"a": tok})["a"] is tok


def _ids_in_child(tok: Tokenizer, texts: list[str]) -> list[int]:
    return tok.encode_batch(texts).ids.tolist()


def test_processes_give_the_same_ids(bpe):
    methods = multiprocessing.get_all_start_methods()
    new = bpe.add_tokens(["<user>"])
    texts = [CORPUS[0] + "<user>"] * 300
    expected = _ids_in_child(new, texts)  # the parent's threads are running when it forks
    for method in {"fork", "spawn"}.intersection(methods):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.starmap(_ids_in_child, [(new, texts)] * 3) == [expected] * 3
    if hasattr(os, "fork"):
        _check_inherited(new, texts, expected)


def _check_inherited(tok: Tokenizer, texts: list[str], expected: list[int]) -> None:
    """Without a pickle between."""
    child = os.fork()
    if child == 0:
        os._exit(0 if _ids_in_child(tok, texts) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
