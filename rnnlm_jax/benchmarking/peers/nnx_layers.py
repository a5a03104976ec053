"""flax nnx: ``nnx.RNN`` over its cells, time first, as a function of its parameters."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnlm_jax.benchmarking.measure.jax_layer import JaxLayer

CELLS = ("lstm", "gru", "elman-tanh")


def layer(cell: str, weights: Mapping[str, np.ndarray], xs: np.ndarray, *, dtype: str) -> JaxLayer:
    """Return a layer with our weights.

    Its gates have our order. Its LSTM has the bias on the recurrent side, the other cells on the input side; its GRU
    has no recurrent candidate bias, so ours must be zero.
    """
    inputs, hidden = weights["w_x"].shape[0], weights["w_h"].shape[0]
    kind: Any = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "elman-tanh": nnx.SimpleCell}[cell]
    state = dtype if cell == "elman-tanh" else "float32"  # the simple cell cannot keep a wider state
    types = {"dtype": jnp.dtype(dtype), "param_dtype": jnp.dtype(state)}
    rnn = nnx.RNN(kind(inputs, hidden, **types, rngs=nnx.Rngs(0)), time_major=True)
    with_bias = "dense_h" if cell == "lstm" else "dense_i"
    for part, name, ours in (("dense_i", "kernel", "w_x"), ("dense_h", "kernel", "w_h"), (with_bias, "bias", "b")):
        getattr(getattr(rnn.cell, part), name)[...] = jnp.asarray(weights[ours])
    graph, params, rest = nnx.split(rnn, nnx.Param, ...)

    def apply(params: Any, xs: Any) -> Any:
        return nnx.merge(graph, params, rest, copy=True)(xs)

    def named(gradient: Any) -> dict[str, Any]:
        cell = gradient["cell"]
        arrays = {"w_x": cell["dense_i"]["kernel"], "w_h": cell["dense_h"]["kernel"], "b": cell[with_bias]["bias"]}
        return {name: variable[...] for name, variable in arrays.items()}

    return JaxLayer(
        name="flax-nnx",
        apply=apply,
        params=params,
        inputs=jnp.asarray(xs),
        named=named,
    )
