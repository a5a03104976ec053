"""The adaptive softmax: frequent words in a short list, rare ones in clusters that read fewer units."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_floats, as_whole_numbers
from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.clustered_loss import NO_COLUMN, Clusters, Tail, clustered_nats, row_nats
from rnnlm_jax.outputs.cutoffs import AUTO, check_vocabulary, read_cutoffs, tail_sizes
from rnnlm_jax.outputs.output_layer import OutputLayer
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.registry.cached_factory import cached_factory


@cached_factory
def adaptive_softmax(
    cutoffs: int | str | tuple[int, ...] = AUTO,
    div_value: float = 4,
    words: WordCounts | None = None,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
    bias: bool = False,
) -> OutputLayer:
    """The adaptive softmax (Grave et al. 2017), over words in order of falling frequency.

    ``P(v | h) = softmax(h W_0)_v`` for the words below the first cut-off. Cluster i has one column of ``W_0``, and for
    its words

        P(v | h) = softmax(h W_0)_(cluster i) · softmax((h P_i) W_i)_v,    P_i [H, ⌊H / div_value^i⌋].

    None of the products has a bias, as in the paper. Training multiplies ``P_i`` and ``W_i`` only with the rows whose
    target is in cluster i; all is exact and normalised. A cluster of H units (``div_value=1``) has no ``P_i``: it would
    add nothing to what ``W_i`` can represent, and under plain gradient descent each would lengthen the other's steps.

    Args:
        cutoffs: first word of each cluster, ``(2000, 10000)`` or ``"2000:10000"``; "auto" must be replaced by
            ``resolve_cutoffs`` first, as training does at the start of a run.
        div_value: how many times narrower each cluster is than the one before.
        words: vocabulary with word counts; None: words are numbered by falling frequency.
        dtype: dtype of the products; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.
        bias: whether to read ``(h, 1)`` in place of h, so that ``W_0`` and each ``P_i`` have one more row: a bias for
            every word of the head and every cluster, and for the units of each ``P_i``.

    Raises:
        ArgumentError: if cut-offs are not positive and increasing, or not chosen yet, or ``bias`` is not a bool; on
            ``init`` if they are not all below the size of the vocabulary, or a cluster would have no units.
    """
    if not isinstance(bias, bool):
        raise ArgumentError(f"`bias` must be true or false, not {bias!r}")
    bounds = read_cutoffs(cutoffs)
    ranks = None if words is None else _ranks(words)
    tail_sizes(2**62, len(bounds), div_value)  # checks `div_value`

    def init(key: Key, hidden_size: int, vocab_size: int) -> Clusters:
        if words is not None and vocab_size != words.size:
            raise ArgumentError(
                f"`words` has counts of {words.size} words and the vocabulary has {vocab_size}: give its own counts"
            )
        check_vocabulary(bounds, vocab_size)
        widths = tail_sizes(hidden_size, len(bounds), div_value)
        inputs = hidden_size + bias
        draw = jax.nn.initializers.glorot_uniform()
        k_head, *keys = jax.random.split(key, 1 + 2 * len(bounds))
        ends = (*bounds[1:], vocab_size)
        tails = (
            Tail(
                None if width == hidden_size else draw(keys[2 * i], (inputs, width), param_dtype),
                draw(keys[2 * i + 1], (inputs if width == hidden_size else width, ends[i] - bounds[i]), param_dtype),
            )
            for i, width in enumerate(widths)
        )
        return Clusters(draw(k_head, (inputs, bounds[0] + len(bounds)), param_dtype), tuple(tails))

    def operands(params: Clusters, h: Float[Array, "*B H"]) -> tuple[Array, Clusters]:
        rows = h.astype(dtype).reshape(-1, h.shape[-1])
        if bias:
            rows = jnp.pad(rows, ((0, 0), (0, 1)), constant_values=1)
        return rows, jax.tree.map(lambda w: jnp.asarray(w, dtype), params)

    def ranked(targets: Int[Array, "*B"]) -> Int[Array, " N"]:
        targets = targets.reshape(-1)
        return targets if ranks is None else jnp.asarray(ranks).at[targets].get(mode="fill", fill_value=NO_COLUMN)

    def nats(params: Clusters, hs: Float[Array, "*B H"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        ones = jnp.ones((targets.size,), param_dtype)
        return row_nats(*operands(params, hs), ranked(targets), ones, param_dtype).reshape(targets.shape)

    def total_nats(
        params: Clusters, hs: Float[Array, "*B H"], targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        rows = as_floats("weights", weights, param_dtype).astype(param_dtype).reshape(-1)
        return clustered_nats(*operands(params, hs), ranked(targets), rows, param_dtype)

    def log_probs(params: Clusters, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        h = as_floats("h", h, param_dtype)
        rows, narrow = operands(params, h)
        head = jax.nn.log_softmax((rows @ narrow.head).astype(param_dtype), axis=-1)
        parts = [head[:, : bounds[0]]]
        for i, (project, w) in enumerate(narrow.tails):
            projected = rows if project is None else rows @ project
            within = jax.nn.log_softmax((projected @ w).astype(param_dtype), axis=-1)
            parts.append(head[:, bounds[0] + i, None] + within)
        by_rank = jnp.concatenate(parts, axis=-1)
        return (by_rank if ranks is None else by_rank[:, ranks]).reshape(*h.shape[:-1], -1)

    def flops(params: Clusters, word_probabilities: Float[np.ndarray, " V"]) -> float:
        by_rank = word_probabilities if words is None else word_probabilities[words.by_rank]
        ends = (*bounds[1:], len(by_rank))
        tails = zip(params.tails, bounds, ends, strict=True)
        return matrix_flops(params.head) + sum(
            float(by_rank[begin:end].sum()) * matrix_flops(tail) for tail, begin, end in tails
        )

    return OutputLayer(
        kind="adaptive",
        init=init,
        nats=nats,
        total_nats=total_nats,
        log_probs=log_probs,
        flops=flops,
        word_axes={"head": 1, **{f"tails.{i}.w": 1 for i in range(len(bounds))}},
    )


def _ranks(words: WordCounts) -> np.ndarray | None:
    """Return the rank of each word by falling count; None where ids are ranks."""
    if (np.diff(words.counts) <= 0).all():
        return None
    ranks = np.empty(words.size, np.int32)
    ranks[words.by_rank] = np.arange(words.size)
    return ranks
