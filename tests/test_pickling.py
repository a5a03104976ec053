"""What people send to a worker process or keep in a file pickles and copies: models, layers, vocabularies, settings."""

import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, inputs, ngrams, outputs
from rnnlm_jax.config import Config
from rnnlm_jax.data import EncodedText, build_vocabulary
from rnnlm_jax.evaluation.perplexity import Evaluation
from rnnlm_jax.inputs.spellings import Spellings
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.generation import Sampling
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.presets import PRESETS, preset

LINES = ["the cat sat on the mat", "a dog sat", "the dog ran to the cat"] * 3
VOCABULARY = build_vocabulary(LINES, "word")
TEXT = VOCABULARY.encode(LINES)
WORDS = WordCounts.counted(VOCABULARY.tokens, TEXT.tokens)
V, H = VOCABULARY.size, 8

OPTIONS = {"adaptive": {"cutoffs": "4"}, **{name: {"num_samples": 3} for name in ("importance", "nce", "blackout")}}
LAYERS = {
    **{name: outputs.make(name, WORDS, **OPTIONS.get(name, {})) for name in OUTPUTS},
    "tied": outputs.make("softmax", tied=True),
    "narrow": outputs.make("softmax", dtype="bfloat16"),
    "by rank": outputs.make("adaptive", WORDS, cutoffs="3:6", div_value=2),
    "embedding": inputs.make("embedding"),
    "char-cnn": inputs.make("char-cnn", VOCABULARY.tokens, filters="3+4", highways=2),
    "no input": inputs.no_input(),
}


def round_trips(value):
    yield pickle.loads(pickle.dumps(value))
    yield copy.copy(value)
    yield copy.deepcopy(value)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_come_back_as_the_same_object(name):
    assert all(found is LAYERS[name] for found in round_trips(LAYERS[name]))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("spelt", [False, True])
def test_models_are_equal_and_not_traced_again(output, spelt):
    cell = cells.stack(cells.lstm(H), cells.gru(H), residual=True)
    model = language_model(
        cell,
        V,
        H,
        input_layer=LAYERS["char-cnn"] if spelt else None,
        output=LAYERS[output],
        dropout=Dropout(0.1, 0.2, 0.3, locked=True),
        remat_chunk="sqrt",
    )
    traces = []

    def shapes(model, token):
        traces.append(model)
        return jnp.zeros((model.vocab_size,)) + token

    traced = jax.jit(shapes, static_argnums=0)
    for found in round_trips(model):
        assert found == model
        assert hash(found) == hash(model)
        traced(found, jnp.zeros(()))
    assert len(traces) == 1


SETTINGS = {
    "vocabulary": VOCABULARY,
    "words": WORDS,
    "spellings": Spellings(VOCABULARY.tokens),
    "dropout": Dropout(0.1, hidden=0.5, sharded_over="data"),
    "sampling": Sampling(0.5, top_k=3, top_p=0.9),
    "config": Config(),
    "evaluation": Evaluation(10.0, 5, 1, 20, "words"),
    **{name: preset(name) for name in PRESETS},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_round_trip(name):
    value = SETTINGS[name]
    for found in round_trips(value):
        assert found == value
        assert type(found) is type(value)
        if not isinstance(value, Config):  # whose parts are hashable, as far as they have no lists
            assert hash(found) == hash(value)


def test_read_only_arrays_stay_read_only():
    """NumPy pickles an array without its flag."""
    for found in (*round_trips(WORDS), *round_trips(SETTINGS["spellings"])):
        arrays = [a for a in vars(found).values() if isinstance(a, np.ndarray)]
        assert arrays
        assert not any(a.flags.writeable for a in arrays)


MODELS = {
    "kneser-ney": ngrams.train(TEXT, VOCABULARY, 3),
    "cache": ngrams.UnigramCache(VOCABULARY),
}


@pytest.mark.parametrize("name", MODELS)
def test_ngram_models_score_alike(name):
    """They compare by identity: their arrays may be as large as memory."""
    model = MODELS[name]
    for found in round_trips(model):
        assert found.describe() == model.describe()
        np.testing.assert_array_equal(found.token_nll(TEXT), model.token_nll(TEXT))


def test_baselines_and_texts():
    unigram, bigram = ngrams.UnigramBaseline(TEXT.tokens, V), ngrams.BigramBaseline(TEXT.tokens, V)
    for found in round_trips(unigram):
        np.testing.assert_array_equal(found.nats(TEXT.tokens), unigram.nats(TEXT.tokens))
    for found in round_trips(bigram):
        np.testing.assert_array_equal(found.nats(TEXT.tokens, 0), bigram.nats(TEXT.tokens, 0))
    for found in round_trips(TEXT):
        assert isinstance(found, EncodedText)
        for field in dataclasses.fields(TEXT):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(TEXT, field.name))
