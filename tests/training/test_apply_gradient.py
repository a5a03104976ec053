"""The update of all parameters against optax, with dense and row-sparse gradients, and its memory."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import optax
import pytest

from rnnlm_jax.arrays.sparse_rows import sum_duplicate_rows
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.language_model.model import LanguageModelParams
from rnnlm_jax.training.apply_gradient import apply_gradient, global_norm
from rnnlm_jax.training.optimizer import make_optimizer
from tests.training.tiny import assert_same_bits
from tests.unroll.programs import assert_close, jit

JAXLIB = tuple(map(int, jaxlib.version.__version__.split(".")[:3]))
RULES = ("sgd", "momentum", "adagrad", "adam", "adamw")
BY_ROW = ("sgd", "adagrad")
V, D, N = 20, 3, 6
RATE = jnp.float64(0.3)
IDS = (np.array([3, 0, 3, 19, 3, 0], np.int32), np.full(N, 7, np.int32), np.arange(5, 5 + N, dtype=np.int32))


def make_params(seed=0):
    rng = np.random.default_rng(seed)
    return {"table": jnp.asarray(rng.standard_normal((V, D))), "bias": (jnp.asarray(rng.standard_normal(4)), None)}


def dense(gradient):
    """Return a gradient with the rows of its table, ``(ids, rows)``, summed into an array."""
    ids, rows = gradient["table"]
    return gradient | {"table": jnp.zeros((V, D)).at[ids].add(rows)}


def by_row(gradient):
    return gradient | {"table": sum_duplicate_rows(*gradient["table"])}


def make_gradient(ids, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    rows, bias = rng.standard_normal((N, D)), rng.standard_normal(4)
    rows[-2] = 0.0  # as at a masked position
    return {"table": (jnp.asarray(ids), jnp.asarray(scale * rows)), "bias": (jnp.asarray(scale * bias), None)}


@functools.cache
def program(config, form):
    @jit
    def update(params, gradient, opt_state, rate, is_finite):
        gradient = form(gradient)
        norm = global_norm(gradient)
        return *apply_gradient(
            config, params, gradient, opt_state, learning_rate=rate, norm=norm, is_finite=is_finite
        ), norm

    return update


@functools.cache
def reference(config):
    @jit
    def update(params, gradient, opt_state, rate):
        gradient = dense(gradient)
        updates, opt_state = make_optimizer(config, rate).update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, optax.tree.norm(gradient)

    return update


CASES = [(name, dense) for name in RULES] + [(name, by_row) for name in BY_ROW]


@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_clip_scope_cells_clips_the_cells_alone(name):
    """Other parameters are updated as without clipping, and the cells as if they were the only parameters."""
    config = OptimizerConfig(name, clip_scope="cells", clip_norm=1.5, initial_accumulator=1.0)
    rng = np.random.default_rng(1)
    params, gradient = (
        LanguageModelParams(*(scale * jnp.asarray(rng.standard_normal(shape)) for shape in ((V, D), (D,), (D, V))))
        for scale in (1.0, 10.0)
    )

    @jit
    def update(params, gradient):
        rule = make_optimizer(config, RATE)
        rest = gradient, rule.init(params), params
        wanted, wanted_state = rule.update(*rest)
        found = apply_gradient(
            config, params, *rest[:2], learning_rate=RATE, norm=global_norm(gradient), is_finite=jnp.array(True)
        )
        by_hand = make_optimizer(dataclasses.replace(config, clip_scope="all", clip_norm=None), RATE)
        clipped = gradient._replace(cell=gradient.cell * 1.5 / jnp.linalg.norm(gradient.cell))
        return found, (optax.apply_updates(params, wanted), wanted_state), by_hand.update(clipped, by_hand.init(params))

    found, wanted, (moves, _) = update(params, gradient)
    assert_close(found, wanted, 1e-12)
    assert_close(found[0], optax.apply_updates(params, moves), 1e-12)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_updates_are_those_of_optax(name, form):
    """Three updates: one that is clipped, one whose rows are all the same, one too small to be clipped."""
    config = OptimizerConfig(name, clip_norm=1.5, momentum=0.8, weight_decay=0.05)
    ours = theirs = (make_params(), make_optimizer(config, 0.0).init(make_params()))
    norms = []
    for k, ids in enumerate(IDS):
        gradient = make_gradient(ids, seed=k, scale=0.1 if k == 2 else 1.0)
        rate = RATE / (k + 1)
        *ours, norm = program(config, form)(ours[0], gradient, ours[1], rate, jnp.array(True))
        *theirs, wanted = reference(config)(theirs[0], gradient, theirs[1], rate)
        np.testing.assert_allclose(norm, wanted, rtol=1e-14)
        norms.append(float(norm))
    assert norms[2] < 1.5 < norms[0]
    assert_close(tuple(ours), tuple(theirs))  # the structure, too: checkpoints contain optax's state
    untouched = np.setdiff1d(np.arange(V), np.concatenate(IDS))
    if name in BY_ROW:
        np.testing.assert_array_equal(ours[0]["table"][untouched], make_params()["table"][untouched])


@pytest.mark.parametrize(("name", "form"), CASES)
def test_an_update_that_is_not_finite_keeps_every_bit(name, form):
    config = OptimizerConfig(name, clip_norm=1.5, momentum=0.8, weight_decay=0.05)
    params = make_params()
    params["table"] = params["table"].at[3].set(-0.0)
    gradient = jax.tree.map(lambda g: g * np.nan if g.dtype == float else g, make_gradient(IDS[0], 0))
    opt_state = jax.tree.map(lambda m: m + 2, make_optimizer(config, 0.0).init(params))  # moments that are not zero
    *kept, norm = program(config, form)(params, gradient, opt_state, RATE, jnp.array(False))
    assert np.isnan(norm)
    assert_same_bits(tuple(kept), (params, opt_state))


def test_without_clipping_a_large_gradient_stays_large():
    config = OptimizerConfig("sgd", clip_norm=None)
    params, gradient = make_params(), make_gradient(IDS[0], 0, scale=100.0)
    opt_state = make_optimizer(config, 0.0).init(params)
    after, _, _ = program(config, by_row)(params, gradient, opt_state, RATE, jnp.array(True))
    np.testing.assert_allclose(after["bias"][0], params["bias"][0] - 0.3 * gradient["bias"][0], rtol=1e-14)


def test_rules_that_change_every_row_refuse_row_gradients():
    config = OptimizerConfig("momentum")
    opt_state = make_optimizer(config, 0.0).init(make_params())
    with pytest.raises(AssertionError, match="momentum changes every row"):
        program(config, by_row)(make_params(), make_gradient(IDS[0], 0), opt_state, RATE, jnp.array(True))


def memory(name, form, rows=V, width=D):
    """Return the compiler's memory analysis of one update of a table, parameters and state donated."""
    config = OptimizerConfig(name)

    def update(table, opt_state, gradient, rate):
        gradient = form(gradient)
        norm = global_norm(gradient)
        return apply_gradient(
            config, table, gradient, opt_state, learning_rate=rate, norm=norm, is_finite=jnp.isfinite(norm)
        )

    table = jax.ShapeDtypeStruct((rows, width), jnp.float32)
    opt_state = jax.eval_shape(make_optimizer(config, 0.0).init, table)
    found = (jax.ShapeDtypeStruct((N,), jnp.int32), jax.ShapeDtypeStruct((N, width), jnp.float32))
    gradient = found if form is one_table else table
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    return jit(update, donate_argnums=(0, 1)).lower(table, opt_state, gradient, rate).compile().memory_analysis()


def one_table(gradient):
    return sum_duplicate_rows(*gradient)


@pytest.mark.parametrize("name", BY_ROW)
def test_memory_of_an_update_by_row_does_not_grow_with_the_table(name):
    few, many = (memory(name, one_table, rows) for rows in (100, 100_000))
    assert many.temp_size_in_bytes == few.temp_size_in_bytes < 10_000
    assert many.alias_size_in_bytes >= 100_000 * D * 4 * (1 if name == "sgd" else 2)  # written in place


@pytest.mark.parametrize("name", RULES)
def test_a_dense_update_makes_no_copy(name):
    copies = 1 if JAXLIB < (0, 10, 2) else 0  # earlier releases keep one of the gradient
    assert memory(name, lambda gradient: gradient, 1000, 50).temp_size_in_bytes < 1000 * 50 * 4 * (copies + 0.5)
