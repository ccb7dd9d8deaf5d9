"""The encode API beside the tokenizers library: saved files, truncation, padding, added tokens."""

from pathlib import Path

import pytest

from lowbit.tokenizers import Tokenizer

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
