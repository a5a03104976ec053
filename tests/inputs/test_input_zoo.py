"""Input layers by name, the same for the same words, and what cannot be made."""

import jax
import numpy as np
import pytest

from rnnlm_jax import UserError, inputs

WORDS = ("a", "bc")


@pytest.mark.parametrize("name", inputs.INPUTS)
def test_equal_arguments_give_the_same_layer(name):
    layer = inputs.make(name, WORDS)
    assert layer is inputs.make(name, list(WORDS), dtype="float32", param_dtype=np.float32)
    assert layer is not inputs.make(name, WORDS, dtype="float64", param_dtype="float64")
    assert layer.kind == name
    assert hash(layer)


def test_an_embedding_looks_rows_up():
    layer = inputs.make("embedding")
    table = layer.init(jax.random.key(0), 50, 400)
    assert layer.is_table
    assert layer.table(table) is table
    np.testing.assert_array_equal(layer.embed(table, np.array([[3, 1]])), table[np.array([[3, 1]])])
    norms = np.linalg.norm(table, axis=1)
    assert 0.8 < norms.min() < norms.max() < 1.2


def test_other_words_are_another_layer():
    assert inputs.make("char-cnn", WORDS) is not inputs.make("char-cnn", ("a", "bd"))
    assert inputs.make("char-cnn", WORDS) is not inputs.make("char-cnn", WORDS, characters=15)


@pytest.mark.parametrize(
    ("name", "options", "saying"),
    [
        ("glove", {}, "unknown input 'glove': choose one of embedding, char-cnn"),
        ("embedding", {"filters": "3"}, "has no option 'filters': it has none"),
        ("char-cnn", {"kernel": 3}, "has no option 'kernel': it has filters, characters"),
        ("char-cnn", {"filters": "3+0"}, "not '3\\+0'"),
        ("char-cnn", {"filters": "many"}, "with plus signs between"),
        ("char-cnn", {"filters": -2}, "not -2"),
        ("char-cnn", {"filters": True}, "not True"),
        ("char-cnn", {"filters": 2.5}, "not 2.5"),
        ("char-cnn", {"characters": 0}, "`characters` must be a whole number of at least 1"),
        ("char-cnn", {"highways": -1}, "`highways` must be a whole number of at least 0"),
        ("char-cnn", {"highways": "two"}, "`highways` must be"),
        ("char-cnn", {"activation": "sigmoid"}, "`activation` must be one of tanh, relu"),
        ("char-cnn", {"activation": None}, "`activation` must be one of"),
        ("char-cnn", {"max_length": 2}, "`max_length` must be at least 3"),
    ],
)
def test_what_cannot_be_made(name, options, saying):
    with pytest.raises(UserError, match=saying):
        inputs.make(name, WORDS, **options)


def test_spellings_need_words():
    with pytest.raises(UserError, match="reads how words are written"):
        inputs.make("char-cnn")
    with pytest.raises(UserError, match="`spellings` of 2 tokens do not fit a vocabulary of 3"):
        inputs.make("char-cnn", WORDS).init(jax.random.key(0), 3, 4)


def test_one_number_is_one_width():
    params = inputs.make("char-cnn", WORDS, filters=7, highways=0).init(jax.random.key(0), 2, 3)
    assert [bank.shape for bank in params.filters] == [(16, 7)]
    assert params.highways == ()
