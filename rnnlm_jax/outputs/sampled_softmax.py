"""Softmaxes that are trained on the target and a few sampled words, and evaluated exactly."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.sparse_rows import sum_duplicate_rows
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.outputs.output_layer import LossByRow, OutputLayer
from rnnlm_jax.outputs.proposals import proposal as make_proposal
from rnnlm_jax.outputs.sampled_loss import Drawn, Gathered, SampledLosses, sampled_loss
from rnnlm_jax.outputs.sampled_rules import blackout_rule, importance_rule, noise_contrastive_rule
from rnnlm_jax.outputs.samplers import Sampler, make_sampler
from rnnlm_jax.outputs.softmax import SoftmaxParams, softmax
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.registry.cached_factory import cached_factory


@cached_factory
def importance_sampling(
    words: WordCounts,
    num_samples: int = 1024,
    proposal: str = "log-uniform",
    power: float | None = None,
    unique: bool = True,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """The importance-sampled softmax (Jean et al. 2015; Jozefowicz et al. 2016, section 3.1).

    The loss is a softmax over the target and the samples S, which are the same for the whole batch:
    ``ℓ = log Σ_{v ∈ {target} ∪ S} e^{a_v} - a_target`` with ``a_v = s_v - ln E[v]``, where ``s = h Wᵀ + b`` and E[v] is
    the expected number of v among the samples. A sample that is the row's target is left out of its row.

    Args:
        words: vocabulary with word counts.
        num_samples: K, words drawn per batch.
        proposal: ``"log-uniform"`` over ranks, or ``"unigram"``.
        power: α of ``"unigram"``, ``Q ∝ count^α``.
        unique: whether each word is drawn at most once; without, a word expected more than once is overstated, as by
            ``blackout`` with ``remove_accidental_hits``.
        dtype: dtype of the products; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.

    Raises:
        ArgumentError: if K is not from 1 to V, or for an impossible proposal.
    """
    sampler = make_sampler(make_proposal(words, proposal, power), num_samples, unique)
    rows = SampledLosses(importance_rule, True, jnp.dtype(dtype))
    return _layer("importance", rows, sampler, offsets=sampler.log_expected, dtype=dtype, param_dtype=param_dtype)


@cached_factory
def noise_contrastive(
    words: WordCounts,
    num_samples: int = 1024,
    proposal: str = "unigram",
    power: float | None = None,
    unique: bool = False,
    log_normalizer: float | None = None,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """Noise-contrastive estimation (Gutmann & Hyvärinen 2012; Mnih & Teh 2012, section 3.1).

    ``ℓ = -log σ(a_target) - Σ_{j ∈ S} log σ(-a_j)`` with ``a_v = s_v - c - ln E[v]``: the target is classified against
    K words of noise by a model that takes ``e^{s - c}`` for its probability, c being a constant. Evaluation normalises.

    Args:
        words: vocabulary with word counts.
        num_samples: K, words of noise, the same for the whole batch.
        proposal: ``"unigram"``, or ``"log-uniform"`` over ranks.
        power: α of ``"unigram"``, ``Q ∝ count^α``.
        unique: whether each word is drawn at most once, so that K words are K different ones, from which large
            vocabularies are learned faster; the papers draw with replacement.
        log_normalizer: c in nats; None: ln V, so that a model of zeros is the uniform distribution.
        dtype: dtype of the products; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.

    Raises:
        ArgumentError: if K is not from 1 to V, or for an impossible proposal or c.
    """
    sampler = make_sampler(make_proposal(words, proposal, power), num_samples, unique)
    c = math.log(words.size) if log_normalizer is None else log_normalizer
    if isinstance(c, bool) or not isinstance(c, int | float) or not math.isfinite(c):
        raise ArgumentError(f"`log_normalizer` must be a finite number of nats, not {c}")
    rows = SampledLosses(noise_contrastive_rule, False, jnp.dtype(dtype))
    return _layer("nce", rows, sampler, offsets=sampler.log_expected + c, dtype=dtype, param_dtype=param_dtype)


@cached_factory
def blackout(
    words: WordCounts,
    num_samples: int = 512,
    power: float = 0.4,
    remove_accidental_hits: bool = True,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """BlackOut (Ji et al. 2016, section 2.2): makes the target likely among the samples, and each sample unlikely.

    ``ℓ = -log p_target - Σ_{j ∈ S} log(1 - p_j)`` with p the softmax of ``s_v - ln Q(v)`` over the target and the
    samples S: K words drawn with replacement from ``Q ∝ count^α``, the same for the whole batch. As in the paper, a
    sample that is the row's target is left out of its row.

    Without it the samples underestimate the sum of ``e^s`` over all words, and where ``K Q(target)`` is not small, the
    optimum overstates likely words, near ``p / (1 - p)`` for p. With ``remove_accidental_hits=False`` the loss is
    noise-contrastive estimation with that sum in place of a constant, and its optimum tends to p as K grows, for any Q.

    Args:
        words: vocabulary with word counts.
        num_samples: K.
        power: α.
        remove_accidental_hits: whether a sample that is the row's target is left out of its row.
        dtype: dtype of the products; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.

    Raises:
        ArgumentError: if K is not from 1 to V, α is below 0, or ``remove_accidental_hits`` is not a bool.
    """
    if not isinstance(remove_accidental_hits, bool):
        raise ArgumentError(f"`remove_accidental_hits` must be true or false, not {remove_accidental_hits}")
    sampler = make_sampler(make_proposal(words, "unigram", power), num_samples, unique=False)
    offsets = np.log(sampler.proposal.probabilities)
    rows = SampledLosses(blackout_rule, remove_accidental_hits, jnp.dtype(dtype))
    return _layer("blackout", rows, sampler, offsets=offsets, dtype=dtype, param_dtype=param_dtype)


def _layer(
    kind: str, rows: SampledLosses, sampler: Sampler, *, offsets: np.ndarray, dtype: Any, param_dtype: Any
) -> OutputLayer:
    """Return the layer of a rule: a softmax with a matrix ``[V, H]``, except for the loss that training descends."""
    exact = softmax(True, dtype, param_dtype)  # reads a matrix [V, H]
    table = offsets.astype(param_dtype)

    def init(key: Key, hidden_size: int, vocab_size: int) -> SoftmaxParams:
        if vocab_size != table.size:
            raise ArgumentError(f"`words` has counts of {table.size} words, and the vocabulary has {vocab_size}")
        w = jax.nn.initializers.glorot_uniform()(key, (vocab_size, hidden_size), param_dtype)
        return SoftmaxParams(w, jnp.zeros((vocab_size,), param_dtype))

    def gather(params: SoftmaxParams, targets: Int[Array, "*B"], key: Key | None) -> tuple[Gathered, Drawn]:
        assert key is not None, "a sampled loss needs a key"
        assert params.w is not None, "the matrix is the layer's own"
        samples, flat = sampler.draw(key), targets.reshape(-1).astype(jnp.int32)
        lookup = jnp.asarray(table)
        drawn = Drawn(samples, flat, lookup.at[samples].get(mode="clip"), lookup[flat])
        w, b = params.w.at[samples].get(mode="clip"), params.b.at[samples].get(mode="clip")
        return Gathered(w, b, params.w[flat], params.b[flat]), drawn

    def loss(
        gathered: Gathered,
        drawn: Drawn,
        hs: Float[Array, "*B H"],
        targets: Int[Array, "*B"],
        weights: Float[Array, "*B"],
    ) -> Float[Array, ""]:
        del targets  # `drawn` has them
        return sampled_loss(rows, gathered, drawn, hs.reshape(-1, hs.shape[-1]), weights.reshape(-1))

    def scatter(gradient: Gathered, drawn: Drawn) -> Tree:
        ids = jnp.concatenate([drawn.samples, drawn.targets])
        of_rows = SoftmaxParams(
            jnp.concatenate([gradient.w, gradient.w_t]), jnp.concatenate([gradient.b, gradient.b_t])
        )
        return jax.tree.map(lambda part: sum_duplicate_rows(ids, part), of_rows)

    def flops(params: SoftmaxParams, word_probabilities: Float[np.ndarray, " V"]) -> float:
        del word_probabilities  # a target costs the same as a sample
        assert params.w is not None, "the matrix is the layer's own"
        return 2.0 * params.w.shape[1] * (sampler.num_samples + 1)

    return OutputLayer(
        kind=kind,
        init=init,
        nats=exact.nats,
        total_nats=exact.total_nats,
        log_probs=exact.log_probs,
        by_row=LossByRow(gather, loss, scatter),
        sampled=True,
        flops=flops,
        word_axes={"w": 0, "b": 0},
        rows_by_id=True,
    )
