"""A model's step and scoring as programs of ``jax.export``, parameters and state as arguments, B and T symbolic."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.evaluation.perplexity import LOGITS_AT_ONCE
from rnnlm_jax.jobs.checkpoints.array_digests import named_leaves
from rnnlm_jax.kernels.operation import reference_only
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams

#: Bounds on the rows of hidden states that the output layer reads per call, a power of two.
MOST_ROWS, FEWEST_ROWS = 256, 16

Named = dict[str, Array]


class Programs(NamedTuple):
    """The exported programs of a model; a state is a dictionary by path, like the parameters.

    ``step``: ``(params, state, token[B]) -> (state, log_probs[B, V])``.
    ``score``: ``(params, state, inputs[T, B], targets[T, B]) -> (state, nats[T, B])``.
    """

    step: export.Exported
    score: export.Exported


def export_programs(model: LanguageModel, params: LanguageModelParams, platforms: Sequence[str]) -> Programs:
    """Return programs for a step and for scoring, which run on all of ``platforms`` for any batch size and length.

    The cells run through ``jax.lax.scan`` and no C++ kernel is called, so that only jax is needed. The parameters are
    arguments of the programs: only their shapes are read here.

    Args:
        model: the model; tabulate one with a composed input layer first.
        params: its parameters.
        platforms: as ``jax.export`` names them, such as "cpu".
    """
    model = dataclasses.replace(model, executor="scan", remat_chunk=None)
    structure = jax.tree.structure(params)
    state_structure = jax.tree.structure(model.initial_state((1,)))

    def unflatten(named: Named, like: Any) -> Any:
        return jax.tree.unflatten(like, [named[name] for name in _names(like)])

    def step(params: Named, state: Named, token: Int[Array, " B"]) -> tuple[Named, Float[Array, "B V"]]:
        after, log_probs = model.log_probs(unflatten(params, structure), unflatten(state, state_structure), token)
        return named_leaves(after), log_probs

    def score(
        params: Named, state: Named, inputs: Int[Array, "T B"], targets: Int[Array, "T B"]
    ) -> tuple[Named, Float[Array, "T B"]]:
        own = unflatten(params, structure)
        after, hs = model.hidden(own, unflatten(state, state_structure), inputs, None)
        return named_leaves(after), nats_in_blocks(model, own, hs, targets=targets)

    # disable_jit(False): the programs are compiled elsewhere, whatever the process has set.
    with reference_only(), model_x64(model), _no_paths(), jax.disable_jit(False):
        t, b = export.symbolic_shape("T, B")
        weights = {name: _described(leaf, leaf.shape) for name, leaf in named_leaves(params).items()}
        state = {name: _described(leaf, (b, *leaf.shape[1:])) for name, leaf in initial_state(model).items()}
        token, tokens = jax.ShapeDtypeStruct((b,), jnp.int32), jax.ShapeDtypeStruct((t, b), jnp.int32)
        return Programs(
            step=export.export(jax.jit(step), platforms=platforms)(weights, state, token),
            score=export.export(jax.jit(score), platforms=platforms)(weights, state, tokens, tokens),
        )


def nats_in_blocks(
    model: LanguageModel, params: LanguageModelParams, hs: Tree, *, targets: Int[Array, "T B"]
) -> Float[Array, "T B"]:
    """Return ``-log P(target | h)`` in nats, computed for a fixed number of rows at a time.

    Output layers plan their loops by the number of rows, which is unknown in a program with symbolic T and B: so they
    get blocks of ``rows_per_block`` rows, the last one padded with zeros.
    """
    rows, count, output = rows_per_block(model.vocab_size), targets.size, model.output_params(params)
    parts = (count + rows - 1) // rows

    def cut(values: Array) -> Array:
        flat = values.reshape(count, *values.shape[2:])
        padded = jnp.pad(flat, [(0, parts * rows - count)] + [(0, 0)] * (flat.ndim - 1))
        return padded.reshape(parts, rows, *flat.shape[1:])

    found = jax.lax.map(lambda part: model.output.nats(output, *part), jax.tree.map(cut, (hs, targets)))
    return found.reshape(-1)[:count].reshape(targets.shape)


def rows_per_block(vocab_size: int) -> int:
    """Return the number of rows that ``nats_in_blocks`` gives an output layer of V words."""
    fitting = max(FEWEST_ROWS, min(MOST_ROWS, LOGITS_AT_ONCE // vocab_size))
    return 1 << (fitting.bit_length() - 1)


def initial_state(model: LanguageModel) -> Named:
    """Return the state before the first token of one text, by path; its first axis, of length 1, is the batch."""
    return named_leaves(model.initial_state((1,)))


def uses_float64(model: LanguageModel) -> bool:
    """Return whether a model computes or stores anything in float64."""
    return "float64" in (model.cell.spec.dtype, model.cell.spec.param_dtype)


@contextlib.contextmanager
def model_x64(model: LanguageModel) -> Iterator[None]:
    """Enable float64 if the model uses it, and disable it otherwise, whatever the process has set."""
    with jax.enable_x64(uses_float64(model)):
        yield


@contextlib.contextmanager
def _no_paths() -> Iterator[None]:
    """Leave the folders of this machine out of the names of source files in programs."""
    before = jax.config.jax_hlo_source_file_canonicalization_regex  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_hlo_source_file_canonicalization_regex", "^.*/")
    try:
        yield
    finally:
        jax.config.update("jax_hlo_source_file_canonicalization_regex", before)


def _names(structure: Any) -> list[str]:
    """Return the paths of a tree's leaves, in its order."""
    return list(named_leaves(jax.tree.unflatten(structure, range(structure.num_leaves))))


def _described(leaf: Array, shape: tuple[Any, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, leaf.dtype)
