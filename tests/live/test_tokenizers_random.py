"""Random spellings beside the tokenizers library, whose random numbers cannot be seeded, and the
best ones beside sentencepiece."""

import random
from pathlib import Path

import numpy as np
import pytest

from lowbit.tokenizers import Tokenizer

TEXT = (
    "Unbelievable tokenization of internationalisation, na\u00efve fa\u00e7ade 12345 "
    "\u65e5\u672c\u8a9e \U0001f600   supercalifragilistic\n"
)


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("tokenizers")


def same_mean(a: np.ndarray, b: np.ndarray) -> bool:
    error = np.sqrt(a.var() / len(a) + b.var() / len(b))
    return bool(abs(a.mean() - b.mean()) <= 5 * error)


@pytest.mark.parametrize("name", ["gpt2", "llama2", "dolma2"])
@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_dropout_has_the_library_s_distribution(
    library, shared_data: Path, name: str, dropout: float
):
    path = shared_data / "tokenizers" / name / "tokenizer.json"
    theirs = library.Tokenizer.from_file(str(path))
    theirs.model.dropout = dropout
    drawn = [theirs.encode(TEXT).ids for _ in range(1000)]
    ours = Tokenizer.from_file(path).encode_batch([TEXT] * 4000, dropout=dropout, seed=5)
    rows = [ours[i] for i in range(len(ours))]
    for measure in (len, lambda ids: len(ids) ** 2, lambda ids: len(set(ids)), lambda ids: ids[1]):
        assert same_mean(
            np.array([float(measure(list(ids))) for ids in drawn]),
            np.array([float(measure(list(ids))) for ids in rows]),
        )


@pytest.mark.parametrize("name", ["gpt2", "llama2", "dolma2"])
def test_full_dropout_is_the_library_s(library, shared_data: Path, name: str):
    path = shared_data / "tokenizers" / name / "tokenizer.json"
    theirs = library.Tokenizer.from_file(str(path))
    theirs.model.dropout = 1.0
    ours = Tokenizer.from_file(path).encode(TEXT, dropout=1)
    encoding = theirs.encode(TEXT)
    assert ours.ids.tolist() == encoding.ids
    assert [tuple(place) for place in ours.offsets.tolist()] == encoding.offsets


def test_scores_drop_as_the_merges_that_they_stand_for(shared_data: Path):
    """sentencepiece's file has scores, the tokenizer.json all pairs whose text is a token."""
    folder = shared_data / "tokenizers" / "llama2"
    text = "internationalisation"
    counts = [
        np.diff(
            Tokenizer.from_file(folder / file)
            .encode_batch([text] * 5000, dropout=0.5, seed=seed, add_special_tokens=False)
            .indptr
        ).astype(float)
        for seed, file in enumerate(("tokenizer.json", "tokenizer.model"))
    ]
    assert counts[0].std() > 0.2
    assert same_mean(*counts)
    assert same_mean(counts[0] ** 2, counts[1] ** 2)


def test_the_dropout_of_a_file_is_used_by_both(library, tmp_path: Path):
    ours = Tokenizer.train(["low lower lowest"], model="bpe", vocab_size=265)
    ours.save(tmp_path / "tokenizer.json")
    theirs = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.model.dropout = 1.0
    theirs.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    assert again.encode("lowest low").ids.tolist() == theirs.encode("lowest low").ids
    assert (
        again.encode("lowest low", dropout=0).ids.tolist() == ours.encode("lowest low").ids.tolist()
    )


@pytest.mark.parametrize(
    "name", ["tokenizers/t5-nai/nai-t5.model", "bpe_training/sp_unigram_botchan_1000.model"]
)
def test_nbest_is_sentencepiece_s_with_its_scores(shared_data: Path, name: str):
    sentencepiece = pytest.importorskip("sentencepiece")
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(shared_data / name))
    ours = Tokenizer.from_file(shared_data / name)
    text = (shared_data / "corpora" / "udhr_mix_a.txt").read_text(encoding="utf-8")
    text += (shared_data / "corpora" / "code_synth_a.txt").read_text(encoding="utf-8")[:20000]
    chance = random.Random(4)
    for _ in range(150):
        at = chance.randrange(len(text) - 100)
        part = text[at : at + chance.randrange(1, 80)]
        for size in (2, 5, 64):
            expected = [
                ([piece.id for piece in spelled.pieces], spelled.score)
                for spelled in theirs.NBestEncodeAsProto(part, size).nbests
            ]
            found = ours.nbest_encode(part, size, add_special_tokens=False)
            assert [(ids.tolist(), score) for ids, score in found] == expected, part


@pytest.mark.parametrize("nbest_size", [-1, 8])
def test_samples_have_sentencepiece_s_distribution(shared_data: Path, nbest_size: int):
    sentencepiece = pytest.importorskip("sentencepiece")
    path = shared_data / "tokenizers/t5-nai/nai-t5.model"
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(path))
    text = "Hello world, unbelievable tokenization"
    drawn = theirs.SampleEncodeAsIds([text] * 3000, nbest_size=nbest_size, alpha=0.2)
    batch = Tokenizer.from_file(path).encode_batch(
        [text] * 3000, alpha=0.2, nbest_size=nbest_size, seed=1, add_special_tokens=False
    )
    rows = [batch[i].tolist() for i in range(3000)]
    for measure in (len, lambda ids: len(ids) ** 2, lambda ids: ids[0] == drawn[0][0]):
        assert same_mean(
            np.array([float(measure(ids)) for ids in drawn]),
            np.array([float(measure(ids)) for ids in rows]),
        )
