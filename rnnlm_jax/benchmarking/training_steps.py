"""Whole training steps: embedding, LSTM layers, full softmax, clipping by the global norm, SGD; no dropout."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnlm_jax.benchmarking import matmul_floor, peers, torch_memory
from rnnlm_jax.benchmarking.lm_cases import LMCase, floor_inputs, floor_matrices
from rnnlm_jax.benchmarking.measure.agreement import tolerance
from rnnlm_jax.benchmarking.measure.candidate import OURS, Candidate, Comparison, Numbers, WriteLine
from rnnlm_jax.benchmarking.measure.compiled_program import compile_program
from rnnlm_jax.benchmarking.measure.lm_weights import changes
from rnnlm_jax.benchmarking.random_weights import model_params, weights_by_name
from rnnlm_jax.data import Batch
from rnnlm_jax.training.step import StepInfo, make_train_step
from rnnlm_jax.training.train_state import TrainState, initial_train_state

#: SGD's learning rate, large enough that the step is not lost in the rounding of the parameters; and the norm that
#: gradients are clipped to, below that of the first step, so that clipping is compared too.
LEARNING_RATE, CLIP_NORM = 10.0, 0.1


def comparisons(cases: Sequence[LMCase], dtype: str, names: Sequence[str]) -> Iterator[Comparison]:
    """Yield a comparison for each model, with the peers of these names, which must have a training step."""
    for case in cases:
        shapes = jax.eval_shape(case.model(dtype).init, jax.random.key(0))
        tokens = case.steps * case.batch
        yield Comparison(
            group="steps",
            cell="lstm",
            job=f"training step, {case.name}",
            sizes=case.sizes,
            tokens=tokens,
            flops=matmul_floor.model_flops(shapes.cell, case.hidden, case.vocabulary, rows=tokens, backward=True),
            tolerance=tolerance(dtype, jax.default_backend()),
            build=functools.partial(_build, case, dtype, names),
            torch_memory=functools.partial(torch_memory.measure_torch, "steps", case.name, dtype)
            if "torch" in names
            else None,
        )


def _build(case: LMCase, dtype: str, names: Sequence[str], write_line: WriteLine) -> list[Candidate]:
    del write_line  # no candidate is left out
    params = model_params(case.model(dtype))
    tokens = case.tokens()
    layers, w_out = floor_matrices(params, dtype)
    candidates = [
        _ours(case, params, tokens, dtype=dtype),
        matmul_floor.candidate(matmul_floor.model_gradient, layers, w_out, floor_inputs(case, dtype)),
    ]
    for name in names:
        step = peers.load(name).require_models().training_step
        candidates.append(step(weights_by_name(params), tokens, rate=LEARNING_RATE, clip_norm=CLIP_NORM, dtype=dtype))
    return candidates


def _ours(case: LMCase, params: Any, tokens: np.ndarray, *, dtype: str) -> Candidate:
    model = case.model(dtype)
    optimizer = optax.chain(optax.clip_by_global_norm(CLIP_NORM), optax.sgd(LEARNING_RATE))
    shapes = jax.eval_shape(lambda: initial_train_state(model, optimizer, case.batch))
    blank: TrainState = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    state = [blank._replace(params=jax.tree.map(jnp.array, params))]
    batch = Batch(tokens[:-1], tokens[1:], np.ones(tokens[1:].shape, bool))
    program = compile_program(make_train_step(model, optimizer), state[0], batch)

    def call() -> tuple[TrainState, StepInfo]:
        state[0], info = program.call(state[0], batch)
        return state[0], info

    def numbers(result: tuple[TrainState, StepInfo]) -> Numbers:
        after, info = result
        return changes(
            float(info.nats) / int(info.tokens), before=weights_by_name(params), after=weights_by_name(after.params)
        )

    return Candidate(OURS, call, numbers, program.compile_seconds, program.memory_bytes)
