"""Dropout: which connections are dropped, and how often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.data import Batch
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.model import language_model
from tests.training.tiny import random_params

XS = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2.0, (6, 3, 4)))


def two_layers(**rates):
    layer = cells.lstm(5, param_dtype=jnp.float64)
    return language_model(cells.stack(layer, layer), 9, dropout=Dropout(**rates))


def tokens(seed=0):
    return np.random.default_rng(seed).integers(0, 9, (6, 3))


@pytest.mark.parametrize("locked", [False, True])
def test_the_mean_over_masks_is_the_input(locked):
    rate, draws = 0.4, 4000
    dropout = Dropout(locked=locked)
    keys = jax.random.split(jax.random.key(1), draws)
    dropped = jax.vmap(lambda key: dropout.apply(rate, key, XS))(keys)
    error = np.abs(np.asarray(dropped.mean(0) - XS)) / (np.asarray(XS) * np.sqrt(rate / (1 - rate) / draws))
    assert error.max() < 5  # standard errors
    kept = np.asarray(dropped[0]) != 0
    np.testing.assert_allclose(np.asarray(dropped[0])[kept], np.asarray(XS)[kept] / (1 - rate), rtol=1e-14)


def test_masks_differ_over_time_unless_locked():
    ones, key = jnp.ones((50, 8, 16)), jax.random.key(2)
    free = np.asarray(Dropout().apply(0.5, key, ones)) != 0
    locked = np.asarray(Dropout(locked=True).apply(0.5, key, ones)) != 0
    assert len({mask.tobytes() for mask in free}) == 50
    assert len({mask.tobytes() for mask in locked}) == 1
    assert len({row.tobytes() for row in locked[0]}) == 8  # each sequence of a batch has its own


def test_without_a_key_or_a_rate_nothing_is_dropped():
    assert Dropout(0.5, 0.5, 0.5).apply(0.5, None, XS) is XS
    assert Dropout().apply(0.0, jax.random.key(0), XS) is XS
    plain, dropping = two_layers(), two_layers(input=0.5, hidden=0.5, output=0.5)
    params, state = random_params(plain), plain.initial_state((3,))
    expected = jax.jit(plain.token_nll)(params, state, tokens(), tokens(1))
    for model, key in ((plain, jax.random.key(3)), (dropping, None)):
        found = jax.jit(model.token_nll)(params, state, tokens(), tokens(1), key)
        for one, two in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("place", "touched"), [("input", (0, 1)), ("hidden", (1,)), ("output", ())])
def test_each_rate_applies_to_its_own_connection(place, touched):
    model = two_layers(**{place: 0.5})
    params, state = random_params(model), model.initial_state((3,))
    plain, hs = jax.jit(model.hidden)(params, state, tokens(), None)
    last, dropped = jax.jit(model.hidden)(params, state, tokens(), jax.random.key(5))
    for layer in (0, 1):
        assert np.array_equal(plain[layer].hidden, last[layer].hidden) == (layer not in touched)
    assert (np.asarray(dropped) == 0).any() == (place == "output")
    assert not np.array_equal(hs, dropped)


def test_recurrent_connections_are_never_dropped():
    model = two_layers(input=0.5, hidden=0.5, output=0.5)
    params = random_params(model)
    # Without weights from below, the state lives on recurrent connections alone.
    deaf = params._replace(cell=tuple(layer._replace(w_x=jnp.zeros_like(layer.w_x)) for layer in params.cell))
    state = jax.tree.map(lambda s: s + 0.7, model.initial_state((3,)))
    plain, hs = jax.jit(model.hidden)(deaf, state, tokens(), None)
    last, dropped = jax.jit(model.hidden)(deaf, state, tokens(), jax.random.key(1))
    for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(last), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(hs, dropped)


def test_masks_depend_on_the_key_alone():
    model = two_layers(input=0.3, hidden=0.3, output=0.3)
    params, state = random_params(model), model.initial_state((3,))
    batch = Batch(tokens(), tokens(1), np.ones((6, 3), bool))
    loss_fn = jax.jit(model.loss_fn)
    first, again, other = (float(loss_fn(params, state, batch, jax.random.key(k))[0]) for k in (1, 1, 2))
    assert first == again
    assert first != other


def test_masks_do_not_depend_on_x64():
    xs = np.ones((4, 3, 5), np.float32)

    def drop():
        return np.asarray(Dropout().apply(0.35, jax.random.key(7), jnp.asarray(xs)))

    wide = drop()
    with jax.enable_x64(False):
        narrow = drop()
    np.testing.assert_array_equal(wide, narrow)


@pytest.mark.parametrize("rate", [1.0, -0.1, 1.5, float("nan")])
@pytest.mark.parametrize("place", ["input", "hidden", "output", "embedding", "word", "state", "weight"])
def test_impossible_rates_are_refused_by_name(place, rate):
    with pytest.raises(UserError, match=f"dropout rate {place} must be"):
        Dropout(**{place: rate})
