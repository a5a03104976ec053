"""equinox: ``jax.lax.scan`` over its cell, ``jax.vmap`` over sequences, as its documentation shows."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx  # pyright: ignore[reportMissingImports]
import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.benchmarking.measure.jax_layer import JaxLayer

CELLS = ("lstm", "gru")


def layer(cell: str, weights: Mapping[str, np.ndarray], xs: np.ndarray, *, dtype: str) -> JaxLayer:
    """Return a layer with our weights: gates in our order, matrices transposed, the GRU's candidate bias apart."""
    module = make_cell(cell, weights, dtype)
    params, static = eqx.partition(module, eqx.is_array)
    hidden = weights["w_h"].shape[0]

    def apply(params: Any, xs: jax.Array) -> jax.Array:
        cell_of = eqx.combine(params, static)
        zero = jnp.zeros(hidden, xs.dtype)

        def step(state: Any, x: jax.Array) -> tuple[Any, jax.Array]:
            state = cell_of(x, state)
            return state, state[0] if isinstance(state, tuple) else state

        def sequence(xs: jax.Array) -> jax.Array:
            return jax.lax.scan(step, (zero, zero) if cell == "lstm" else zero, xs)[1]

        return jax.vmap(sequence, in_axes=1, out_axes=1)(xs)

    def named(gradient: Any) -> dict[str, Any]:
        arrays = {"w_x": gradient.weight_ih.T, "w_h": gradient.weight_hh.T, "b": gradient.bias}
        return arrays | ({"b_n": gradient.bias_n} if cell == "gru" else {})

    return JaxLayer("equinox", apply, params, jnp.asarray(xs, dtype), named)


def make_cell(cell: str, weights: Mapping[str, np.ndarray], dtype: str) -> Any:
    """Return equinox's cell with our weights."""
    inputs, hidden = weights["w_x"].shape[0], weights["w_h"].shape[0]
    kind = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}[cell]
    shapes = eqx.filter_eval_shape(kind, inputs, hidden, key=jax.random.key(0))
    arrays = [weights["w_x"].T, weights["w_h"].T, weights["b"]] + ([weights["b_n"]] if cell == "gru" else [])
    names = ["weight_ih", "weight_hh", "bias"] + (["bias_n"] if cell == "gru" else [])
    return eqx.tree_at(
        lambda c: [getattr(c, name) for name in names], shapes, [jnp.asarray(array, dtype) for array in arrays]
    )
