"""Scoring and sampling of one text, B = 1, through the functions that a user of each library calls."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.benchmarking import matmul_floor, peers
from rnnlm_jax.benchmarking.lm_cases import LMCase, floor_inputs, floor_matrices, vocabulary
from rnnlm_jax.benchmarking.measure.agreement import tolerance
from rnnlm_jax.benchmarking.measure.candidate import OURS, Candidate, Comparison, WriteLine
from rnnlm_jax.benchmarking.random_weights import model_params, weights_by_name
from rnnlm_jax.data import EncodedText
from rnnlm_jax.evaluation.sentence_scores import score_sentences
from rnnlm_jax.language_model.generation import sample
from rnnlm_jax.language_model.model import LanguageModel

SCORING, SAMPLING = "scoring", "sampling"

#: Number of fixed tokens after which the distributions of all libraries must agree: their random draws cannot.
CHECKED = 8


def comparisons(group: str, case: LMCase, dtype: str, *, names: Sequence[str]) -> Iterator[Comparison]:
    """Yield the one comparison of scoring or of sampling, with the peers of these names, which must have it."""
    shapes = jax.eval_shape(case.model(dtype).init, jax.random.key(0))
    tokens = case.steps * case.batch
    yield Comparison(
        group=group,
        cell="lstm",
        job=f"{group}, {case.name}",
        sizes=case.sizes,
        tokens=tokens,
        flops=matmul_floor.model_flops(shapes.cell, case.hidden, case.vocabulary, rows=tokens, backward=False),
        tolerance=tolerance(dtype, jax.default_backend()),
        build=functools.partial(_build_scoring if group == SCORING else _build_sampling, case, dtype, names),
    )


def _build_scoring(case: LMCase, dtype: str, names: Sequence[str], write_line: WriteLine) -> list[Candidate]:
    del write_line  # no candidate is left out
    text, params = case.tokens()[1:, 0], model_params(case.model(dtype))
    layers, w_out = floor_matrices(params, dtype)
    return [
        _scoring(case.model(dtype), jax.tree.map(jnp.asarray, params), text),
        matmul_floor.candidate(matmul_floor.model_pass, layers, w_out, floor_inputs(case, dtype)),
        *(peers.load(name).require_models().scoring(weights_by_name(params), text, dtype) for name in names),
    ]


def _build_sampling(case: LMCase, dtype: str, names: Sequence[str], write_line: WriteLine) -> list[Candidate]:
    del write_line  # no candidate is left out
    text, params = case.tokens()[1:, 0], model_params(case.model(dtype))
    layers, w_out = floor_matrices(params, dtype)
    candidates = [
        _sampling(case.model(dtype), jax.tree.map(jnp.asarray, params), text),
        matmul_floor.candidate(matmul_floor.model_steps, layers, w_out, floor_inputs(case, dtype)),
    ]
    for name in names:
        sampling = peers.load(name).require_models().sampling
        candidates.append(sampling(weights_by_name(params), case.steps, text[:CHECKED], dtype=dtype))
    return candidates


def _scoring(model: LanguageModel, params: Any, text: np.ndarray) -> Candidate:
    words = vocabulary(model.vocab_size)
    encoded = EncodedText(text, np.array([text.size]), oov=0, characters=text.size)

    def call() -> float:
        return float(score_sentences(model, params, encoded, words)[0].sum())

    return Candidate(OURS, call, lambda nats: {"the nats": np.asarray(nats)})


def _sampling(model: LanguageModel, params: Any, text: np.ndarray) -> Candidate:
    words = vocabulary(model.vocab_size)

    def call() -> str:
        return sample(model, params, words, "", max_tokens=text.size, lines=text.size)

    def numbers(result: str) -> dict[str, np.ndarray]:
        def step(state: Any, token: jax.Array) -> tuple[Any, jax.Array]:
            return model.log_probs(params, state, token)

        steps = jax.jit(lambda tokens: jax.lax.scan(step, model.initial_state(()), tokens)[1])
        return {"a log-probability": np.asarray(steps(jnp.asarray(text[:CHECKED])))}

    return Candidate(OURS, call, numbers)
