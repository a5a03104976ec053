"""A model's step and its scoring as programs of ``jax.export``: parameters and state are arguments, B and T symbols."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.evaluation.perplexity import LOGITS_AT_ONCE
from rnnlm_jax.jobs.checkpoints.digests import named_leaves
from rnnlm_jax.kernels.operation import reference_only
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams

#: Rows of hidden states that the output layer reads at a time: a power of two, so that their logits fit comfortably.
MOST_ROWS, FEWEST_ROWS = 256, 16

Named = dict[str, Array]


class Programs(NamedTuple):
    """What ``jax.export`` made of a model; a state is a dictionary by path, like the parameters.

    ``step``: ``(params, state, token[B]) -> (state, log_probs[B, V])``.
    ``score``: ``(params, state, inputs[T, B], targets[T, B]) -> (state, nats[T, B])``.
    """

    step: export.Exported
    score: export.Exported


def export_programs(model: LanguageModel, params: LanguageModelParams, platforms: Sequence[str]) -> Programs:
    """One program each for a step and for scoring, which run on all of ``platforms`` for any batch size and length.

    The cells run through ``jax.lax.scan`` and no kernel of ours is called, so that nothing but jax is needed. The
    parameters are arguments of the programs: only their shapes are read here.

    Args:
        model: the model; one whose input layer is no table is to be tabulated first.
        params: its parameters.
        platforms: as ``jax.export`` names them, such as "cpu".
    """
    model = dataclasses.replace(model, executor="scan", remat_chunk=None)
    structure = jax.tree.structure(params)
    state_structure = jax.tree.structure(model.initial_state((1,)))

    def unnamed(named: Named, like: Any) -> Any:
        return jax.tree.unflatten(like, [named[name] for name in _names(like)])

    def step(params: Named, state: Named, token: Int[Array, " B"]) -> tuple[Named, Float[Array, "B V"]]:
        after, log_probs = model.log_probs(unnamed(params, structure), unnamed(state, state_structure), token)
        return named_leaves(after), log_probs

    def score(
        params: Named, state: Named, inputs: Int[Array, "T B"], targets: Int[Array, "T B"]
    ) -> tuple[Named, Float[Array, "T B"]]:
        own = unnamed(params, structure)
        after, hs = model.hidden(own, unnamed(state, state_structure), inputs, None)
        return named_leaves(after), nats_by_rows(model, own, hs, targets)

    with reference_only(), own_types(model), _no_paths(), jax.disable_jit(False):  # what leaves is compiled elsewhere
        t, b = export.symbolic_shape("T, B")
        weights = {name: _described(leaf, leaf.shape) for name, leaf in named_leaves(params).items()}
        state = {name: _described(leaf, (b, *leaf.shape[1:])) for name, leaf in initial_state(model).items()}
        tokens, window = jax.ShapeDtypeStruct((b,), jnp.int32), jax.ShapeDtypeStruct((t, b), jnp.int32)
        return Programs(
            step=export.export(jax.jit(step), platforms=platforms)(weights, state, tokens),
            score=export.export(jax.jit(score), platforms=platforms)(weights, state, window, window),
        )


def nats_by_rows(
    model: LanguageModel, params: LanguageModelParams, hs: Tree, targets: Int[Array, "T B"]
) -> Float[Array, "T B"]:
    """``-log P(target | h)`` in nats, a fixed number of rows at a time.

    Output layers plan their loops by how many rows there are, which a program with symbolic T and B does not know: so
    they are given ``rows_at_once`` rows, the last of them filled up with zeros.
    """
    rows, count, output = rows_at_once(model.vocab_size), targets.size, model.output_params(params)
    parts = (count + rows - 1) // rows

    def cut(values: Array) -> Array:
        flat = values.reshape(count, *values.shape[2:])
        padded = jnp.pad(flat, [(0, parts * rows - count)] + [(0, 0)] * (flat.ndim - 1))
        return padded.reshape(parts, rows, *flat.shape[1:])

    found = jax.lax.map(lambda part: model.output.nats(output, *part), jax.tree.map(cut, (hs, targets)))
    return found.reshape(-1)[:count].reshape(targets.shape)


def rows_at_once(vocab_size: int) -> int:
    """How many rows ``nats_by_rows`` gives an output layer of V words."""
    fitting = max(FEWEST_ROWS, min(MOST_ROWS, LOGITS_AT_ONCE // vocab_size))
    return 1 << (fitting.bit_length() - 1)


def initial_state(model: LanguageModel) -> Named:
    """The state before the first token of one text, by path; its first axis, of length 1, is the batch's."""
    return named_leaves(model.initial_state((1,)))


def is_wide(model: LanguageModel) -> bool:
    """Whether it computes or keeps anything in 64 bits."""
    return "float64" in (model.cell.spec.dtype, model.cell.spec.param_dtype)


@contextlib.contextmanager
def own_types(model: LanguageModel) -> Iterator[None]:
    """Wide types where the model has some, else none: whatever is set here, the programs are the same."""
    with jax.enable_x64(is_wide(model)):
        yield


@contextlib.contextmanager
def _no_paths() -> Iterator[None]:
    """Name source files in programs without the folders that they lie in on this machine."""
    before = jax.config.jax_hlo_source_file_canonicalization_regex  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_hlo_source_file_canonicalization_regex", "^.*/")
    try:
        yield
    finally:
        jax.config.update("jax_hlo_source_file_canonicalization_regex", before)


def _names(structure: Any) -> list[str]:
    """The paths of a tree's leaves, in its order."""
    return list(named_leaves(jax.tree.unflatten(structure, range(structure.num_leaves))))


def _described(leaf: Array, shape: tuple[Any, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, leaf.dtype)
