"""Every recorded tokenizer: ids, places and texts as the library it belongs to gave them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from lowbit.tokenizers import Tokenizer

FILES = {
    "bert-base-uncased": "bert-base-uncased/tokenizer.json",
    "gpt2": "gpt2/tokenizer.json",
    "dolma2": "dolma2/tokenizer.json",
    "llama2": "llama2/tokenizer.json",
    "xlnet": "xlnet/tokenizer.json",
    "sqlpilot": "small/sqlpilot.json",
    "hw_doc_summarizer": "small/hw_doc_summarizer.json",
    "cl100k_base": "cl100k/cl100k_base.tiktoken",
    "llama2-sp": "llama2/tokenizer.model",
    "t5-nai-sp": "t5-nai/nai-t5.model",
}


@pytest.fixture(scope="module", params=FILES)
def case(request, shared_data: Path) -> tuple[Tokenizer, dict]:
    tokenizer = Tokenizer.from_file(shared_data / "tokenizers" / FILES[request.param])
    return tokenizer, json.loads((shared_data / f"refs/{request.param}.json").read_text("utf-8"))


def test_samples(case, shared_data):
    tokenizer, recorded = case
    samples = json.loads((shared_data / recorded["samples_file"]).read_text("utf-8"))
    batch = tokenizer.encode_batch(samples, add_special_tokens=False)
    for i, text in enumerate(samples):
        plain = tokenizer.encode(text, add_special_tokens=False)
        assert plain.ids.tolist() == recorded["ids"][i], text
        assert batch[i].tolist() == recorded["ids"][i], text
        assert tokenizer.decode(plain.ids) == recorded["decoded"][i], text
        if "offsets" in recorded:
            assert plain.offsets.tolist() == [list(o) for o in recorded["offsets"][i]], text
        if "ids_special" in recorded:
            special = tokenizer.encode(text)
            assert special.ids.tolist() == recorded["ids_special"][i], text
        if "decoded_special_skip" in recorded:
            assert tokenizer.decode(special.ids, True) == recorded["decoded_special_skip"][i], text


def test_whole_corpora(case, shared_data):
    tokenizer, recorded = case
    for name, expected in recorded["corpora"].items():
        text = (shared_data / "corpora" / name).read_bytes().decode("utf-8")
        ids = tokenizer.encode_batch([text], add_special_tokens=False).ids
        assert len(ids) == expected["n"], name
        assert hashlib.sha256(ids.astype("<u4").tobytes()).hexdigest() == expected["sha256_u32le"]


def test_long_runs_in_bounded_time(case, shared_data):
    tokenizer, recorded = case
    runs = json.loads((shared_data / "corpora/adversarial_repeat.json").read_text("utf-8"))
    for name, run in runs.items() if isinstance(runs, dict) else ((r["name"], r) for r in runs):
        if name in recorded["repeat"]:
            text = run["unit"] * run["times"]
            ids = tokenizer.encode_batch([text], add_special_tokens=False).ids
            assert len(ids) == recorded["repeat"][name]["n"], name


def test_threads_pickles_and_parts_agree(case, shared_data):
    import pickle

    tokenizer, _ = case
    text = (shared_data / "corpora/udhr_mix_a.txt").read_bytes().decode("utf-8")
    texts = [text[i : i + 1000] for i in range(0, 60_000, 1000)]
    one = tokenizer.encode_batch(texts, num_threads=1)
    two = tokenizer.encode_batch(texts, num_threads=2)
    assert np.array_equal(one.ids, two.ids) and np.array_equal(one.indptr, two.indptr)
    again = pickle.loads(pickle.dumps(tokenizer)).encode_batch(texts)
    assert np.array_equal(one.ids, again.ids)
    for i in range(0, len(texts), 10):
        assert tokenizer.encode(texts[i]).ids.tolist() == one[i].tolist()


def test_counts_and_streams(case, shared_data):
    tokenizer, recorded = case
    samples = json.loads((shared_data / recorded["samples_file"]).read_text("utf-8"))
    for i, text in enumerate(samples):
        assert tokenizer.count(text) == len(recorded["ids"][i]), text
        stream = tokenizer.decode_stream()
        told = [stream.step(id) for id in recorded["ids"][i]]
        assert "".join(told) + stream.finish() == recorded["decoded"][i], text


@pytest.mark.parametrize("name", ["gpt2", "llama2", "xlnet", "bert-base-uncased"])
def test_a_saved_tokenizer_is_the_same(name, shared_data, tmp_path):
    tokenizer = Tokenizer.from_file(shared_data / "tokenizers" / FILES[name])
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    texts = ["Hello world", " two  spaces\n", "caf\u00e9 \u4e2d\u6587 [MASK] <s>", ""]
    assert np.array_equal(again.encode_batch(texts).ids, tokenizer.encode_batch(texts).ids)
    assert again.decode(tokenizer.encode(texts[2]).ids) == tokenizer.decode(
        tokenizer.encode(texts[2]).ids
    )


def test_vocab_json_with_merges_is_gpt2(shared_data):
    folder = shared_data / "tokenizers/gpt2"
    whole = Tokenizer.from_file(folder / "tokenizer.json")
    parts = Tokenizer.from_file(folder / "vocab.json")
    text = (shared_data / "corpora/code_synth_a.txt").read_text("utf-8")[:50_000]
    assert np.array_equal(parts.encode_batch([text]).ids, whole.encode_batch([text]).ids)


def test_places_of_a_sentencepiece_model_are_those_of_its_tokenizer_json(shared_data):
    """The samples that both cut into the same tokens; sentencepiece itself gives no places."""
    folder = shared_data / "tokenizers" / "llama2"
    model = Tokenizer.from_file(folder / "tokenizer.model")
    converted = Tokenizer.from_file(folder / "tokenizer.json")
    compared = 0
    for text in json.loads((shared_data / "corpora" / "samples_a.json").read_text("utf-8")):
        ours, other = model.encode(text), converted.encode(text)
        if ours.tokens == other.tokens:
            assert ours.offsets.tolist() == other.offsets.tolist(), text
            compared += 1
    assert compared > 100
