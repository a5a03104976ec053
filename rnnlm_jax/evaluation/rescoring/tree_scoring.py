"""A trained model over a prefix tree: many sentences from initial state, what they share read once."""

import functools
import math
from collections.abc import Callable, Iterator

import jax
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.evaluation.perplexity import LOGITS_AT_ONCE
from rnnlm_jax.evaluation.rescoring.prefix_tree import PrefixTree, prefix_tree
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams

#: Beginnings read at a time, at the least and at the most, and bytes that the states of a level may take.
FEWEST, MOST, STATE_BYTES = 64, 2048, 2**27


def sentence_nll(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    progress: Callable[[int], object] = lambda tokens: None,
) -> Float[np.ndarray, "N"]:
    """``-log P`` of each token of a text in nats, float64, each line read from the model's initial state.

    What ``score_sentences`` gives, in the order of the text: no line is padded, and a beginning that several lines
    have is read once. Give at most ``lines_at_once(model)`` lines.

    Args:
        model: the model.
        params: its parameters.
        text: the text, one sentence a line.
        vocabulary: for the token before each sentence.
        progress: told the number of tokens scored since its last call.

    Raises:
        UserError: if the text is of another vocabulary.
    """
    text.require_ids_below(model.vocab_size)
    tree = prefix_tree(text, model.vocab_size)
    capacity = 2 ** max(6, math.ceil(math.log2(max(text.line_ends.size, 1))))
    return _node_nats(model, params, tree, vocabulary.start_id, capacity, progress)[tree.nodes]


def lines_at_once(model: LanguageModel) -> int:
    """How many sentences to read side by side, a power of two, so that their states fit comfortably."""
    state = jax.eval_shape(lambda: model.initial_state((1,)))
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return 2 ** int(math.log2(min(max(STATE_BYTES // max(size, 1), 256), 4096)))


def _node_nats(
    model: LanguageModel,
    params: LanguageModelParams,
    tree: PrefixTree,
    start_id: int,
    capacity: int,
    progress: Callable[[int], object],
) -> Float[np.ndarray, "M"]:
    """The nats of the last word of every beginning, level by level; a level holds at most ``capacity`` of them."""
    read = _reading_function(model)
    rows = _rows(model.vocab_size)
    # One place for each beginning of a level, and room for what the last ones are filled up with.
    before, after = (model.initial_state((capacity + rows,)) for _ in range(2))
    words = np.full(1, start_id, np.int32)
    found: list[np.ndarray] = []
    for level in tree.levels:
        parts: list[tuple[Array, int]] = []
        for start, size in _pieces(level.words.size, rows):
            piece = slice(start, start + size)
            parents = _filled(level.parents[piece], size)
            targets = _filled(level.words[piece], size)
            after, nats = read(params, before, after, parents, words[parents], targets, start)
            parts.append((nats, min(size, level.words.size - start)))
        before, after, words = after, before, level.words
        found += [np.asarray(nats, np.float64)[:size] for nats, size in parts]
        progress(level.tokens)
    return np.concatenate(found or [np.zeros(0)])


@functools.lru_cache(maxsize=8)
def _reading_function(model: LanguageModel) -> Callable[..., tuple[Tree, Array]]:
    """``(params, before, after, parents, inputs, targets, start) -> (after, nats[R])``, compiled for each R.

    Reads the inputs in the states of their parents, and lays the new states into ``after`` from ``start`` on.
    """

    def read(
        params: LanguageModelParams,
        before: Tree,
        after: Tree,
        parents: Int[Array, "R"],
        inputs: Int[Array, "R"],
        targets: Int[Array, "R"],
        start: Int[Array, ""],
    ) -> tuple[Tree, Float[Array, "R"]]:
        state = jax.tree.map(lambda whole: whole[parents], before)
        state, nats = model.token_nll(params, state, inputs[None], targets[None])

        def laid_into(whole: Array, part: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(whole, part.astype(whole.dtype), start, axis=0)

        return jax.tree.map(laid_into, after, state), nats[0]

    return jit(read, donate_argnums=2)


def _rows(vocab_size: int) -> int:
    """How many beginnings to read at a time, so that their logits fit comfortably: a power of two."""
    return 2 ** int(math.log2(min(max(LOGITS_AT_ONCE // vocab_size, FEWEST), MOST)))


def _pieces(total: int, rows: int) -> Iterator[tuple[int, int]]:
    """Where pieces of a level begin and how long they are: of few sizes, so that little is compiled."""
    start = 0
    while start < total:
        left = total - start
        size = next((size for size in (rows // 16, rows // 4) if left <= size), rows)
        yield start, size
        start += size


def _filled(values: np.ndarray, size: int) -> Int[np.ndarray, "R"]:
    """Some numbers, and zeros up to a size; what is computed of those is not read."""
    filled = np.zeros(size, np.int32)
    filled[: values.size] = values
    return filled
