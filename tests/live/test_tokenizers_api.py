"""The encode API beside the tokenizers library: saved files, truncation, padding, added tokens."""

import base64
import json
import random
from pathlib import Path

import pytest

from lowbit.tokenizers import AddedToken, Encoding, Tokenizer, patterns

tokenizers = pytest.importorskip("tokenizers")


def test_saved_ranks_are_read_alike(shared_data: Path, tmp_path: Path):
    ours = Tokenizer.from_file(shared_data / "tokenizers/cl100k/cl100k_base.tiktoken")
    ours.save(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for name in ("udhr_mix_a.txt", "code_synth_a.txt", "adversarial_letters.txt"):
        text = (shared_data / "corpora" / name).read_bytes().decode("utf-8")
        assert ours.encode_batch([text]).ids.tolist() == theirs.encode(text).ids, name
    for text in ("a<|endoftext|>b <|endofprompt|>", "1234567 12\u0663\u0664", " \n\n  x \r\n"):
        ids = ours.encode(text).ids.tolist()
        assert ids == theirs.encode(text).ids
        assert theirs.decode(ids, skip_special_tokens=False) == text


# Truncation, windows, padding


WORDS = [*"abcdefghijklmnop"]


def small(**extra: object) -> dict:
    """A tokenizer.json of letters with BERT's templates."""
    specials = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3}
    names = {"C": {"SpecialToken": {"id": "[CLS]", "type_id": 0}}}
    names |= {f"S{i}": {"SpecialToken": {"id": "[SEP]", "type_id": i}} for i in (0, 1)}
    names |= {t: {"Sequence": {"id": t, "type_id": i}} for i, t in enumerate("AB")}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": id, "content": token, "special": True, "normalized": False}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
            for token, id in specials.items()
        ],
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [names[slot] for slot in ("C", "A", "S0")],
            "pair": [names[slot] for slot in ("C", "A", "S0", "B", "S1")],
            "special_tokens": {
                token: {"id": token, "ids": [specials[token]], "tokens": [token]}
                for token in ("[CLS]", "[SEP]")
            },
        },
        "model": {
            "type": "WordLevel",
            "unk_token": "[UNK]",
            "vocab": specials | {word: i for i, word in enumerate(WORDS, 4)},
        },
    } | extra


def both(tmp_path: Path, values: dict) -> tuple[Tokenizer, "tokenizers.Tokenizer"]:
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(values))
    return Tokenizer.from_file(file), tokenizers.Tokenizer.from_file(str(file))


def check(ours: Encoding, theirs: "tokenizers.Encoding") -> None:
    assert ours.ids.tolist() == theirs.ids
    assert ours.tokens == theirs.tokens
    assert ours.offsets.tolist() == [list(place) for place in theirs.offsets]
    assert ours.attention_mask.tolist() == theirs.attention_mask
    assert ours.type_ids.tolist() == theirs.type_ids
    assert ours.word_ids == theirs.word_ids
    assert ours.sequence_ids == theirs.sequence_ids
    assert ours.special_tokens_mask.tolist() == theirs.special_tokens_mask


LENGTHS = [(0,), (1,), (5,), (16,), (0, 3), (3, 0), (4, 4), (2, 9), (9, 2), (12, 15)]


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_truncation_and_windows(tmp_path, strategy, direction):
    ours, theirs = both(tmp_path, small())
    rng = random.Random(0)
    refused = compared = 0
    for lengths in LENGTHS:
        texts = [" ".join(rng.choices(WORDS, k=n)) for n in lengths]
        for max_length in (3, 4, 6, 7, 9, 12, 40):
            for stride in (0, 1, 3):
                how = {"strategy": strategy, "direction": direction, "stride": stride}
                try:
                    theirs.enable_truncation(max_length, **how)
                    expected = theirs.encode(*texts)
                except BaseException as error:  # the library's panics are no Exceptions
                    assert type(error).__name__ in ("PanicException", "Exception", "ValueError")
                    if "effective max length" not in str(error):  # raised before it is known
                        with pytest.raises(ValueError, match=r"stride|strategy"):
                            ours.encode(*texts, max_length=max_length, **how)
                        refused += 1
                    continue
                encoding = ours.encode(*texts, max_length=max_length, **how)
                check(encoding, expected)
                assert len(encoding.overflowing) == len(expected.overflowing)
                for window, other in zip(encoding.overflowing, expected.overflowing, strict=True):
                    check(window, other)
                pairs = [[text] for text in texts]
                batch = ours.encode_batch(*pairs, max_length=max_length, **how)
                rows = [expected, *expected.overflowing]
                assert [row.tolist() for row in batch] == [row.ids for row in rows]
                assert batch.type_ids.tolist() == [id for row in rows for id in row.type_ids]
                compared += 1
    theirs.no_truncation()
    assert compared > 50 and refused


@pytest.mark.parametrize("folder", ["bert-base-uncased", "gpt2", "xlnet"])
def test_windows_of_whole_tokenizers(folder, shared_data, tmp_path):
    values = json.loads((shared_data / "tokenizers" / folder / "tokenizer.json").read_text("utf-8"))
    values["truncation"] = values["padding"] = None
    ours, theirs = both(tmp_path, values)
    text = (shared_data / "corpora/udhr_mix_a.txt").read_bytes().decode("utf-8")[:6000]
    for direction in ("left", "right"):
        theirs.enable_truncation(50, stride=7, direction=direction)
        expected = theirs.encode(text)
        encoding = ours.encode(text, max_length=50, stride=7, direction=direction)
        check(encoding, expected)
        assert len(encoding.overflowing) == len(expected.overflowing) > 10
        for window, other in zip(encoding.overflowing, expected.overflowing, strict=True):
            assert window.ids.tolist() == other.ids
            assert window.offsets.tolist() == [list(place) for place in other.offsets]
        rows = ours.encode_batch(["", text], max_length=50, stride=7, direction=direction)
        assert rows.sources.tolist() == [0] + [1] * (len(rows) - 1)
        assert rows[-1].tolist() == expected.overflowing[-1].ids


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("length", [None, 3, 10])
@pytest.mark.parametrize("multiple", [None, 4])
def test_padding(tmp_path, side, length, multiple):
    ours, theirs = both(tmp_path, small())
    theirs.enable_padding(
        direction=side, pad_id=3, pad_type_id=7, length=length, pad_to_multiple_of=multiple
    )
    theirs.enable_truncation(8, stride=1)
    texts, pairs = ["a b", "c", "d e f g"], ["h", "i j k l", ""]
    expected = theirs.encode_batch(list(zip(texts, pairs, strict=True)))
    batch = ours.encode_batch(texts, pairs, max_length=8)
    width = max(length or 0, max(len(row) for row in batch))
    if length is None or length >= width:
        ids, mask, types = batch.pad(
            multiple or 1, length, side, pad_id=3, pad_type_id=7, return_type_ids=True
        )
        assert ids.tolist() == [row.ids for row in expected]
        assert mask.tolist() == [row.attention_mask for row in expected]
        assert types.tolist() == [row.type_ids for row in expected]
    for text, pair, other in zip(texts, pairs, expected, strict=True):
        encoding = ours.encode(text, pair, max_length=8, stride=1)
        check(encoding.pad(len(other), side, 3, 7), other)


def test_what_a_file_says_of_lengths_survives(tmp_path):
    for strategy in ("longest_first", "only_first", "only_second"):
        for side in ("left", "right"):
            _, theirs = both(tmp_path, small())
            theirs.enable_truncation(9, stride=2, strategy=strategy, direction=side)
            theirs.enable_padding(
                length=12 if side == "left" else None,
                direction=side,
                pad_id=3,
                pad_type_id=1,
                pad_token="[SEP]",
                pad_to_multiple_of=None if side == "left" else 8,
            )
            theirs.save(str(tmp_path / "a.json"))
            ours = Tokenizer.from_file(tmp_path / "a.json")
            ours.save(tmp_path / "b.json")
            again = tokenizers.Tokenizer.from_file(str(tmp_path / "b.json"))
            assert again.truncation == theirs.truncation and again.padding == theirs.padding
            assert ours.pad_id == 3
            theirs.no_padding()
            text = "a b c d e f g h i j k"
            if strategy != "only_second":  # the file's own strategy and direction are the defaults
                check(ours.encode(text, max_length=9, stride=2), theirs.encode(text))
            theirs.enable_truncation(**theirs.truncation | {"stride": 0})
            pair = (text, "a b") if strategy == "only_first" else ("a b", text)
            check(ours.encode(*pair, max_length=9), theirs.encode(*pair))


# Added tokens


def added(token: str, special: bool = False, **flags: bool) -> AddedToken:
    return AddedToken(token, special=special, **{"normalized": not special} | flags)


@pytest.mark.parametrize("folder", ["bert-base-uncased", "gpt2", "llama2", "xlnet", "dolma2"])
def test_added_tokens(folder, shared_data, tmp_path):
    values = json.loads((shared_data / "tokenizers" / folder / "tokenizer.json").read_text("utf-8"))
    values["truncation"] = values["padding"] = None
    ours, theirs = both(tmp_path, values)
    before = ours.encode("<user> Hello").ids.tolist()
    steps = [
        ([added("<user>", normalized=False), "hello", "hello", "Bot", ""], False),
        (["<user>", "\u4e2d\u6587", "<|im_start|>"], True),
        ([added("low", single_word=True), added("<a>", lstrip=True)], False),
        ([added("<b>", rstrip=True, normalized=False), added("<c>", True, lstrip=True)], False),
        ([added("hello", lstrip=True, rstrip=True)], False),
    ]
    wider = ours
    for tokens, special in steps:
        wider = wider.add_tokens(tokens, special)
        other = [
            tokenizers.AddedToken(**{k: v for k, v in vars(t).items() if k != "id"})
            if isinstance(t, AddedToken)
            else t
            for t in tokens
        ]
        (theirs.add_special_tokens if special else theirs.add_tokens)(other)
        assert wider.vocab_size == theirs.get_vocab_size()
    assert ours.encode("<user> Hello").ids.tolist() == before
    rng = random.Random(1)
    pieces = ["<user>", "hello", "Hello", "Bot", "bot", "\u4e2d\u6587", "<|im_start|>", "low", " "]
    pieces += ["<a>", "<b>", "<c>", "lower", "\n", "  ", "x", "\u00e9", "[MASK]", "</s>"]
    wider.save(tmp_path / "wider.json")
    saved = Tokenizer.from_file(tmp_path / "wider.json")
    for _ in range(200):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 8)))
        expected = theirs.encode(text)
        got = wider.encode(text)
        assert got.ids.tolist() == expected.ids, text
        assert got.offsets.tolist() == [list(o) for o in expected.offsets], text
        assert saved.encode(text).ids.tolist() == expected.ids
        for skip in (True, False):
            assert wider.decode(got.ids, skip) == theirs.decode(expected.ids, skip), text
    theirs.encode_special_tokens = True
    for _ in range(100):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 8)))
        expected = theirs.encode(text, add_special_tokens=False)
        got = wider.encode(text, add_special_tokens=False, parse_special=False)
        assert got.ids.tolist() == expected.ids, text


def test_special_tokens_that_are_normalized_can_be_text(tmp_path):
    ours, theirs = both(tmp_path, small(normalizer={"type": "Lowercase"}))
    tokens = [added("<S>a", True, normalized=True), added("a>", normalized=True)]
    wider = ours.add_tokens(tokens)
    theirs.add_tokens(
        [tokenizers.AddedToken(t.content, special=t.special, normalized=True) for t in tokens]
    )
    for special in (True, False):
        theirs.encode_special_tokens = not special
        for text in ("b <s>a c", "<S>a> a>", "x<s>aa>"):
            got = wider.encode(text, parse_special=special)
            assert got.ids.tolist() == theirs.encode(text).ids, text


# Special tokens by call


def test_policies_of_tiktoken(shared_data):
    tiktoken = pytest.importorskip("tiktoken")
    file = shared_data / "tokenizers/cl100k/cl100k_base.tiktoken"
    ours = Tokenizer.from_file(file)
    names = {token.content: token.id for token in ours.spec.added}
    pairs = [line.split() for line in file.read_bytes().splitlines()]
    theirs = tiktoken.Encoding(
        "cl100k",
        pat_str=patterns.CL100K,
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in pairs},
        special_tokens=names,
    )
    rng = random.Random(0)
    refused = 0
    for _ in range(500):
        pieces = rng.choices([*names, "low", "<|", "endof", " text|>", "\n", "12"], k=4)
        text, allowed = "".join(pieces), set(rng.sample(list(names), rng.randint(0, 4)))
        expected = theirs.encode(text, allowed_special=allowed, disallowed_special=())
        assert ours.encode(text, parse_special=allowed).ids.tolist() == expected, text
        try:
            theirs.encode(text, allowed_special=allowed)
        except ValueError:
            refused += 1
            with pytest.raises(ValueError, match="which disallow refuses"):
                ours.encode(text, parse_special=allowed, disallow=True)
        else:
            ours.encode(text, parse_special=allowed, disallow=True)
    assert 100 < refused < 500


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_symbols_that_users_of_sentencepiece_defined(kind, shared_data, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        input=str(shared_data / "corpora/botchan.txt"),
        model_prefix=str(tmp_path / kind),
        vocab_size=1000,
        model_type=kind,
        user_defined_symbols=["<u>", "foo", "<user name>"],
        minloglevel=2,
    )
    file = tmp_path / f"{kind}.model"
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(file))
    ours = Tokenizer.from_file(file)
    rng = random.Random(0)
    pieces = ["<u>", "foo", "<user name>", " ", "  ", "the", "<", "f", "o", "\n", "\u00e9", "Red"]
    for _ in range(300):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 7)))
        ids = ours.encode(text, add_special_tokens=False).ids.tolist()
        assert ids == theirs.encode(text), text
        assert ours.decode(ids) == theirs.decode(ids), text
