"""Words are cut where no merge reaches across, and nowhere else: ids are those of tokenizers."""

import json

import pytest

import lowbit as lb

META = "\u2581"


def tokens(folder, text, vocabulary, merges, **options):
    model = {
        "type": "BPE",
        "vocab": {token: i for i, token in enumerate(vocabulary)},
        "merges": merges,
        "byte_fallback": True,
        **options,
    }
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"model": model, "added_tokens": []}))
    return [vocabulary[i] for i in lb.Tokenizer.from_file(path).encode(text).ids]


@pytest.mark.parametrize("fused", [True, False])
def test_unknown_characters_that_wait_may_merge(tmp_path, fused):
    vocabulary = ["<unk>", "<0x3E>", "a", "b", "<unk>a", "ab"]
    merges = [["<unk>", "a"], ["a", "b"]]
    options = {"unk_token": "<unk>", "fuse_unk": fused}
    found = tokens(tmp_path, "\u00e9>ab>ab", vocabulary, merges, **options)
    assert found == ["<0x3E>", "<unk>a", "b", "<0x3E>", "ab"]


def test_dropped_characters_leave_neighbours(tmp_path):
    vocabulary = [META, "a", META + META]
    assert tokens(tmp_path, f"a{META}x{META}", vocabulary, [[META, META]]) == ["a", META + META]


def test_marks_and_bytes_between_words(tmp_path):
    vocabulary = ["<unk>", "<0x0A>", "a", "b", ",", "ab", "b,", "aab"]
    merges = [["a", "b"], ["b", ","], ["a", "ab"]]
    found = tokens(tmp_path, "aab\nab,ab\n\nbb,aab", vocabulary, merges, unk_token="<unk>")
    assert found == ["aab", "<0x0A>", "ab", ",", "ab", "<0x0A>", "<0x0A>", "b", "b,", "aab"]
