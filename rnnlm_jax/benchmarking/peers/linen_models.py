"""flax linen: an LSTM language model as its documentation shows, trained with optax, scored and sampled."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnlm_jax.benchmarking.measure.candidate import Candidate
from rnnlm_jax.benchmarking.measure.compiled_program import compile_program
from rnnlm_jax.benchmarking.measure.lm_weights import LMWeights, changes
from rnnlm_jax.benchmarking.peers import jax_inference
from rnnlm_jax.benchmarking.peers.linen_layers import lstm_to_ours, lstm_to_theirs

NAME = "flax-linen"


class Model(nn.Module):
    """Embedding, layers of ``nn.RNN``, and a dense layer or the transposed embedding."""

    vocabulary: int
    hidden: int
    layers: int
    tied: bool
    dtype: Any

    @nn.compact
    def __call__(self, tokens: Any, states: Any) -> tuple[Any, Any]:
        """Return the states after the tokens ``[T, B]``, and logits."""
        embedding = nn.Embed(self.vocabulary, self.hidden, dtype=self.dtype, name="embedding")
        xs, after = embedding(tokens), []
        for k in range(self.layers):
            cell = nn.OptimizedLSTMCell(self.hidden, dtype=self.dtype, name=f"cell{k}")
            carry, xs = nn.RNN(cell, time_major=True, return_carry=True)(xs, initial_carry=states[k])
            after.append(carry)
        if self.tied:
            bias = self.param("bias", nn.initializers.zeros, (self.vocabulary,))
            return after, embedding.attend(xs) + bias
        return after, nn.Dense(self.vocabulary, dtype=self.dtype, name="output")(xs)


def _model(weights: LMWeights, dtype: str) -> Any:
    size, hidden = weights.embedding.shape
    return Model(size, hidden, len(weights.layers), weights.output_w is None, jnp.dtype(dtype))


def _to_theirs(weights: LMWeights) -> dict[str, Any]:
    params: dict[str, Any] = {"embedding": {"embedding": weights.embedding}}
    params |= {f"cell{k}": lstm_to_theirs(layer) for k, layer in enumerate(weights.layers)}
    if weights.output_w is None:
        params["bias"] = weights.output_b
    else:
        params["output"] = {"kernel": weights.output_w, "bias": weights.output_b}
    return {"params": jax.tree.map(jnp.array, params)}


def _to_ours(variables: Mapping[str, Any], layers: int) -> LMWeights:
    params = variables["params"]
    cells = tuple(lstm_to_ours(params[f"cell{k}"]) for k in range(layers))
    output = params.get("output", {"kernel": None, "bias": params.get("bias")})
    return LMWeights(params["embedding"]["embedding"], cells, output["kernel"], output["bias"])


def _zero_states(weights: LMWeights, *batch: int) -> list[Any]:
    shape = (*batch, weights.embedding.shape[1])
    return [(jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32)) for _ in weights.layers]


def training_step(weights: LMWeights, tokens: np.ndarray, *, rate: float, clip_norm: float, dtype: str) -> Candidate:
    """Train with value and gradient and an ``optax`` chain; everything that changes is donated."""
    model = _model(weights, dtype)
    rule = optax.chain(optax.clip_by_global_norm(clip_norm), optax.sgd(rate))

    def step(params: Any, opt_state: Any, states: Any, inputs: Any, targets: Any) -> Any:
        def loss(params: Any) -> tuple[Any, Any]:
            after, logits = model.apply(params, inputs, states)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), targets)
            return losses.mean(), after

        (value, after), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = rule.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, after, value

    params = _to_theirs(weights)
    inputs, targets = jnp.asarray(tokens[:-1]), jnp.asarray(tokens[1:])
    state: list[Any] = [(params, rule.init(params), _zero_states(weights, inputs.shape[1]))]
    program = compile_program(jax.jit(step, donate_argnums=(0, 1, 2)), *state[0], inputs, targets)

    def call() -> Any:
        *after, loss = program.call(*state[0], inputs, targets)
        state[0] = tuple(after)
        return state[0][0], loss

    def numbers(result: Any) -> Any:
        params, loss = result
        return changes(loss, before=weights, after=_to_ours(params, len(weights.layers)))

    return Candidate(NAME, call, numbers, program.compile_seconds, program.memory_bytes)


def scoring(weights: LMWeights, text: np.ndarray, dtype: str) -> Candidate:
    """Score with one pass over the text."""
    model, states = _model(weights, dtype), _zero_states(weights, 1)

    def logits_of(params: Any, tokens: Any) -> Any:
        return model.apply(params, tokens[:, None], states)[1][:, 0]

    return jax_inference.scoring(NAME, logits_of, _to_theirs(weights), text=text)


def sampling(weights: LMWeights, steps: int, checked: np.ndarray, *, dtype: str) -> Candidate:
    """Sample with one scan over tokens."""
    model = _model(weights, dtype)

    def step(params: Any, states: Any, token: Any) -> tuple[Any, Any]:
        after, logits = model.apply(params, token[None, None], states)
        return after, logits[0, 0]

    state = _zero_states(weights, 1)
    return jax_inference.sampling(NAME, step, _to_theirs(weights), state=state, steps=steps, checked=checked)
