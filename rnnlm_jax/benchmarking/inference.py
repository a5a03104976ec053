"""One text alone, B = 1: its nats, and tokens drawn one after the other, through what a user of each library calls."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.benchmarking import floor, flops, peers
from rnnlm_jax.benchmarking.lm_cases import LMCase, floor_inputs, floor_matrices, vocabulary
from rnnlm_jax.benchmarking.measure.compare import tolerance
from rnnlm_jax.benchmarking.measure.subject import OURS, Contest, Say, Subject
from rnnlm_jax.benchmarking.weights import model_params, plain
from rnnlm_jax.data import EncodedText
from rnnlm_jax.evaluation.sentence_scores import score_sentences
from rnnlm_jax.language_model.generation import sample
from rnnlm_jax.language_model.model import LanguageModel

SCORING, SAMPLING = "scoring", "sampling"

#: Draws of different libraries cannot be equal; the distributions after this many fixed tokens must be.
CHECKED = 8


def contests(group: str, case: LMCase, dtype: str, names: Sequence[str]) -> Iterator[Contest]:
    """The one contest of scoring, or of sampling, with these peers, which must have it."""
    shapes = jax.eval_shape(case.model(dtype).init, jax.random.key(0))
    tokens = case.steps * case.batch
    yield Contest(
        group=group,
        cell="lstm",
        job=f"{group}, {case.name}",
        sizes=case.sizes,
        tokens=tokens,
        flops=flops.language_model(shapes.cell, case.hidden, case.vocabulary, tokens, backward=False),
        tolerance=tolerance(dtype, jax.default_backend()),
        build=functools.partial(_build, group, case, dtype, names),
    )


def _build(group: str, case: LMCase, dtype: str, names: Sequence[str], say: Say) -> list[Subject]:
    del say  # nobody is left out
    model, text = case.model(dtype), case.tokens()[1:, 0]
    params = model_params(model)
    layers, w_out = floor_matrices(params, dtype)
    ours, products = (_scoring, floor.model_pass) if group == SCORING else (_sampling, floor.model_steps)
    subjects = [
        ours(model, jax.tree.map(jnp.asarray, params), text),
        floor.subject(products, layers, w_out, floor_inputs(case, dtype)),
    ]
    for name in names:
        make: Callable[..., Subject] = getattr(peers.load(name).models, group)
        if group == SCORING:
            subjects.append(make(plain(params), text, dtype))
        else:
            subjects.append(make(plain(params), case.steps, text[:CHECKED], dtype))
    return subjects


def _scoring(model: LanguageModel, params: Any, text: np.ndarray) -> Subject:
    words = vocabulary(model.vocab_size)
    encoded = EncodedText(text, np.array([text.size]), oov=0, characters=text.size)

    def call() -> float:
        return float(score_sentences(model, params, encoded, words)[0].sum())

    return Subject(OURS, call, lambda nats: {"the nats": np.asarray(nats)})


def _sampling(model: LanguageModel, params: Any, text: np.ndarray) -> Subject:
    words = vocabulary(model.vocab_size)

    def call() -> str:
        return sample(model, params, words, "", max_tokens=text.size, lines=text.size)

    def numbers(result: str) -> dict[str, np.ndarray]:
        def step(state: Any, token: jax.Array) -> tuple[Any, jax.Array]:
            return model.log_probs(params, state, token)

        steps = jax.jit(lambda tokens: jax.lax.scan(step, model.initial_state(()), tokens)[1])
        return {"a log-probability": np.asarray(steps(jnp.asarray(text[:CHECKED])))}

    return Subject(OURS, call, numbers)
