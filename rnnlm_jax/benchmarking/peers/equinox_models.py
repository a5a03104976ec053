"""equinox: an LSTM language model as its documentation shows, scored and sampled."""

from typing import Any

import equinox as eqx  # pyright: ignore[reportMissingImports]
import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.benchmarking.measure.candidate import Candidate
from rnnlm_jax.benchmarking.measure.lm_weights import LMWeights
from rnnlm_jax.benchmarking.peers import jax_inference
from rnnlm_jax.benchmarking.peers.equinox_layers import make_cell

NAME = "equinox"


class Model(eqx.Module):
    """Embedding, cells and a linear layer, for one sequence."""

    embedding: Any
    cells: tuple[Any, ...]
    output: Any

    def __call__(self, states: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        """Return the states after a token, and the top layer's output."""
        x, after = self.embedding(token), []
        for cell, state in zip(self.cells, states, strict=True):
            after.append(cell(x, state))
            x = after[-1][0]
        return tuple(after), x


def _parts(weights: LMWeights, dtype: str) -> tuple[Any, Any, Any]:
    """Return the model's arrays, its static part, and its initial states."""
    size, hidden = weights.embedding.shape
    matrix = weights.embedding if weights.output_w is None else weights.output_w.T
    linear = eqx.filter_eval_shape(eqx.nn.Linear, hidden, size, key=jax.random.key(0))
    model = Model(
        eqx.nn.Embedding(weight=jnp.asarray(weights.embedding, dtype)),
        tuple(make_cell("lstm", layer, dtype) for layer in weights.layers),
        eqx.tree_at(
            lambda m: [m.weight, m.bias], linear, [jnp.asarray(matrix, dtype), jnp.asarray(weights.output_b, dtype)]
        ),
    )
    zero = jnp.zeros(hidden, dtype)
    return *eqx.partition(model, eqx.is_array), tuple((zero, zero) for _ in weights.layers)


def scoring(weights: LMWeights, text: np.ndarray, dtype: str) -> Candidate:
    """Score with one scan for all layers, then the output layer for all steps at once."""
    arrays, static, states = _parts(weights, dtype)

    def logits_of(arrays: Any, tokens: jax.Array) -> jax.Array:
        model = eqx.combine(arrays, static)
        return jax.vmap(model.output)(jax.lax.scan(lambda states, token: model(states, token), states, tokens)[1])

    return jax_inference.scoring(NAME, logits_of, arrays, text=text)


def sampling(weights: LMWeights, steps: int, checked: np.ndarray, *, dtype: str) -> Candidate:
    """Sample with one scan over tokens."""
    arrays, static, states = _parts(weights, dtype)

    def step(arrays: Any, states: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        model = eqx.combine(arrays, static)
        states, h = model(states, token)
        return states, model.output(h)

    return jax_inference.sampling(NAME, step, arrays, state=states, steps=steps, checked=checked)
