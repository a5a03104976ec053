"""Training steps of models with dropout and tied embeddings, beside torch's; numbers are compared without dropout."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.benchmarking import peers
from rnnlm_jax.benchmarking.measure.agreement import tolerance
from rnnlm_jax.benchmarking.measure.candidate import OURS, Candidate, Comparison, Numbers, WriteLine
from rnnlm_jax.benchmarking.measure.compiled_program import compile_program
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.training.step import make_train_step
from rnnlm_jax.training.train_state import TrainState, initial_train_state

#: SGD's learning rate, and the norm that gradients are clipped to.
LEARNING_RATE, CLIP_NORM = 1.0, 0.25


@dataclass(frozen=True)
class RegularizedCase:
    """An LSTM language model with tied embeddings and the dropout that torch has, and the shape of its batches."""

    name: str
    model: ModelConfig
    vocabulary: int
    steps: int
    batch: int
    more: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """What ours is timed with besides, by name: options of the model, which torch lacks."""

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes by letter, as in tables."""
        width = self.model.embedding_size or self.model.hidden_size
        sizes = {"T": self.steps, "B": self.batch, "H": self.model.hidden_size, "D": width}
        return sizes | {"layers": self.model.layers, "V": self.vocabulary}

    def build(self, dtype: str, **options: Any) -> LanguageModel:
        """Return this library's model, with other options."""
        return build_model(dataclasses.replace(self.model, dtype=dtype, **options), self.vocabulary)

    def tokens(self) -> np.ndarray:
        """Return random ids ``[T + 1, B]``: the inputs are all but the last row, the targets all but the first."""
        shape = (self.steps + 1, self.batch)
        return np.random.default_rng(3).integers(0, self.vocabulary, shape).astype(np.int32)

    def flops(self, params: LanguageModelParams) -> float:
        """Return the FLOPs of the matrix products of a step, given the parameters or their shapes."""
        forward = matrix_flops(params.cell) + matrix_flops(params.output) + 2 * self.sizes["D"] * self.vocabulary
        return float(3 * forward * self.steps * self.batch)


_HALF: dict[str, Any] = {"dropout_input": 0.5, "dropout_hidden": 0.5, "dropout_output": 0.5}
#: Two layers of 650 units, as wide as their embedding; and the layer of 1194 units of Melis et al. (2018).
CASES = (
    RegularizedCase(
        "medium-tied", ModelConfig(hidden_size=650, layers=2, tie_embeddings=True, **_HALF), 10_000, steps=35, batch=20
    ),
    RegularizedCase(
        "melis-10m",
        ModelConfig(hidden_size=1194, embedding_size=268, tie_embeddings=True, dropout_input=0.58, dropout_output=0.33),
        10_000,
        steps=35,
        batch=64,
        more={"capped gate, state dropout": {"cell_options": (("input_gate", "capped"),), "dropout_state": 0.22}},
    ),
)


def comparisons(cases: Sequence[RegularizedCase], dtype: str, names: Sequence[str]) -> Iterator[Comparison]:
    """Yield a comparison for each model, with the peers of these names, which must have such a step."""
    for case in cases:
        shapes = jax.eval_shape(case.build(dtype).init, jax.random.key(0))
        yield Comparison(
            group="regularized-steps",
            cell="lstm",
            job=f"training step, {case.name}",
            sizes=case.sizes,
            tokens=case.steps * case.batch,
            flops=case.flops(shapes),
            tolerance=tolerance(dtype, jax.default_backend()),
            build=functools.partial(_build, case, dtype, names),
        )


def _build(case: RegularizedCase, dtype: str, names: Sequence[str], write_line: WriteLine) -> list[Candidate]:
    del write_line  # no candidate is left out
    params = jax.tree.map(np.asarray, case.build(dtype).init(jax.random.key(0)))
    tokens = case.tokens()
    candidates = [_ours(OURS, case.build(dtype), params, tokens)]
    for name, options in case.more.items():
        candidate = _ours(f"{OURS}, {name}", case.build(dtype, **options), params, tokens)
        candidates.append(dataclasses.replace(candidate, numbers=None))
    rates = (case.model.dropout_input, case.model.dropout_hidden, case.model.dropout_output)
    for name in names:
        step = peers.load(name).require_models().regularized_training_step
        candidates.append(step(params, rates, tokens, rate=LEARNING_RATE, clip_norm=CLIP_NORM, dtype=dtype))
    return candidates


def _ours(name: str, model: LanguageModel, params: LanguageModelParams, tokens: np.ndarray) -> Candidate:
    optimizer = optax.chain(optax.clip_by_global_norm(CLIP_NORM), optax.sgd(LEARNING_RATE))
    batch = Batch(tokens[:-1], tokens[1:], np.ones(tokens[1:].shape, bool))
    shapes = jax.eval_shape(lambda: initial_train_state(model, optimizer, tokens.shape[1]))
    blank: TrainState = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    state = [blank._replace(params=jax.tree.map(jnp.array, params))]
    program = compile_program(make_train_step(model, optimizer), state[0], batch)

    def call() -> TrainState:
        state[0], _ = program.call(state[0], batch)
        return state[0]

    def numbers(after: TrainState) -> Numbers:
        del after  # other masks for every library
        return loss_and_gradient(model, params, tokens)

    return Candidate(name, call, numbers, program.compile_seconds, program.memory_bytes)


def loss_and_gradient(model: LanguageModel, params: LanguageModelParams, tokens: np.ndarray) -> Numbers:
    """Return the mean loss in nats, and gradients by name, of the first batch without dropout."""

    def loss(params: LanguageModelParams) -> jax.Array:
        start = model.initial_state((tokens.shape[1],))
        return model.token_nll(params, start, jnp.asarray(tokens[:-1]), jnp.asarray(tokens[1:]))[1].mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(jax.tree.map(jnp.asarray, params))
    layers = (gradient.cell,) if hasattr(gradient.cell, "_fields") else gradient.cell
    arrays = {"embedding": gradient.embedding, "the output bias": gradient.output.b}
    for k, layer in enumerate(layers):
        arrays |= {f"{name} of layer {k + 1}": array for name, array in layer._asdict().items()}
    if hasattr(gradient.output, "projection"):
        arrays["the projection"] = gradient.output.projection
    named = {f"the gradient of {name}": np.asarray(array) for name, array in arrays.items()}
    return named | {"the loss": np.asarray(value)}
