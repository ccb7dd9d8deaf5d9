"""Every layer of the real all-MiniLM-L6-v2 beside transformers; pooling as in its library."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit.models import Encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore")]

TEXTS = [
    "The bank raised the interest rate on every savings account.",
    "We had a picnic on the bank of the unbelievably wide river.",
    "bank",
    "No: an überlong-ish wörd, 2.5 times.",
]


@pytest.fixture(scope="module")
def encoder(minilm) -> Encoder:
    return Encoder.from_pretrained(minilm)


@pytest.fixture(scope="module")
def batch(encoder):
    return encoder.tokenizer.encode_batch(TEXTS).pad()


@pytest.fixture(scope="module")
def states(minilm, batch) -> list[np.ndarray]:
    """hidden_states of transformers: what goes into the first layer and comes out of each."""
    model = transformers.BertModel.from_pretrained(minilm).eval()
    ids, mask = (torch.tensor(array.astype(np.int64)) for array in batch)
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    return [state.numpy() for state in out.hidden_states]


def test_every_layer_is_that_of_transformers(encoder, batch, states, record_property):
    mask = batch[1].astype(bool)
    assert len(states) == 7
    for layer, expected in enumerate(states):
        for number in (layer, layer - 7):
            ours = encoder.hidden_states(*batch, layer=number)
            difference = float(np.abs(ours[mask] - expected[mask]).max())
            assert difference <= 2e-5
        record_property(f"largest difference of layer {layer}", difference)
    last_four = encoder.hidden_states(*batch, layer=[-4, -3, -2, -1])
    assert np.abs(last_four[mask] - sum(states[-4:])[mask] / 4).max() <= 2e-5
    wide = encoder.hidden_states(*batch, layer=[6, 2], combine="concat")
    assert np.abs(wide[mask] - np.concatenate([states[6], states[2]], 2)[mask]).max() <= 2e-5


def test_words_are_means_of_the_tokens_that_transformers_gives_them(minilm, encoder, states):
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    ours = encoder.embed_words(TEXTS, layer=4)
    expected = []
    for i, text in enumerate(TEXTS):
        words = tokenizer(text).word_ids()
        for word in sorted({w for w in words if w is not None}):
            expected.append(states[4][i, [j for j, w in enumerate(words) if w == word]].mean(0))
    np.testing.assert_allclose(ours.vectors, expected, atol=2e-5)


def test_int8_keeps_every_layer_near(minilm, batch, states, record_property):
    rounded = Encoder.from_pretrained(minilm, format="int8", embeddings="int8")
    mask = batch[1].astype(bool)
    lowest = 1.0
    for layer, expected in enumerate(states):
        a, b = rounded.hidden_states(*batch, layer=layer)[mask], expected[mask]
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        lowest = min(lowest, float(cosine.min()))
    record_property("lowest cosine of a token", lowest)
    assert lowest >= 0.998


def test_pooling_is_that_of_sentence_transformers(encoder, batch, states):
    """Formulas of sentence_transformers.models.Pooling."""
    mask = torch.tensor(batch[1])[..., None].float()
    hidden = torch.tensor(states[-1])
    places = torch.arange(1, hidden.shape[1] + 1)[None, :, None] * mask
    last = batch[1].sum(axis=1) - 1
    expected = {
        "cls": hidden[:, 0],
        "max": hidden.masked_fill(mask == 0, -1e9).max(1).values,
        "mean": (hidden * mask).sum(1) / mask.sum(1),
        "mean_sqrt_len_tokens": (hidden * mask).sum(1) / mask.sum(1).sqrt(),
        "weightedmean": (hidden * places).sum(1) / places.sum(1),
        "lasttoken": hidden[torch.arange(len(last)), torch.tensor(last)],
    }
    for pooling, vectors in expected.items():
        ours = encoder.embed(TEXTS, normalize=False, pooling=pooling)
        assert np.abs(ours - vectors.numpy()).max() <= 5e-5, pooling
