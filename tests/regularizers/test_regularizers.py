"""Terms of the training loss: values and gradients against NumPy and central differences, sums over microbatches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.config import Config, from_json, replace, to_json
from rnnlm_jax.data import Batch
from rnnlm_jax.jacobians.tangent_frames import random_frame
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.regularizers import make_regularizers, regularizers_for
from rnnlm_jax.regularizers.recurrence import FRAMES
from tests.regularizers.elman_stack import ElmanStack
from tests.training.tiny import random_params

T, B, H, V = 5, 4, 3, 7
RNG = np.random.default_rng(0)
MASK = np.arange(T)[:, None] < [T, 3, 4, T]
BATCH = Batch(RNG.integers(0, V, (T, B)), RNG.integers(0, V, (T, B)), MASK)
KEY, NORMALISER = jax.random.key(5), 10
WEIGHTS = MASK / NORMALISER
ELMAN = cells.elman(H, param_dtype="float64")
MODEL = language_model(cells.stack(ELMAN, ELMAN), V)
#: Cells of two kinds, with dropout.
DROPPED = language_model(
    cells.stack(cells.gru(H, param_dtype="float64"), ELMAN), V, dropout=Dropout(input=0.2, hidden=0.3, output=0.4)
)
ONE_LAYER = language_model(ELMAN, V)
ALL = (("activation", 2), ("temporal_activation", 3.0), ("omega", 0.7), ("flossing", 0.5), ("flossing_exponents", 2))
EXACT = (*ALL[:2], *ALL[3:])  # terms whose gradient is complete


@functools.partial(jax.jit, static_argnames=("model", "pairs", "smoothing"))
def differentiate(model, params, state, batch, *, pairs=(), smoothing=0.0, step=None):
    """The loss, the penalties and the gradient."""
    (loss, scored), gradient = loss_and_gradient(
        model,
        params,
        state,
        batch,
        KEY,
        normaliser=NORMALISER,
        regularizers=make_regularizers(pairs),
        label_smoothing=smoothing,
        step=step,
    )
    return loss, scored.penalties, gradient


def case(model):
    """Random parameters and a random state before the batch."""
    state = jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape) * 0.5), model.initial_state((B,)))
    return random_params(model, scale=0.8), state


PARAMS, STATE = case(MODEL)
BY_HAND = ElmanStack(PARAMS, STATE, BATCH, WEIGHTS)


@pytest.fixture(scope="module")
def found():
    """All terms at once."""
    return differentiate(MODEL, PARAMS, STATE, BATCH, pairs=ALL, smoothing=0.1)


@pytest.fixture(scope="module")
def without():
    """The same without the term whose gradient is not complete."""
    return differentiate(MODEL, PARAMS, STATE, BATCH, pairs=EXACT, smoothing=0.1)


def test_the_loss_has_no_penalties_in_it(found):
    np.testing.assert_allclose(found[0], BY_HAND.loss, rtol=1e-12)


def test_activations_by_hand(found):
    """The model has no dropout here: outputs are the same before and after."""
    hs, penalties = BY_HAND.hs[-1], found[1]
    activation = 2 * sum(WEIGHTS[t, b] * (hs[t, b] ** 2).mean() for t, b in np.argwhere(MASK))
    pairs = np.argwhere(MASK[1:])
    temporal = 3 * sum(((hs[t + 1, b] - hs[t, b]) ** 2).mean() / NORMALISER for t, b in pairs)
    np.testing.assert_allclose(penalties["activation"], activation, rtol=1e-12)
    np.testing.assert_allclose(penalties["temporal_activation"], temporal, rtol=1e-12)


def test_smoothed_labels_by_hand(found):
    uniform = -BY_HAND.log_p.mean(axis=-1)
    np.testing.assert_allclose(
        found[1]["label_smoothing"], 0.1 * (WEIGHTS * (uniform - BY_HAND.nats)).sum(), rtol=1e-11
    )


def test_flossing_by_hand(found):
    key = jax.random.fold_in(KEY, FRAMES)
    frames = [random_frame(jax.random.fold_in(key, layer), H, 2, jnp.dtype("float64")) for layer in (0, 1)]
    np.testing.assert_allclose(found[1]["flossing"], 0.5 * BY_HAND.squared_exponents(frames), rtol=1e-10)


def test_omega_by_hand():
    """The gradient of the loss is unchanged, and that of Ω is the immediate one of each layer's recurrent matrix."""
    plain = differentiate(MODEL, PARAMS, STATE, BATCH)
    for squared in (False, True):
        pairs = (("omega", 0.7), ("omega_squared_norms", squared))
        loss, penalties, gradient = differentiate(MODEL, PARAMS, STATE, BATCH, pairs=pairs)
        value, slopes = BY_HAND.omega(squared)
        np.testing.assert_allclose(loss, plain[0], rtol=1e-14)
        np.testing.assert_allclose(penalties["omega"], 0.7 * value, rtol=1e-10)
        added = jax.tree.map(np.subtract, gradient, plain[2])
        for layer, slope in zip(added.cell, slopes, strict=True):
            np.testing.assert_allclose(layer.w_h, 0.7 * slope, rtol=1e-8, atol=1e-12)
        rest = added._replace(cell=[layer._replace(w_h=0.0) for layer in added.cell])
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(rest)) < 1e-14


def test_omega_takes_the_gradient_of_the_loss_with_its_other_terms(found, without):
    alone = differentiate(MODEL, PARAMS, STATE, BATCH, pairs=(("omega", 0.7),))
    assert abs(found[1]["omega"] - alone[1]["omega"]) > 1e-4
    np.testing.assert_allclose(found[0], without[0], rtol=1e-14)


def check_slope(model, params, state, pairs, smoothing):
    """The gradient is that of the loss and all penalties, by central differences along a random direction."""

    def objective(params):
        loss, penalties, _ = differentiate(model, params, state, BATCH, pairs=pairs, smoothing=smoothing)
        return loss + sum(penalties.values())

    _, penalties, gradient = differentiate(model, params, state, BATCH, pairs=pairs, smoothing=smoothing)
    assert all(value != 0 for value in penalties.values())
    direction = jax.tree.map(lambda a: jnp.asarray(RNG.normal(size=a.shape)), params)
    ends = [objective(jax.tree.map(lambda a, d, e=e: a + e * d, params, direction)) for e in (1e-5, -1e-5)]
    slope = sum((g * d).sum() for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-9)


def test_complete_gradients_of_the_elman_stack():
    check_slope(MODEL, PARAMS, STATE, EXACT, 0.1)


def test_complete_gradients_with_dropout():
    params, state = case(DROPPED)
    check_slope(DROPPED, params, state, EXACT, 0.1)


def test_microbatches_add_up_to_the_whole_batch(found):
    """With the normaliser of the whole; ``found`` has the first two and the last two columns in one batch."""
    halves = []
    for columns in (slice(0, 2), slice(2, 4)):
        part = Batch(*(a[:, columns] for a in BATCH))
        state = jax.tree.map(lambda a, columns=columns: a[columns], STATE)
        halves.append(differentiate(MODEL, PARAMS, state, part, pairs=ALL, smoothing=0.1))
    total = jax.tree.map(np.add, *halves)
    assert found[1].keys() == {"activation", "temporal_activation", "omega", "flossing", "label_smoothing"}
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(total), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_flossing_at_some_steps_only():
    pairs = (("flossing", 0.5), ("flossing_every", 3))
    params, state = case(ONE_LAYER)
    values = [
        float(differentiate(ONE_LAYER, params, state, BATCH, pairs=pairs, step=jnp.int32(step))[1]["flossing"])
        for step in (0, 1, 6)
    ]
    assert values[0] == values[2] > 0
    assert values[1] == 0
    with pytest.raises(UserError, match="'flossing' depends on the step: give `step`"):
        loss_and_gradient(ONE_LAYER, params, state, BATCH, KEY, regularizers=make_regularizers(pairs))
    with pytest.raises(UserError, match="'flossing' draws random numbers: give a `key`"):
        loss_and_gradient(ONE_LAYER, params, state, BATCH, None, regularizers=make_regularizers(pairs))


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        ((("omgea", 1),), "no 'omgea': choose among activation, .*omega, omega_squared_norms, flossing, flossing_exp"),
        ((("flossing_speed", 1),), "no 'flossing_speed': choose among"),
        ((("omega", 1), ("omega", 2)), "gives omega twice"),
        ((("flossing_exponents", 2),), "gives flossing_exponents without a weight of flossing: add flossing=1"),
        ((("activation", -1),), "activation=-1: the weight must be a positive number"),
        ((("temporal_activation", 0),), "temporal_activation=0: the weight must be"),
        ((("omega", "much"),), "omega='much': the weight must be"),
        ((("omega", True),), "omega=True: the weight must be"),
        ((("omega", 1), ("omega_squared_norms", 2)), "omega_squared_norms must be true or false, not 2"),
        ((("flossing", float("inf")),), "flossing=inf: the weight must be"),
        ((("flossing", 1), ("flossing_exponents", 2.5)), "flossing_exponents must be a positive whole number, not 2.5"),
        ((("flossing", 1), ("flossing_every", 0)), "flossing_every must be a positive whole number, not 0"),
        ((("flossing", 1), ("flossing_exponents", 9)), "at most the 3 numbers of a layer's state, not 9"),
    ],
)
def test_impossible_options_are_refused(pairs, complaint):
    with pytest.raises(UserError, match=complaint):
        regularizers_for(MODEL.cell, pairs)


def test_a_model_without_recurrence_has_none_to_regularise():
    with pytest.raises(UserError, match="omega regularises a recurrence, and cell 'none' has no state"):
        regularizers_for(cells.no_cell(), (("omega", 1),))
    assert len(regularizers_for(cells.no_cell(), (("activation", 1),))) == 1


def test_options_survive_a_configuration_file():
    config = replace(Config(), optimizer={"regularize": ALL, "label_smoothing": 0.1})
    assert from_json(to_json(config)) == config
