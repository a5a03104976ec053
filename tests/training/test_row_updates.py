"""Which rules run by row, and the arithmetic of row gradients; ``test_optimizer`` compares the updates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient
from rnnlm_jax.training.optimizers import RULES, make_rule
from rnnlm_jax.training.row_updates import by_rows, updates_by_row, with_promotion
from tests.unroll.programs import assert_close


@pytest.mark.parametrize("name", sorted(RULES))
def test_only_rules_that_leave_other_rows_alone_run_by_row(name):
    rule = make_rule(name, optax.constant_schedule(0.1))
    assert updates_by_row(rule) == (name in ("sgd", "adagrad", "sign_sgd"))


def test_weight_decay_and_momentum_keep_a_rule_from_running_by_row():
    assert not updates_by_row(optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1)))
    assert not updates_by_row(optax.sgd(0.1, momentum=0.5))
    assert updates_by_row(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)))


@pytest.mark.parametrize("decaying", ["table", "matrix"])
def test_the_trial_is_of_the_model_s_own_parameters(decaying):
    """Weight decay by names moves other rows of a table only if it is that table which decays."""

    def mask(params):
        return {name: name == decaying for name in params}

    rule = optax.chain(optax.add_decayed_weights(0.1, mask), optax.sgd(0.1))
    shapes = {"table": jnp.zeros((50, 9)), "matrix": jnp.zeros((5, 9)), "bias": jnp.zeros(5)}
    are_tables = {"table": True, "matrix": False, "bias": False}
    assert updates_by_row(rule, shapes, are_tables) == (decaying == "matrix")


def test_a_table_that_optax_masks_may_have_a_row_gradient():
    """A rule with a state for each parameter has none for a masked one."""
    rule = by_rows(optax.masked(optax.adagrad(0.1), {"w": True, "frozen": False}))
    p = {name: jnp.arange(6.0).reshape(2, 3) for name in ("w", "frozen")}
    gradient = jax.tree.map(lambda _: RowGradient(jnp.asarray([1], jnp.int32), jnp.ones((1, 3))), p)
    moved, state = rule.update(gradient, rule.init(p), p)
    assert jax.tree.structure(state) == jax.tree.structure(rule.init(p))
    np.testing.assert_allclose(moved["w"].rows, -0.1 * 1.1**-0.5 * np.ones((1, 3)), rtol=1e-6)
    np.testing.assert_array_equal(moved["frozen"].rows, np.ones((1, 3)))


def test_a_gradient_without_rows_goes_to_the_rule_as_it_is():
    rule, p = optax.adam(0.1), {"w": jnp.arange(6.0).reshape(2, 3)}
    found, expected = (each.update(p, each.init(p), p) for each in (by_rows(rule), with_promotion(rule)))
    assert_close(found, expected, 0)


def test_adding_rows_leaves_the_others_and_unused_slots_alone():
    table = jnp.arange(12.0).reshape(4, 3)
    rows = RowGradient(jnp.asarray([1, 3, UNUSED], jnp.int32), jnp.ones((3, 3)))
    np.testing.assert_array_equal(table + rows, np.arange(12.0).reshape(4, 3) + [[0], [1], [0], [1]])
