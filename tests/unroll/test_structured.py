"""The structured executor against the plain scan: the same numbers, and no weight gradient inside its loop back."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from rnnlm_jax import unroll
from rnnlm_jax.cells.cell_facts import JacobianStructure
from tests.unroll.programs import (
    CELLS,
    STATIC,
    ZOO,
    B,
    T,
    assert_close,
    dot,
    jit,
    random_arrays,
    random_like,
    random_weights,
    run_with_gradients,
    seed_of,
)

RNG = np.random.default_rng(3)
CONTROL = {
    "mask": jnp.asarray(RNG.random((T, B)) < 0.7),
    "resets": jnp.asarray(RNG.random((T, B)) < 0.3),
    "lengths": jnp.array([T, 5, 0, T - 1], jnp.int32),
}


@functools.partial(jit, static_argnames=STATIC)
def in_both_modes(cell, params, state, xs, weights, tangents, **options):
    """Outputs and gradients, and the derivative along ``tangents``."""

    def outputs_of(*arrays):
        return unroll(cell, *arrays, **options)

    outputs, pull = jax.vjp(outputs_of, params, state, xs)
    return (outputs, pull(weights)), jax.jvp(outputs_of, (params, state, xs), tangents)[1]


@pytest.mark.parametrize("name", ZOO)
def test_it_equals_the_scan(name):
    """Outputs, final state, every gradient, and forward mode; masks, resets, lengths and direction together."""
    cell = CELLS[name]
    arrays, weights = random_arrays(cell, name), random_weights(cell, name)
    tangents = random_like(arrays, np.random.default_rng(seed_of(name) + 3), 1.0)
    found, pushed = in_both_modes(cell, *arrays, weights, tangents, reverse=True, executor="structured", **CONTROL)
    wanted = run_with_gradients(cell, *arrays, weights, reverse=True, executor="scan", **CONTROL)
    assert_close(found, wanted, 1e-10)
    assert float(dot(weights, pushed)) == pytest.approx(float(dot(wanted[1], tangents)), rel=1e-10)


@pytest.mark.parametrize("name", ["lstm-peephole", "gru-reset-before"])
def test_gradients_of_gradients_and_of_ensembles(name):
    """A Hessian-vector product under vmap, over two sets of parameters: derivatives of the derivative."""
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    weights = random_weights(cell, name)
    ensemble = jax.tree.map(lambda a: jnp.stack([a, 1.1 * a]), params)

    def curvature(executor):
        def loss(params):
            return dot(weights, jax.tree.map(jnp.sin, unroll(cell, params, state, xs, executor=executor)))

        return jit(jax.vmap(lambda p: jax.jvp(jax.grad(loss), (p,), (params,))))(ensemble)

    assert_close(curvature("structured"), curvature("scan"), 1e-10)


def loops(jaxpr):
    """Every ``scan`` of a program, those inside calls included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from loops(inner)


def products(jaxpr):
    """The shapes that the matrix products of a program give."""
    for equation in jaxpr.eqns:
        if "dot_general" in equation.primitive.name:
            yield equation.outvars[0].aval.shape
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


#: Cells whose units meet, and which so have a product in their loops.
DENSE = [
    name
    for name in ZOO
    if CELLS[name].facts.jacobian is JacobianStructure.DENSE and CELLS[name].facts.recurrent_matrices != ()
]


@pytest.mark.parametrize("name", DENSE)
def test_no_weight_gradient_inside_a_loop(name):
    """Two loops, one there and one back; products in them are as long as the batch, and carries as wide as a state."""
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name, batch=(2 * B,))
    weights = random_weights(cell, name, batch=(2 * B,))

    def found(executor):
        def loss(params, xs):
            return dot(weights, unroll(cell, params, state, xs, executor=executor))

        program = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(params, xs).jaxpr
        over_time = [e.params for e in loops(program) if e.params["length"] == T]  # a matrix exponential loops, too
        bodies = [(each["jaxpr"].jaxpr, each["num_carry"], each["num_consts"]) for each in over_time]
        shapes = [shape for body, _, _ in bodies for shape in products(body)]
        carried = [v.aval.shape for body, carry, consts in bodies for v in body.invars[consts : consts + carry]]
        return len(bodies), set(shapes), set(carried)

    def weights_among(shapes):
        return {shape for shape in shapes if len(shape) == 2 and shape[0] != 2 * B}

    count, shapes, carried = found("structured")
    assert count == 2
    assert shapes
    assert not weights_among(shapes)
    assert not weights_among(carried)
    _, shapes, carried = found("scan")
    assert weights_among(shapes | carried)  # else this test could not fail


@pytest.mark.parametrize("name", ["lstm", "gru", "gru-reset-before"])
def test_fixed_parameters_cost_no_product(name):
    """A gradient by the inputs alone has no product for the parameters, and is right."""
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    weights = random_weights(cell, name)

    def by_inputs(executor):
        return jax.grad(lambda xs: dot(weights, unroll(cell, params, state, xs, executor=executor)))

    assert_close(jit(by_inputs("structured"))(xs), jit(by_inputs("scan"))(xs), 1e-10)
    if cell.splits:
        gates = cell.input_projection(params, xs).shape[-1]
        shapes = list(products(jax.make_jaxpr(by_inputs("structured"))(xs).jaxpr))
        assert shapes.count((T * B, gates)) == 1  # the projection of the inputs
