"""Arguments of language models and layers: lists and numbers are accepted, impossible ones refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, inputs, outputs
from rnnlm_jax.inputs import no_input
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.shape_checking import unchecked

V, H, T, B = 9, 8, 3, 2
WORDS = WordCounts([f"w{i}" for i in range(V)], range(V))
CELL = cells.lstm(H)
OPTIONS = {"adaptive": {"cutoffs": "4"}, **{name: {"num_samples": 3} for name in ("importance", "nce", "blackout")}}
LAYERS = {name: outputs.make(name, WORDS, **OPTIONS.get(name, {})) for name in OUTPUTS}
TOKENS, TARGETS = [[1, 2], [3, 4], [0, 8]], [[3, 4], [0, 8], [1, 1]]


@pytest.mark.parametrize("name", LAYERS)
def test_models_take_lists(name):
    model = language_model(CELL, V, output=LAYERS[name])
    params, state = model.init(jax.random.key(0)), model.initial_state((B,))
    wanted = model.token_nll(params, state, jnp.asarray(TOKENS, jnp.int32), jnp.asarray(TARGETS, jnp.int32))
    with unchecked():  # annotations say array
        found = model.token_nll(params, state, TOKENS, TARGETS)
        stepped = model.log_probs(params, state, [1, 2])
        assert model.log_probs(params, model.initial_state(()), 3)[1].shape == (V,)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    jax.tree.map(np.testing.assert_array_equal, stepped, model.log_probs(params, state, jnp.asarray([1, 2], jnp.int32)))
    for tokens, pattern in (
        ([[1, 9], [0, 0], [0, 0]], "`tokens` must be from 0 to 8, not 9"),
        ([[1, -1], [0, 0], [0, 0]], "`tokens` must be from 0 to 8, not -1"),
        ([[0.5, 1.0]] * T, "`tokens` must be whole numbers, not float"),
        ("the cat", "`tokens` must be an array of numbers, not this str"),
    ):
        with pytest.raises(UserError, match=pattern):
            model.token_nll(params, state, tokens, TARGETS)
    with pytest.raises(UserError, match="`targets` must be whole numbers"):
        model.token_nll(params, state, TOKENS, [[0.5, 1.0]] * T)


@pytest.mark.parametrize("name", [name for name in LAYERS if not LAYERS[name].context_size])
def test_output_layers_take_lists(name):
    layer = LAYERS[name]
    params = layer.init(jax.random.key(0), H, V)
    hs, targets, weights = [[0.5] * H, [-1.0] * H], [3, 8], [1.0, 0.5]
    arrays = jnp.asarray(hs, jnp.float32), jnp.asarray(targets, jnp.int32), jnp.asarray(weights, jnp.float32)
    for function, count in (("nats", 2), ("total_nats", 3), ("log_probs", 1)):
        call = getattr(layer, function)
        with unchecked():
            found = call(params, *(hs, targets, weights)[:count])
        np.testing.assert_array_equal(found, call(params, *arrays[:count]))
    for wrong, pattern in (
        ((hs, [0.5, 1.0]), "`targets` must be whole numbers"),
        ((np.ones((2, H), np.int32), targets), "`hs` must be floating-point numbers, not int32"),
        ((np.ones((2, H)) * 1j, targets), "`hs` must be floating-point numbers, not complex128"),
    ):
        with pytest.raises(UserError, match=pattern):
            layer.nats(params, *wrong)


@pytest.mark.parametrize(
    "layer", [inputs.make("embedding"), inputs.make("char-cnn", WORDS.tokens, filters="2+2"), no_input()]
)
def test_input_layers_take_lists(layer):
    params = layer.init(jax.random.key(0), V, H)
    with unchecked():
        found = layer.embed(params, [1, 2])
        assert layer.embed(params, 3).ndim == 1
    np.testing.assert_array_equal(found, layer.embed(params, jnp.asarray([1, 2], jnp.int32)))
    with pytest.raises(UserError, match="`ids` must be whole numbers, not float"):
        layer.embed(params, [0.5])


REFUSED = {
    "cell": (lambda: language_model("lstm", V), "`cell` must be a cell.*not a str"),
    "dropout": (lambda: language_model(CELL, V, dropout=0.5), r"`dropout` must be a Dropout.*not 0\.5"),
    "rate": (lambda: Dropout("0.5"), "dropout rate input must be at least 0 and below 1, not '0.5'"),
    "rate-nan": (lambda: Dropout(hidden=float("nan")), "dropout rate hidden"),
    "output": (lambda: language_model(CELL, V, output="softmax"), "`output` must be an OutputLayer.*'softmax'"),
    "input": (lambda: language_model(CELL, V, input_layer="embedding"), "`input_layer` must be an InputLayer"),
    "scale": (lambda: language_model(CELL, V, init_scale="small"), "`init_scale` must be a finite number"),
    "vocabulary": (lambda: language_model(CELL, 0), "`vocab_size` must be a positive whole number"),
    "state": (lambda: language_model(CELL, V).initial_state(4), r"`batch_shape` must be a tuple.*not 4"),
    "stack": (lambda: cells.stack([CELL, CELL]), r"`layers` must be a cell.*stack\(\*layers\)"),
    "one-direction": (lambda: cells.bidirectional(CELL), "bidirectional: missing a required argument: 'backward'"),
    "no-size": (lambda: cells.lstm(), "lstm: missing a required argument: 'hidden_size'"),
    "unknown": (lambda: cells.lstm(4, colour=1), "lstm: got an unexpected keyword argument 'colour'"),
    "dtype": (lambda: cells.lstm(4, dtype="int32"), "`dtype` must be a floating-point type such as float32, not int32"),
    "complex": (lambda: cells.gru(4, param_dtype="complex64"), "`param_dtype` must be a floating-point type"),
    "no-dtype": (lambda: cells.gru(4, param_dtype="flo"), "`param_dtype` must be a floating-point type.*'flo'"),
    "layer-dtype": (lambda: outputs.make("softmax", dtype="int32"), "`dtype` must be a floating-point type"),
    "bias": (lambda: cells.elman(4, bias=0.5), "`bias` must be true or false, not 0.5"),
    "forget-bias": (lambda: cells.lstm(4, forget_bias=float("inf")), "`forget_bias` must be a finite number, not inf"),
    "initialiser": (lambda: cells.lstm(4, recurrent_init=[1]), "`recurrent_init` must be a name or a function"),
    "choice": (lambda: cells.elman(4, activation=["tanh"]), "activation"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_arguments_are_refused(case):
    call, pattern = REFUSED[case]
    with pytest.raises(UserError, match=pattern) as caught:
        call()
    assert "\n" not in str(caught.value)
