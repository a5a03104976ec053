"""flax linen: ``nn.RNN`` over its cells, time first."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.benchmarking.measure.jax_layer import JaxLayer

CELLS = ("lstm", "gru", "elman-tanh")


def layer(cell: str, weights: Mapping[str, np.ndarray], xs: np.ndarray, *, dtype: str) -> JaxLayer:
    """Return a layer with our weights.

    Its LSTM has a kernel and, on the recurrent side, a bias for each gate i, f, g, o; its GRU resets after the product,
    with the input's bias on each gate and the recurrent one on the candidate alone.
    """
    hidden = weights["w_h"].shape[1] // GATES[cell]
    kind: Any = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell, "elman-tanh": nn.SimpleCell}[cell]
    state = dtype if cell == "elman-tanh" else "float32"  # the simple cell cannot keep a wider state
    rnn: Any = nn.RNN(kind(hidden, dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(state)), time_major=True)
    return JaxLayer(
        name="flax-linen",
        apply=lambda params, xs: rnn.apply({"params": {"cell": params}}, xs),
        params=TO_THEIRS[cell](weights),
        inputs=jnp.asarray(xs),
        named=TO_OURS[cell],
    )


GATES = {"lstm": 4, "gru": 3, "elman-tanh": 1}


def lstm_to_theirs(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return our LSTM's weights in the layout of ``OptimizedLSTMCell``."""
    cell = {}
    for gate, w_x, w_h, b in zip("ifgo", *(_split(weights[name], 4) for name in ("w_x", "w_h", "b")), strict=True):
        cell |= {f"i{gate}": {"kernel": w_x}, f"h{gate}": {"kernel": w_h, "bias": b}}
    return cell


def lstm_to_ours(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of an ``OptimizedLSTMCell`` in our layout."""
    return {
        "w_x": _join([cell[f"i{gate}"]["kernel"] for gate in "ifgo"]),
        "w_h": _join([cell[f"h{gate}"]["kernel"] for gate in "ifgo"]),
        "b": _join([cell[f"h{gate}"]["bias"] for gate in "ifgo"]),
    }


def _gru_to_theirs(weights: Mapping[str, Any]) -> dict[str, Any]:
    cell: dict[str, Any] = {}
    for gate, w_x, w_h, b in zip("rzn", *(_split(weights[name], 3) for name in ("w_x", "w_h", "b")), strict=True):
        cell |= {f"i{gate}": {"kernel": w_x, "bias": b}, f"h{gate}": {"kernel": w_h}}
    cell["hn"]["bias"] = jnp.asarray(weights["b_n"])
    return cell


def _gru_to_ours(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "w_x": _join([cell[f"i{gate}"]["kernel"] for gate in "rzn"]),
        "w_h": _join([cell[f"h{gate}"]["kernel"] for gate in "rzn"]),
        "b": _join([cell[f"i{gate}"]["bias"] for gate in "rzn"]),
        "b_n": cell["hn"]["bias"],
    }


def _elman_to_theirs(weights: Mapping[str, Any]) -> dict[str, Any]:
    kernels = {name: jnp.asarray(array) for name, array in weights.items()}
    return {"i": {"kernel": kernels["w_x"], "bias": kernels["b"]}, "h": {"kernel": kernels["w_h"]}}


def _elman_to_ours(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {"w_x": cell["i"]["kernel"], "w_h": cell["h"]["kernel"], "b": cell["i"]["bias"]}


TO_THEIRS = {"lstm": lstm_to_theirs, "gru": _gru_to_theirs, "elman-tanh": _elman_to_theirs}
TO_OURS = {"lstm": lstm_to_ours, "gru": _gru_to_ours, "elman-tanh": _elman_to_ours}


def _split(array: Any, gates: int) -> list[Any]:
    return jnp.split(jnp.asarray(array), gates, axis=-1)


def _join(parts: list[Any]) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts], axis=-1)
