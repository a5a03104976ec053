"""Scoring and sampling for peers that are JAX: compiled, the loop over tokens a ``lax.scan``."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.benchmarking.measure.program import compile_program
from rnnlm_jax.benchmarking.measure.subject import Subject


def scoring(name: str, logits_of: Callable[[Tree, Array], Array], params: Tree, text: np.ndarray) -> Subject:
    """The nats of a text, where ``logits_of(params, tokens[T]) -> [T, V]``; the first token follows token 0."""
    inputs, targets = jnp.asarray(np.append(0, text[:-1]).astype(np.int32)), jnp.asarray(text)

    def nats(params: Tree, inputs: Array, targets: Array) -> Array:
        log_probs = jax.nn.log_softmax(logits_of(params, inputs).astype(jnp.float32))
        return -jnp.take_along_axis(log_probs, targets[:, None], axis=1).sum()

    program = compile_program(nats, params, inputs, targets)

    def call() -> float:
        return float(program.call(params, inputs, targets))

    return Subject(
        name, call, lambda found: {"the nats": np.asarray(found)}, program.compile_seconds, program.memory_bytes
    )


def sampling(
    name: str,
    step: Callable[[Tree, Tree, Array], tuple[Tree, Array]],
    params: Tree,
    state: Tree,
    steps: int,
    checked: np.ndarray,
) -> Subject:
    """Tokens drawn one after the other after token 0, where ``step(params, state, token) -> (state, logits[V])``."""

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

    return Subject(name, call, numbers, program.compile_seconds, program.memory_bytes)
