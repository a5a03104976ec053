"""Score many sentences from the initial state with a trained model, reading shared beginnings once."""

import functools
import math
from collections.abc import Iterator
from typing import Protocol

import jax
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.evaluation.perplexity import LOGITS_AT_ONCE
from rnnlm_jax.evaluation.rescoring.prefix_tree import PrefixTree, prefix_tree
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.progress import Progress, no_progress

#: Bounds of the number of prefixes read at a time.
MIN_PREFIXES, MAX_PREFIXES = 64, 2048
#: Largest memory for the states of a level, in bytes.
STATE_BYTES = 2**27


def sentence_nll(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    *,
    progress: Progress = no_progress,
) -> Float[np.ndarray, "N"]:
    """Return ``-ln P`` of each token of a text in nats, float64, each line read from the model's initial state.

    The values are those of ``score_sentences``, in the order of the text, computed without padding; a beginning that
    several lines share is read once.

    Args:
        model: language model.
        params: its parameters.
        text: text with one sentence per line, at most ``max_lines(model)`` lines.
        vocabulary: gives the input before each sentence.
        progress: called with the number of tokens scored since its last call.

    Raises:
        DataError: if the text is of another vocabulary.
    """
    text.require_ids_below(model.vocab_size)
    tree = prefix_tree(text, model.vocab_size)
    capacity = 2 ** max(6, math.ceil(math.log2(max(text.line_ends.size, 1))))
    start_id = vocabulary.start_id
    return _prefix_nll(model, params, tree, start_id=start_id, capacity=capacity, progress=progress)[tree.nodes]


def max_lines(model: LanguageModel) -> int:
    """Return how many sentences to score at a time: a power of two, for states of about ``STATE_BYTES``."""
    state = jax.eval_shape(lambda: model.initial_state((1,)))
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return 2 ** int(math.log2(min(max(STATE_BYTES // max(size, 1), 256), 4096)))


def _prefix_nll(
    model: LanguageModel,
    params: LanguageModelParams,
    tree: PrefixTree,
    *,
    start_id: int,
    capacity: int,
    progress: Progress,
) -> Float[np.ndarray, "M"]:
    """Return the nats of the last word of every prefix, level by level; a level holds at most ``capacity`` prefixes."""
    read = _reading_function(model)
    rows = _rows_per_call(model.vocab_size)
    # States of all prefixes of a level, and room for the padding of the last call.
    before, after = (model.initial_state((capacity + rows,)) for _ in range(2))
    words = np.full(1, start_id, np.int32)
    nll_by_prefix: list[np.ndarray] = []
    for level in tree.levels:
        parts: list[tuple[Array, int]] = []
        for start, size in _pieces(level.words.size, rows):
            piece = slice(start, start + size)
            parents = _padded(level.parents[piece], size)
            targets = _padded(level.words[piece], size)
            after, nll = read(params, before, after, parents, words[parents], targets, start)
            parts.append((nll, min(size, level.words.size - start)))
        before, after, words = after, before, level.words
        nll_by_prefix += [np.asarray(nll, np.float64)[:size] for nll, size in parts]
        progress(level.tokens)
    return np.concatenate(nll_by_prefix or [np.zeros(0)])


class _ReadingFunction(Protocol):
    """Reads inputs in the states of their parents, and writes the new states into ``after`` from ``start`` on."""

    def __call__(
        self,
        params: LanguageModelParams,
        before: Tree,
        after: Tree,
        parents: Int[np.ndarray, "R"],
        inputs: Int[np.ndarray, "R"],
        targets: Int[np.ndarray, "R"],
        start: int,
        /,
    ) -> tuple[Tree, Array]:
        """Return the updated states, and the nats ``[R]`` of the targets."""
        ...


@functools.lru_cache(maxsize=8)
def _reading_function(model: LanguageModel) -> _ReadingFunction:
    """Compile the reading function, once for each R; it donates the memory of ``after``."""

    def read(
        params: LanguageModelParams,
        before: Tree,
        after: Tree,
        parents: Int[Array, "R"],
        inputs: Int[Array, "R"],
        targets: Int[Array, "R"],
        start: Int[Array, ""],
    ) -> tuple[Tree, Float[Array, "R"]]:
        state = jax.tree.map(lambda states: states[parents], before)
        state, nll = model.token_nll(params, state, inputs[None], targets[None])

        def write(states: Array, new: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(states, new.astype(states.dtype), start, axis=0)

        return jax.tree.map(write, after, state), nll[0]

    return jit(read, donate_argnums=2)


def _rows_per_call(vocab_size: int) -> int:
    """Return how many prefixes to read at a time: a power of two, for about ``LOGITS_AT_ONCE`` logits."""
    return 2 ** int(math.log2(min(max(LOGITS_AT_ONCE // vocab_size, MIN_PREFIXES), MAX_PREFIXES)))


def _pieces(total: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the start and size of the pieces of a level, in three sizes, so that few programs are compiled."""
    start = 0
    while start < total:
        left = total - start
        size = next((size for size in (rows // 16, rows // 4) if left <= size), rows)
        yield start, size
        start += size


def _padded(values: np.ndarray, size: int) -> Int[np.ndarray, "R"]:
    """Return the values with zeros up to a size; results for the zeros are unused."""
    padded = np.zeros(size, np.int32)
    padded[: values.size] = values
    return padded
