"""Windows over long texts; what real files say of lengths and added tokens."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.tokenizers import Tokenizer
from lowbit.tokenizers.truncation import Cutting, windows


@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 8), st.booleans())
def test_windows_cover_a_text_and_share_the_stride(length, size, stride, left):
    if length > size and stride >= size:
        with pytest.raises(ValueError, match=f"stride={stride} must be less than the {size}"):
            windows(length, size, stride, left)
        return
    found = windows(length, size, stride, left)
    if left:
        found = [(length - stop, length - start) for start, stop in found]
    assert found[0][0] == 0 and found[-1][1] == length
    assert all(stop - start == size for start, stop in found[:-1])
    for before, after in itertools.pairwise(found):
        assert before[1] - after[0] == stride or after[1] == length


def test_tokens_of_sentencepiece_models_are_found_inside_texts(shared_data):
    for name in ("llama2/tokenizer.model", "t5-nai/nai-t5.model"):
        tok = Tokenizer.from_file(shared_data / "tokenizers" / name)
        new = tok.add_tokens(["<user>"])
        encoding = new.encode("Hello<user> there", add_special_tokens=False)
        plain = [tok.encode(t, add_special_tokens=False).tokens for t in ("Hello", " there")]
        assert encoding.tokens == [*plain[0], "<user>", *plain[1]]
        assert new.decode(encoding.ids).replace(" ", "") == "Hello<user>there"


def test_nothing_is_computed_for_windows_that_nobody_asked_for():
    assert Cutting(room=2).spans([10**9, 10**9]) == [((0, 1), (0, 1))]


def test_real_files_survive_a_save(shared_data: Path, tmp_path):
    tok = Tokenizer.from_file(shared_data / "tokenizers/bert-base-uncased/tokenizer.json")
    tok.save(tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    assert again.spec == tok.spec
