"""Which rules run by row, and the arithmetic of row gradients; ``test_optimizer`` compares the updates."""

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


def test_a_gradient_without_rows_goes_to_the_rule_as_it_is():
    rule, p = optax.adam(0.1), {"w": jnp.arange(6.0).reshape(2, 3)}
    found, expected = (each.update(p, each.init(p), p) for each in (by_rows(rule), with_promotion(rule)))
    assert_close(found, expected, 0)


def test_adding_rows_leaves_the_others_and_unused_slots_alone():
    table = jnp.arange(12.0).reshape(4, 3)
    rows = RowGradient(jnp.asarray([1, 3, UNUSED], jnp.int32), jnp.ones((3, 3)))
    np.testing.assert_array_equal(table + rows, np.arange(12.0).reshape(4, 3) + [[0], [1], [0], [1]])
