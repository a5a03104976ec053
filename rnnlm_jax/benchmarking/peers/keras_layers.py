"""keras on JAX: its layers through ``stateless_call``, in its layout ``[B, T, ·]``."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.benchmarking.measure.jax_layer import JaxLayer
from rnnlm_jax.errors import ConfigError

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported

import keras  # pyright: ignore[reportMissingImports]

CELLS = ("lstm", "gru", "elman-tanh")


def layer(cell: str, weights: Mapping[str, np.ndarray], xs: np.ndarray, *, dtype: str) -> JaxLayer:
    """Return a layer with our weights: gates i, f, g, o as ours, but z, r, n in the GRU, whose two biases are a matrix.

    Raises:
        ConfigError: if keras was imported with another backend before.
    """
    if keras.backend.backend() != "jax":
        raise ConfigError(f"keras runs on {keras.backend.backend()} here: set KERAS_BACKEND=jax, or leave keras out")
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "elman-tanh": keras.layers.SimpleRNN}[cell]
    module = kind(
        weights["w_h"].shape[0],
        return_sequences=True,
        dtype=dtype,  # its GRU fails with the policy mixed_bfloat16
        kernel_initializer="zeros",  # replaced by our weights
        recurrent_initializer="zeros",
    )
    inputs = jnp.asarray(np.ascontiguousarray(np.swapaxes(xs, 0, 1)), dtype)
    module.build(inputs.shape)
    rest = [variable.value for variable in module.non_trainable_variables]
    order = _swap_first_two if cell == "gru" else lambda array: array
    bias = np.stack([weights["b"], np.zeros_like(weights["b"])]) if cell == "gru" else weights["b"]
    if cell == "gru":
        bias[1, -len(weights["b_n"]) :] = weights["b_n"]

    def named(gradient: Any) -> dict[str, Any]:
        w_x, w_h, b = (order(np.asarray(array)) for array in gradient)
        return {"w_x": w_x, "w_h": w_h} | ({"b": b[0], "b_n": np.split(b[1], 3)[2]} if cell == "gru" else {"b": b})

    def apply(params: Any, xs: jax.Array) -> jax.Array:
        return module.stateless_call(params, rest, xs)[0]

    params = [jnp.asarray(order(array), dtype) for array in (weights["w_x"], weights["w_h"], bias)]
    return JaxLayer("keras", apply, params, inputs, named, batch_first=True)


def _swap_first_two(array: np.ndarray) -> np.ndarray:
    """Exchange the first two gates: r, z, n to z, r, n, and back."""
    r, z, n = np.split(array, 3, axis=-1)
    return np.concatenate([z, r, n], axis=-1)
