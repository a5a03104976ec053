"""haiku: ``hk.dynamic_unroll`` of its LSTM, time first.

Its GRU resets before the product, and its simple network uses relu: they are other functions and are not compared.
"""

from collections.abc import Mapping
from typing import Any

import haiku as hk  # pyright: ignore[reportMissingImports]
import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.benchmarking.measure.jax_layer import JaxLayer

CELLS = ("lstm",)


def layer(cell: str, weights: Mapping[str, np.ndarray], xs: np.ndarray, *, dtype: str) -> JaxLayer:
    """Return a layer with our weights: one matrix for inputs and state, gates i, g, f, o, and f + 1."""
    assert cell == "lstm"
    hidden = weights["w_h"].shape[0]
    shift = np.repeat(np.array([0, 1, 0, 0], np.float32), hidden)
    matrix = np.concatenate([weights["w_x"], weights["w_h"]])
    params = {"lstm/linear": {"w": _swap(matrix), "b": _swap(weights["b"] - shift)}}

    def run(xs: jax.Array) -> Any:
        core = hk.LSTM(hidden)
        state = jax.tree.map(lambda a: a.astype(xs.dtype), core.initial_state(xs.shape[1]))
        return hk.dynamic_unroll(core, xs, state)[0]

    def named(gradient: Any) -> dict[str, Any]:
        w, b = (_swap(np.asarray(gradient["lstm/linear"][name])) for name in ("w", "b"))
        return {"w_x": w[:-hidden], "w_h": w[-hidden:], "b": b}

    return JaxLayer(
        name="haiku",
        apply=hk.without_apply_rng(hk.transform(run)).apply,
        params=jax.tree.map(lambda a: jnp.asarray(a, dtype), params),
        inputs=jnp.asarray(xs, dtype),
        named=named,
    )


def _swap(array: np.ndarray) -> np.ndarray:
    """Exchange the two gates in the middle: i, f, g, o to i, g, f, o, and back."""
    i, f, g, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, g, f, o], axis=-1)
