"""Optax rules on the rows of a table give the numbers of the dense gradient, for 50 updates, clipped or not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax.arrays.sparse_rows import RowGradient, dense_gradient, sum_duplicate_rows
from rnnlm_jax.training.optimizers import RULES, make_rule, where_finite, with_clipping
from rnnlm_jax.training.row_updates import by_rows, updates_by_row, with_promotion
from tests.unroll.programs import assert_close, jit

V, D, N, STEPS = 20, 3, 6, 50
BY_ROW = {"sgd", "adagrad", "sign_sgd"}
RATE = 0.05


def params(dtype):
    rng = np.random.default_rng(0)
    return {"table": jnp.asarray(rng.normal(size=(V, D)), dtype), "w": jnp.asarray(rng.normal(size=(D, D)), dtype)}


def gradients(dtype):
    """Of ``STEPS`` batches, with duplicate rows, stacked over time."""
    rng = np.random.default_rng(1)
    ids = rng.integers(0, V, (STEPS, N))
    ids[:, 0] = ids[:, -1]
    return {
        "ids": jnp.asarray(ids, jnp.int32),
        "rows": jnp.asarray(rng.normal(size=(STEPS, N, D)), dtype),
        "w": jnp.asarray(rng.normal(size=(STEPS, D, D)), dtype),
    }


@functools.partial(jit, static_argnums=(0, 1))
def trained(rule, dense, params, stacked):
    """Parameters and state after all updates, each by row or with the dense gradient."""

    def step(carried, gradient):
        p, state = carried
        g = {"table": sum_duplicate_rows(gradient["ids"], gradient["rows"]), "w": gradient["w"]}
        updates, state = rule.update(dense_gradient(g, p) if dense else g, state, p)
        return (optax.apply_updates(p, updates), state), None

    return jax.lax.scan(step, (params, rule.init(params)), stacked)[0]


@pytest.mark.parametrize("clip_norm", [None, 1.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(BY_ROW))
def test_updates_by_row_are_those_of_the_dense_gradient(name, dtype, clip_norm):
    rule = with_clipping(make_rule(name, optax.linear_schedule(RATE, 0.0, STEPS)), clip_norm)
    found = trained(by_rows(rule), False, params(dtype), gradients(dtype))
    expected = trained(rule, True, params(dtype), gradients(dtype))
    assert_close(found, expected, 1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", sorted(RULES))
def test_only_rules_that_leave_other_rows_alone_run_by_row(name):
    assert updates_by_row(make_rule(name, optax.constant_schedule(RATE))) == (name in BY_ROW)


def test_weight_decay_and_momentum_keep_a_rule_from_running_by_row():
    assert not updates_by_row(optax.chain(optax.add_decayed_weights(0.1), optax.sgd(RATE)))
    assert not updates_by_row(optax.sgd(RATE, momentum=0.5))


def test_a_gradient_without_rows_goes_to_the_rule_as_it_is():
    rule, p = optax.adam(RATE), params("float64")
    found, expected = (each.update(p, each.init(p), p) for each in (by_rows(rule), with_promotion(rule)))
    assert_close(found, expected, 0)


def test_adding_rows_leaves_the_others_and_unused_slots_alone():
    table = jnp.arange(12.0).reshape(4, 3)
    rows = RowGradient(jnp.asarray([1, 3, np.iinfo(np.int32).max], jnp.int32), jnp.ones((3, 3)))
    np.testing.assert_array_equal(table + rows, np.arange(12.0).reshape(4, 3) + [[0], [1], [0], [1]])


@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_nothing_changes_where_loss_or_gradient_is_not_finite(name):
    rule = by_rows(where_finite(make_rule(name, optax.constant_schedule(RATE))))
    p = params("float64")
    bad = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), p)
    state = rule.update(p, rule.init(p), p, is_finite=jnp.asarray(True))[1]
    moved, after = rule.update(bad, state, p, is_finite=jnp.asarray(False))
    assert_close(optax.apply_updates(p, moved), p, 0)
    assert_close(after, state, 0)
