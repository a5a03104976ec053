"""Softmaxes that are trained on the target and a few sampled words, and evaluated exactly."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.sparse_rows import sum_duplicate_rows
from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.output_layer import LossByRow, OutputLayer
from rnnlm_jax.outputs.proposals import proposal as make_proposal
from rnnlm_jax.outputs.sampled_loss import Drawn, Picked, Setting, summed_loss
from rnnlm_jax.outputs.sampled_rules import Rule, blackout_rule, importance_rule, noise_contrastive_rule
from rnnlm_jax.outputs.samplers import Sampler, make_sampler
from rnnlm_jax.outputs.softmax import SoftmaxParams, softmax
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.registry.cached_factory import cached_factory


@cached_factory
def importance_sampling(
    words: Words,
    samples: int = 1024,
    proposal: str = "log-uniform",
    power: float | None = None,
    replacement: bool = False,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """The importance-sampled softmax (Jean et al. 2015; Jozefowicz et al. 2016, section 3.1).

    The loss is a softmax over the target and the samples S, which are the same for the whole batch:
    ``ℓ = log Σ_{v ∈ {target} ∪ S} e^{a_v} - a_target`` with ``a_v = s_v - ln E[v]``, where ``s = h Wᵀ + b`` and E[v] is
    how often v is expected among the samples. A sample that is the row's target is left out of its row.

    Args:
        words: the vocabulary, with its counts.
        samples: K words a batch.
        proposal: ``"log-uniform"`` over ranks, or ``"unigram"``.
        power: α of ``"unigram"``, ``Q ∝ count^α``.
        replacement: whether a word may be drawn more than once; one that is expected more than once is then overstated,
            as by ``blackout`` without hits.
        dtype: of the products; logits and all that follows are in ``param_dtype``.
        param_dtype: of the parameters.

    Raises:
        UserError: if K is not from 1 to V, or a proposal cannot be.
    """
    sampler = make_sampler(make_proposal(words, proposal, power), samples, replacement)
    return _layer("importance", importance_rule, sampler, sampler.log_expected, False, dtype, param_dtype)


@cached_factory
def noise_contrastive(
    words: Words,
    samples: int = 1024,
    proposal: str = "unigram",
    power: float | None = None,
    replacement: bool = True,
    log_normalizer: float | None = None,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """Noise-contrastive estimation (Gutmann & Hyvärinen 2012; Mnih & Teh 2012, section 3.1).

    ``ℓ = -log σ(a_target) - Σ_{j ∈ S} log σ(-a_j)`` with ``a_v = s_v - c - ln E[v]``: each word is told from K words of
    noise by a model that takes ``e^{s - c}`` for its probability, c being a constant. Evaluation normalises.

    Args:
        words: the vocabulary, with its counts.
        samples: K words of noise, the same for the whole batch.
        proposal: ``"unigram"``, or ``"log-uniform"`` over ranks.
        power: α of ``"unigram"``, ``Q ∝ count^α``.
        replacement: whether a word may be drawn more than once, as in the papers; once at most, K words are K different
            ones, and large vocabularies are learnt faster.
        log_normalizer: c in nats; ln V unless given, so that a model of zeros is the uniform distribution.
        dtype: of the products; logits and all that follows are in ``param_dtype``.
        param_dtype: of the parameters.

    Raises:
        UserError: if K is not from 1 to V, or a proposal or c cannot be.
    """
    sampler = make_sampler(make_proposal(words, proposal, power), samples, replacement)
    c = math.log(words.size) if log_normalizer is None else log_normalizer
    if isinstance(c, bool) or not isinstance(c, int | float) or not math.isfinite(c):
        raise UserError(f"log_normalizer must be a finite number of nats, not {c}")
    return _layer("nce", noise_contrastive_rule, sampler, sampler.log_expected + c, True, dtype, param_dtype)


@cached_factory
def blackout(
    words: Words,
    samples: int = 512,
    power: float = 0.4,
    hits: bool = False,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
) -> OutputLayer:
    """BlackOut (Ji et al. 2016, section 2.2): the target is to be likely among the samples, and each of them unlikely.

    ``ℓ = -log p_target - Σ_{j ∈ S} log(1 - p_j)`` with p the softmax of ``s_v - ln Q(v)`` over the target and the
    samples S: K words drawn with replacement from ``Q ∝ count^α``, the same for the whole batch. A sample that is the
    row's target is left out of its row, as in the paper, unless ``hits`` has it counted.

    Left out, it is missing from what the samples stand for, the sum of ``e^s`` over all words: where ``K Q(target)`` is
    not small, the optimum overstates likely words, near ``p / (1 - p)`` for p. Counted, the loss is noise-contrastive
    estimation with that sum in place of a constant, and its optimum is p as K grows, whatever Q is.

    Args:
        words: the vocabulary, with its counts.
        samples: K.
        power: α.
        hits: whether a sample that is the row's target counts like any other.
        dtype: of the products; logits and all that follows are in ``param_dtype``.
        param_dtype: of the parameters.

    Raises:
        UserError: if K is not from 1 to V, α is below 0, or ``hits`` is not true or false.
    """
    if not isinstance(hits, bool):
        raise UserError(f"hits must be true or false, not {hits}")
    sampler = make_sampler(make_proposal(words, "unigram", power), samples, replacement=True)
    offsets = np.log(sampler.proposal.probabilities)
    return _layer("blackout", blackout_rule, sampler, offsets, hits, dtype, param_dtype)


def _layer(
    kind: str, rule: Rule, sampler: Sampler, offsets: np.ndarray, hits_count: bool, dtype: Any, param_dtype: Any
) -> OutputLayer:
    """The layer of a rule: a softmax with its matrix by word, but for what training descends."""
    exact = softmax(True, dtype, param_dtype)  # reads a matrix [V, H]
    setting = Setting(rule, hits_count, jnp.dtype(dtype))
    table = offsets.astype(param_dtype)

    def init(key: Key, hidden_size: int, vocab_size: int) -> SoftmaxParams:
        if vocab_size != table.size:
            raise UserError(f"the counts are of {table.size} words, and the vocabulary has {vocab_size}")
        w = jax.nn.initializers.glorot_uniform()(key, (vocab_size, hidden_size), param_dtype)
        return SoftmaxParams(w, jnp.zeros((vocab_size,), param_dtype))

    def pick(params: SoftmaxParams, targets: Int[Array, "*B"], key: Key | None) -> tuple[Picked, Drawn]:
        assert key is not None, "a sampled loss needs a key"
        assert params.w is not None, "the matrix is the layer's own"
        samples, flat = sampler.draw(key), targets.reshape(-1).astype(jnp.int32)
        lookup = jnp.asarray(table)
        drawn = Drawn(samples, flat, lookup.at[samples].get(mode="clip"), lookup[flat])
        w, b = params.w.at[samples].get(mode="clip"), params.b.at[samples].get(mode="clip")
        return Picked(w, b, params.w[flat], params.b[flat]), drawn

    def loss(
        picked: Picked,
        drawn: Drawn,
        hs: Float[Array, "*B H"],
        targets: Int[Array, "*B"],
        weights: Float[Array, "*B"],
    ) -> Float[Array, ""]:
        del targets  # are among what was drawn
        return summed_loss(setting, picked, drawn, hs.reshape(-1, hs.shape[-1]), weights.reshape(-1))

    def scatter(gradient: Picked, drawn: Drawn) -> Tree:
        ids = jnp.concatenate([drawn.samples, drawn.targets])
        rows: Tree = SoftmaxParams(  # of the parameters' shape, its leaves being gradients by row
            jnp.concatenate([gradient.w, gradient.w_t]), jnp.concatenate([gradient.b, gradient.b_t])
        )
        return jax.tree.map(lambda part: sum_duplicate_rows(ids, part), rows)

    return OutputLayer(
        kind, init, exact.nats, exact.total_nats, exact.log_probs, LossByRow(pick, loss, scatter), sampled=True
    )
