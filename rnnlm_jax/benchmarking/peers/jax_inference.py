"""Scoring and sampling with peers that use JAX: compiled, with ``lax.scan`` over tokens."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.benchmarking.measure.candidate import Candidate
from rnnlm_jax.benchmarking.measure.compiled_program import compile_program


def scoring(name: str, logits_of: Callable[[Tree, Array], Array], params: Tree, *, text: np.ndarray) -> Candidate:
    """Return the computation of a text's nats, for ``logits_of(params, tokens[T]) -> [T, V]``; see ``ModelModule``."""
    inputs, targets = jnp.asarray(np.append(0, text[:-1]).astype(np.int32)), jnp.asarray(text)

    def nats(params: Tree, inputs: Array, targets: Array) -> Array:
        log_probs = jax.nn.log_softmax(logits_of(params, inputs).astype(jnp.float32))
        return -jnp.take_along_axis(log_probs, targets[:, None], axis=1).sum()

    program = compile_program(nats, params, inputs, targets)

    def call() -> float:
        return float(program.call(params, inputs, targets))

    return Candidate(
        name, call, lambda found: {"the nats": np.asarray(found)}, program.compile_seconds, program.memory_bytes
    )


def sampling(
    name: str,
    step: Callable[[Tree, Tree, Array], tuple[Tree, Array]],
    params: Tree,
    *,
    state: Tree,
    steps: int,
    checked: np.ndarray,
) -> Candidate:
    """Return the drawing of tokens, for ``step(params, state, token) -> (state, logits[V])``; see ``ModelModule``."""

    def draw(params: Tree, key: Array) -> Array:
        def body(carry: tuple[Tree, Array], key: Array) -> tuple[tuple[Tree, Array], Array]:
            after, logits = step(params, *carry)
            token = jax.random.categorical(key, logits.astype(jnp.float32)).astype(jnp.int32)
            return (after, token), token

        return jax.lax.scan(body, (state, jnp.int32(0)), jax.random.split(key, steps))[1]

    key = jax.random.key(0)
    program = compile_program(draw, params, key)

    def call() -> list[int]:
        return np.asarray(program.call(params, key)).tolist()

    def numbers(drawn: list[int]) -> dict[str, np.ndarray]:
        scanned = jax.jit(lambda tokens: jax.lax.scan(lambda s, t: step(params, s, t), state, tokens)[1])
        return {"a log-probability": np.asarray(jax.nn.log_softmax(scanned(jnp.asarray(checked)).astype(jnp.float32)))}

    return Candidate(name, call, numbers, program.compile_seconds, program.memory_bytes)
