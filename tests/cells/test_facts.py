"""Facts that cells declare, held to the cells themselves: Jacobian structure, linearity, and what is dropped."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.benchmarking import layers
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, Recurrence
from rnnlm_jax.cells.state_blocks import state_blocks
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian
from rnnlm_jax.cells.state_vector import state_size, to_vector
from tests.unroll.programs import CELLS, ZOO, H, assert_close, example, jit, make, random_arrays

JACOBIAN = jit(autodiff_jacobian, static_argnums=0)
#: Registered cells, stacks, and options that change what a cell declares.
CASES = {
    **CELLS,
    "bigram": make("feed-forward", order=2),
    "positive-mingru": make("mingru", candidate="positive"),
    "bounded-indrnn": make("indrnn", activation="tanh", max_weight=0.3),
    "zoned-lstm": cells.zoneout(make("lstm"), hidden=0.2, cell=0.5),
    "zoned-mingru": cells.zoneout(make("mingru"), hidden=0.2),
    "heads-of-gla": cells.gla(H + 1, heads=2, key_size=2, param_dtype="float64"),
    "heads-of-deltanet": cells.deltanet(H + 1, heads=2, key_size=2, param_dtype="float64"),
    "heads-of-slstm": cells.slstm(H + 1, heads=2, recurrent_init="orthogonal", param_dtype="float64"),
    "heads-of-mlstm": cells.mlstm(H + 1, heads=2, key_size=2, param_dtype="float64"),
    "zoned-deltanet": cells.zoneout(make("deltanet"), memory=0.2),
}


def step_jacobian(name):
    """The Jacobian of one step at random parameters, state and input: rows are outputs."""
    cell = CASES[name]
    params, state, xs = random_arrays(cell, name)
    return np.asarray(JACOBIAN(cell, params, example(state, 0), cell.input_projection(params, xs[0, 0])))


def allowed(cell, structure):
    """Which entries of a Jacobian may differ from zero; one block a unit for a structure that is not declared."""
    numbers = np.arange(state_size(cell))
    if structure is JacobianStructure.DENSE:
        return np.ones((len(numbers), len(numbers)), bool)
    if structure is JacobianStructure.BLOCK and cell.facts.jacobian is structure:
        blocks = state_blocks(cell)
        of_each = np.repeat(np.arange(float(blocks.count))[:, None], blocks.size, axis=1)
        numbers = np.asarray(to_vector(blocks.split(jnp.asarray(of_each))))
    elif structure is JacobianStructure.BLOCK:
        numbers = numbers % H
    return np.equal.outer(numbers, numbers)


@pytest.mark.parametrize("name", [*(name for name in CASES if CASES[name].facts.read_by_products), "gru"])
def test_without_its_recurrent_matrices_a_step_does_not_read_what_products_alone_read(name):
    cell = CASES[name]
    params, state, xs = random_arrays(cell, name)
    z = cell.input_projection(params, xs[0, 0])
    zeros = {field: 0 * a for field, a in params._asdict().items() if field != "w_x" and a is not None and a.ndim == 2}
    of_hidden = np.asarray(JACOBIAN(cell, params._replace(**zeros), example(state, 0), z))[:, :H]
    assert of_hidden.any() == (name == "gru")  # which adds u h, so that it could not declare h
    assert cell.facts.read_by_products == (() if name == "gru" else ("hidden",))


@pytest.mark.parametrize("name", CASES)
def test_the_step_jacobian_has_the_declared_structure(name):
    cell = CASES[name]
    assert np.all(step_jacobian(name)[~allowed(cell, cell.facts.jacobian)] == 0)


@pytest.mark.parametrize("name", ZOO)
def test_no_registered_cell_has_a_simpler_structure_than_it_declares(name):
    matrix = step_jacobian(name)
    simpler = {JacobianStructure.DENSE: JacobianStructure.BLOCK, JacobianStructure.BLOCK: JacobianStructure.DIAGONAL}
    declared = CASES[name].facts.jacobian
    if declared in simpler:
        assert np.any(matrix[~allowed(CASES[name], simpler[declared])] != 0)


def deviation_from_affine(name):
    """The largest entry of ``step(s + t) - step(s) - step(t) + step(0)``, which is zero for an affine step."""
    cell = CASES[name]
    params, state, xs = random_arrays(cell, name)
    z = cell.input_projection(params, xs[0])
    step = functools.partial(jit(cell.step), params)
    other = jax.tree.map(lambda a: a[::-1], state)
    states = (jax.tree.map(jnp.add, state, other), state, other, jax.tree.map(jnp.zeros_like, state))
    both, one, two, neither = (jax.tree.leaves(step(s, z)) for s in states)
    return max(float(jnp.abs(a - b - c + d).max()) for a, b, c, d in zip(both, one, two, neither, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_cell_is_declared_linear_if_and_only_if_its_step_is_affine_in_the_state(name):
    is_affine = deviation_from_affine(name) < 1e-13
    declared = CASES[name].recurrence is Recurrence.LINEAR
    assert declared == is_affine or name == "bigram"  # whose step does not depend on the state at all


@pytest.mark.parametrize("name", ZOO)
def test_a_replaced_cell_declares_nothing_and_computes_the_same(name):
    """Whatever ``dataclasses.replace`` changes, facts of the old cell may not hold of the new one."""
    cell = make(name)
    replaced = dataclasses.replace(cell)
    assert replaced.facts == CellFacts()
    assert replaced.recurrence is (Recurrence.SEPARABLE if cell.splits else Recurrence.WHOLE_STEP)
    arrays = random_arrays(cell, name)
    assert_close(jit(unroll, static_argnums=0)(replaced, *arrays), jit(unroll, static_argnums=0)(cell, *arrays))


@pytest.mark.parametrize("name", ZOO)
def test_every_registered_cell_is_a_factory_of_the_package(name):
    assert getattr(cells, name.replace("-", "_"))(hidden_size=H) is cells.make(name, H)


def test_flops_of_a_stack_are_those_of_its_layers_as_declared():
    lstm = cells.lstm(H)
    free = dataclasses.replace(lstm).with_facts(CellFacts(token_flops=lambda params: 7.0))
    stack = cells.stack(lstm, free)
    params = stack.init(jax.random.key(0), H)
    assert stack.token_flops(params) == 2 * (H * 4 * H + H * 4 * H) + 7.0


def test_the_state_vector_orders_parts_before_units():
    """What ``allowed`` takes for granted."""
    cell = make("lstm")
    state = cell.initial_state(())._replace(cell=jnp.arange(H, dtype=jnp.float64))
    np.testing.assert_array_equal(to_vector(state), [*np.zeros(H), *np.arange(H)])


@pytest.mark.parametrize("name", [name for name in ZOO if not hasattr(random_arrays(CELLS[name], name)[0], "w_h")])
def test_cells_without_a_recurrent_matrix_are_benchmarked(name):
    """Every registered cell is in the benchmark; one with recurrent products has a floor beside it, others do not."""
    comparison, _ = layers.comparisons("zoo", [name], [layers.Shape(3, 2, 4)], dtype="float32", names=[])
    candidates = comparison.build(lambda line: None)
    assert [candidate.name for candidate in candidates][:2] == ["ours", "ours, scan"]
