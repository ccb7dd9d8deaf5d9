"""Every step of tokenizer.json, and whole tokenizers, against the tokenizers library."""

import json
import random
from pathlib import Path

import pytest

tokenizers = pytest.importorskip("tokenizers")

from lowbit.tokenizers import Tokenizer, patterns  # noqa: E402

COUNT = 2000  # texts for each case
ALPHABETS = [
    "abcXYZ 'stmdrevl.,!?\n\t 0123456789",
    "\u00e9\u00e8\u0301\u0300e\u0327\u0323 \u00c5A\u030a\u1e9b\u0323\ufb01\u2460\u00bd",
    "\u4e2d\u6587\u3042\u30ab\uac00\u1100\u1161\u11a8\u3000 ",
    "\u0915\u094d\u0937 \u0627\u0644\u064e \u05d0 \u0e01\u0e33",
    "\U0001f468\u200d\U0001f469\U0001f1fa\U0001f1f8\u2764\ufe0f\U0001f3fd ",
    "\u017f\u212a\u0130\u0131\u01c5\u03a3\u03c3\u03c2'sS 'LL",
    "\r\n\x0b\x0c\x85\xa0\u1680\u2003\u2028\u202f\u200b\x00\x01\x7f\xad\ufeff\ufffd ",
    "\u2581 \u2581\u2581 a##<unk></s><s>[MASK]",
]


def texts(seed: int, count: int = COUNT) -> list[str]:
    """Runs of one alphabet after another, and any code points between."""
    rng = random.Random(seed)
    found = ["", " ", "\n", "a", "  a", "a  ", "\u2581"]
    while len(found) < count:
        parts = []
        for _ in range(rng.randint(1, 5)):
            alphabet = rng.choice(ALPHABETS)
            parts.append("".join(rng.choices(alphabet, k=rng.randint(1, 8))))
            if rng.random() < 0.3:
                point = rng.randrange(0x110000)
                parts.append(chr(point) if not 0xD800 <= point < 0xE000 else "?")
        found.append("".join(parts))
    return found


def split(pattern: dict, behavior: str, invert: bool = False) -> dict:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def meta(scheme: str, cut: bool = True) -> dict:
    return {
        "type": "Metaspace",
        "replacement": "\u2581",
        "prepend_scheme": scheme,
        "split": cut,
    }


BYTES = {"type": "ByteLevel", "trim_offsets": True}
NORMALIZERS = [
    *({"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Nmt")),
    *({"type": name} for name in ("Lowercase", "StripAccents")),
    {"type": "Strip", "strip_left": True, "strip_right": False},
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Prepend", "prepend": "\u2581"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    {"type": "Replace", "pattern": {"String": "ab"}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": r"(?=\d)|b*|$"}, "content": "xy"},
    {"type": "ByteLevel"},
    *(
        {
            "type": "BertNormalizer",
            "clean_text": clean,
            "handle_chinese_chars": chinese,
            "strip_accents": accents,
            "lowercase": lower,
        }
        for clean, chinese, accents, lower in (
            (True, True, None, True),
            (False, True, True, False),
            (True, False, False, True),
        )
    ),
]
PRE_TOKENIZERS = [
    *(
        {"type": name}
        for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts")
    ),
    *({"type": "Punctuation", "behavior": b} for b in ("Isolated", "Removed", "Contiguous")),
    *({"type": "Punctuation", "behavior": b} for b in ("MergedWithPrevious", "MergedWithNext")),
    *({"type": "Digits", "individual_digits": b} for b in (True, False)),
    {"type": "CharDelimiterSplit", "delimiter": "a"},
    {"type": "FixedLength", "length": 3},
    *(meta(scheme, cut) for scheme in ("always", "first", "never") for cut in (True, False)),
    {**BYTES, "add_prefix_space": True, "use_regex": True},
    {**BYTES, "add_prefix_space": False, "use_regex": False},
    split({"String": " "}, "MergedWithNext"),
    split({"String": "\u2581"}, "MergedWithPrevious", True),
    *(split({"Regex": p}, "Isolated") for p in (patterns.GPT2, patterns.LLAMA3, patterns.QWEN2)),
    *(split({"Regex": p}, "Isolated") for p in (patterns.O200K, patterns.KIMI_K2)),
    *(split({"Regex": p}, "Isolated") for p in (r"\d{2}|[a-c]+(?=x)|\b\w", r"(?i)ab?|\S+$")),
    split({"Regex": patterns.GPT2}, "Removed", True),
    *(split({"Regex": r"(?=\d)|[bc]*?|\b"}, b) for b in ("Isolated", "Removed", "Contiguous")),
    *(split({"Regex": r"b*|(?<=\s)"}, f"MergedWith{side}") for side in ("Previous", "Next")),
]


def name(step: dict) -> str:
    return " ".join(str(value)[:12] for value in step.values())


def check(values: dict, folder: Path, samples: list[str]) -> None:
    """Ids and places of all samples, of one and of a batch."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(values))
    theirs = tokenizers.Tokenizer.from_file(str(file))
    ours = Tokenizer.from_file(file)
    batch = ours.encode_batch(samples, add_special_tokens=False)
    for i, text in enumerate(samples):
        expected = theirs.encode(text, add_special_tokens=False)
        got = ours.encode(text, add_special_tokens=False)
        assert got.ids.tolist() == expected.ids, text
        assert got.offsets.tolist() == [list(o) for o in expected.offsets], text
        assert batch[i].tolist() == expected.ids, text


def words_model(pieces: list[str]) -> dict:
    """Every letter pair is a token, so that ids tell what became of the text."""
    vocabulary = {"[UNK]": 0}
    for piece in pieces:
        vocabulary.setdefault(piece, len(vocabulary))
    return {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}


def chain(normalizer: dict | None, pre_tokenizer: dict | None, samples: list[str]) -> dict:
    values = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "model": words_model([]),
    }
    theirs = tokenizers.Tokenizer.from_str(json.dumps(values))
    words = set()
    for text in samples:
        if theirs.normalizer:
            text = theirs.normalizer.normalize_str(text)
        words.update(word for word, _ in theirs.pre_tokenizer.pre_tokenize_str(text))
    values["model"] = words_model(sorted(words))
    return values


@pytest.mark.parametrize("step", NORMALIZERS, ids=name)
def test_normalizers(step, tmp_path):
    samples = texts(1)
    check(chain(step, {"type": "FixedLength", "length": 2}, samples), tmp_path, samples)


@pytest.mark.parametrize("step", PRE_TOKENIZERS, ids=name)
def test_pre_tokenizers(step, tmp_path):
    samples = texts(2)
    check(chain(None, step, samples), tmp_path, samples)


def test_sequences(tmp_path):
    samples = texts(3)
    normalizer = {"type": "Sequence", "normalizers": [NORMALIZERS[3], NORMALIZERS[4]]}
    steps = [
        {"type": "WhitespaceSplit"},
        meta("always"),
        {"type": "Digits", "individual_digits": False},
    ]
    pre = {"type": "Sequence", "pretokenizers": steps}
    check(chain(normalizer, pre, samples), tmp_path, samples)


@pytest.mark.parametrize("normalized", [True, False])
def test_added_tokens(normalized, tmp_path):
    samples = texts(4)
    values = chain({"type": "Lowercase"}, {"type": "Whitespace"}, samples)
    options = {"special": False, "normalized": normalized}
    values["added_tokens"] = [
        {"id": 1, "content": content, "single_word": one, "lstrip": left, "rstrip": right} | options
        for content, one, left, right in (
            ("<s>", False, False, False),
            ("</s>", False, True, False),
            ("[MASK]", False, False, True),
            ("xy", True, False, False),
            ("\u4e2d", False, True, True),
        )
    ]
    check(values, tmp_path, samples)


@pytest.mark.parametrize("pattern", [r"\d", r"b*", r"^\s|$", r"(?=[a-c])"])
def test_replacing_decoder(pattern, tmp_path):
    samples = texts(7)
    values = chain(None, {"type": "Whitespace"}, samples)
    values["decoder"] = {"type": "Replace", "pattern": {"Regex": pattern}, "content": "-\u00e9"}
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(values))
    ours, theirs = Tokenizer.from_file(file), tokenizers.Tokenizer.from_file(str(file))
    for text in samples:
        ids = theirs.encode(text).ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False), text


FILES = ["bert-base-uncased", "gpt2", "dolma2", "llama2", "xlnet"]


@pytest.mark.parametrize("folder", FILES)
def test_whole_tokenizers(folder, shared_data, tmp_path):
    file = shared_data / "tokenizers" / folder / "tokenizer.json"
    values = json.loads(file.read_text("utf-8"))
    values["truncation"] = values["padding"] = None
    check(values, tmp_path, texts(5))


@pytest.mark.parametrize("folder", ["gpt2", "llama2", "xlnet", "bert-base-uncased"])
def test_what_is_saved_is_read_alike(folder, shared_data, tmp_path):
    ours = Tokenizer.from_file(shared_data / "tokenizers" / folder / "tokenizer.json")
    ours.save(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.no_truncation()
    for text in texts(6, 300):
        got = ours.encode(text)
        expected = theirs.encode(text)
        assert got.ids.tolist() == expected.ids
        assert got.offsets.tolist() == [list(o) for o in expected.offsets]
        assert ours.decode(got.ids) == theirs.decode(expected.ids, skip_special_tokens=False)
