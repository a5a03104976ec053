"""A stack of any depth is loops of few arrays each: loops that carry many are slow on CPUs (jax#40150)."""

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import jaxprs_in_params

from rnnlm_jax import cells, unroll

T, B, H = 5, 2, 4


def carried(jaxpr):
    """The number of arrays that each loop of a program carries, loops inside others included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["num_carry"]
        for inner in jaxprs_in_params(equation.params):
            yield from carried(inner)


@pytest.mark.parametrize("executor", ["scan", "structured"])
@pytest.mark.parametrize("cell", [cells.lstm(H), cells.gru(H), cells.layer_norm_lstm(H)], ids=lambda c: c.spec.kind)
def test_no_loop_carries_more_for_more_layers(cell, executor):
    def loops(layers):
        stack = cells.stack(*[cell] * layers)
        shapes = jax.eval_shape(lambda: (stack.init(jax.random.key(0), H), stack.initial_state((B,))))
        xs = jax.ShapeDtypeStruct((T, B, H), jnp.dtype("float32"))
        gradient = jax.grad(lambda params, state, xs: unroll(stack, params, state, xs, executor=executor)[1].sum())
        return list(carried(jax.make_jaxpr(gradient)(*shapes, xs).jaxpr))

    two, eight = loops(2), loops(8)
    assert len(eight) == 4 * len(two) > 0  # one loop a layer, and one back
    assert max(eight) == max(two)
