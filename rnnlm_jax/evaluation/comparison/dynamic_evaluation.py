"""Dynamic evaluation: adapt a model to the text it is tested on, learning from each segment after it is scored."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.sparse_rows import RowGradient, sum_duplicate_rows
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import Batch, EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.progress import Progress, no_progress

#: Tokens read by one call of the compiled program.
TOKENS_PER_CALL = 512


@dataclass(frozen=True)
class DynamicRule:
    """Rule that updates the parameters ``θ`` after each segment of the text; ``θ_g`` are the trained parameters.

    With ``g`` the gradient of the segment's mean nats, both rules end with a decay towards the trained parameters:

        sgd:  θ ← θ - η g + λ (θ_g - θ)                                       (Mikolov et al. 2010, λ = 0)
        rms:  θ ← θ - η g / (s + ε) + min(λ s / mean(s), 1) (θ_g - θ)         (Krause et al. 2018, section 4)

    where ``s`` is the root mean square of each gradient over the training text (``gradient_scale``). Make one with
    ``dynamic_rule``, which fills in defaults and checks the numbers.
    """

    rule: str
    """"sgd" or "rms"."""
    rate: float
    """Learning rate η."""
    decay: float
    """Decay λ."""
    epsilon: float
    """ε of rms."""
    segment: int
    """Tokens between two updates; the gradient is truncated at the segment's start."""

    def __str__(self) -> str:
        """Return the rule and its numbers in one line."""
        epsilon = f", epsilon {self.epsilon:g}" if self.rule == "rms" else ""
        return f"dynamic {self.rule}, rate {self.rate:g}, decay {self.decay:g}{epsilon}, segments of {self.segment}"


#: Defaults of each rule. rms: those of the authors' program. sgd: the best of the rates 0.2, 0.5, 1, 2 on the first
#: 13,346 validation tokens of Penn Treebank, for an LSTM with 2 layers of 200 units.
DEFAULTS = {
    "sgd": {"rate": 1.0, "decay": 0.0, "epsilon": 0.0, "segment": 20},
    "rms": {"rate": 5e-5, "decay": 0.002, "epsilon": 2e-5, "segment": 5},
}


def dynamic_rule(
    rule: str,
    *,
    rate: float | None = None,
    decay: float | None = None,
    epsilon: float | None = None,
    segment: int | None = None,
) -> DynamicRule:
    """Return a rule, with the defaults of ``DEFAULTS`` for arguments that are None.

    Raises:
        ArgumentError: for an unknown rule or an impossible number.
    """
    if rule not in DEFAULTS:
        raise ArgumentError(f"unknown rule {rule!r} of dynamic evaluation: choose one of {', '.join(DEFAULTS)}")
    given = {"rate": rate, "decay": decay, "epsilon": epsilon, "segment": segment}
    numbers: dict[str, Any] = DEFAULTS[rule] | {name: value for name, value in given.items() if value is not None}
    for name, most in (("rate", math.inf), ("decay", 1.0), ("epsilon", math.inf)):
        if not (0 <= numbers[name] <= most and numbers[name] < math.inf):
            allowed = "0 or more" if most == math.inf else f"between 0 and {most:g}"
            raise ArgumentError(f"the {name} of dynamic evaluation must be {allowed}, not {numbers[name]}")
    if rule == "rms" and numbers["epsilon"] == 0:
        raise ArgumentError(
            "the epsilon of dynamic evaluation must be positive: words never seen have gradients of scale 0"
        )
    if numbers["segment"] < 1:
        raise ArgumentError(f"a segment of dynamic evaluation has 1 token or more, not {numbers['segment']}")
    return DynamicRule(rule, **numbers)


def dynamic_nll(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    *,
    rule: DynamicRule,
    scale: LanguageModelParams | None = None,
    progress: Progress = no_progress,
) -> Float[np.ndarray, "N"]:
    """Return ``-ln P(w_t | w_<t)`` of every token in nats, float64, by parameters adapted to the text before it.

    Each segment is scored before the parameters learn from it, so that the nats are those of one proper distribution
    over texts: no token's nats depend on later tokens. The state is carried throughout, as in ``evaluate``.

    Args:
        model: language model.
        params: trained parameters, which are not changed.
        text: text, read as one continuous stream.
        vocabulary: gives the input before the first token.
        rule: update rule.
        scale: result of ``gradient_scale``, for the rule rms.
        progress: called with the number of tokens scored since its last call.

    Raises:
        DataError: if the text is empty or of another vocabulary.
        ArgumentError: if the scale is missing for rms or given for sgd, or nats are not finite because the rate is too
            high.
    """
    text.require_ids_below(model.vocab_size)
    if (scale is None) != (rule.rule == "sgd"):
        raise ArgumentError("give `scale`, the result of `gradient_scale`, for the rule rms only")
    segments_per_call = max(1, TOKENS_PER_CALL // rule.segment)
    batches = StreamBatches(text.tokens, 1, segments_per_call * rule.segment, first_input=vocabulary.start_id)
    score_and_learn = _score_and_learn(model, decays=rule.decay > 0)
    numbers = {name: jnp.asarray(getattr(rule, name)) for name in ("rate", "decay", "epsilon")}
    trained = params if rule.decay > 0 else None
    adapted = jax.tree.map(jnp.copy, params)  # a copy, because its memory is donated to the program
    state, parts = model.initial_state((1,)), []
    for batch in batches:
        segments = Batch(*(part.reshape(segments_per_call, rule.segment, 1) for part in batch))
        adapted, state, nll = score_and_learn(adapted, state, segments, trained, scale, numbers)
        parts.append(np.asarray(nll, np.float64).reshape(-1)[batch.mask[:, 0]])
        if not np.isfinite(parts[-1]).all():
            token = sum(part.size for part in parts[:-1]) + int(np.argmin(np.isfinite(parts[-1]))) + 1
            raise ArgumentError(
                f"dynamic evaluation gives no finite nats at token {token:,} ({rule}): lower its rate or raise its "
                "decay"
            )
        progress(parts[-1].size)
    return np.concatenate(parts)


@functools.lru_cache(maxsize=8)
def _score_and_learn(model: LanguageModel, *, decays: bool) -> Callable[..., tuple[LanguageModelParams, Tree, Array]]:
    """Compile ``(params, state, segments, trained, scale, numbers) -> (params, state, nll[K, T, 1])``."""

    def score_and_learn(
        params: LanguageModelParams,
        state: Tree,
        segments: Batch,
        trained: LanguageModelParams | None,
        scale: LanguageModelParams | None,
        numbers: dict[str, Array],
    ) -> tuple[LanguageModelParams, Tree, Array]:
        def segment_step(
            carry: tuple[LanguageModelParams, Tree], batch: Batch
        ) -> tuple[tuple[LanguageModelParams, Tree], Array]:
            params, state = carry
            # Decay and division by a scale change every row, so a row-sparse gradient would gain nothing.
            after, nll, gradient = _nll_and_gradient(model, params, state, batch, by_row=not decays and scale is None)
            if scale is not None:
                epsilon = numbers["epsilon"]
                gradient = jax.tree.map(lambda g, s: g / (s + epsilon.astype(s.dtype)), gradient, scale)
            moved = jax.tree.map(lambda p, g: _descend(p, g, numbers["rate"]), params, gradient)
            if decays:
                strength = _decay_strength(params, scale, numbers["decay"])
                moved = jax.tree.map(lambda m, b, o, p: m + b * (o - p), moved, strength, trained, params)
            return (moved, after), nll

        (params, state), nll = jax.lax.scan(segment_step, (params, state), segments)
        return params, state, nll

    return jit(score_and_learn, donate_argnums=(0, 1))


def mean_gradient(
    model: LanguageModel, params: LanguageModelParams, state: Tree, batch: Batch, *, by_row: bool = False
) -> LanguageModelParams:
    """Return the gradient of the exact mean nats of a batch, without dropout.

    Args:
        model: language model.
        params: its parameters.
        state: state before the batch.
        batch: inputs, targets and mask, ``[T, B]``.
        by_row: allow row-sparse gradients (``RowGradient``) of tables of which few rows are read.
    """
    tokens = jnp.maximum(jnp.asarray(batch.mask).sum(), 1)
    if not model.output.sampled:
        return loss_and_gradient(model, params, state, batch, None, normaliser=tokens, by_row=by_row)[1]

    def loss(params: LanguageModelParams) -> Array:
        nll, _ = model.loss_fn(params, state, batch, None)
        return nll / tokens.astype(nll.dtype)

    return jax.grad(loss)(params)


def _nll_and_gradient(
    model: LanguageModel, params: LanguageModelParams, state: Tree, batch: Batch, *, by_row: bool
) -> tuple[Tree, Array, LanguageModelParams]:
    """Return the state after a segment, the nats of its tokens, and the gradient of their mean."""
    inputs, targets, mask = (jnp.asarray(part) for part in batch)
    if not model.output.nats_gradient:
        after, nll = model.token_nll(params, state, inputs, targets)
        return after, nll, mean_gradient(model, params, state, batch, by_row=by_row)

    # With few rows, reading the output matrix is most of the work: read it once for the nats, once for the gradient.
    def loss(params: LanguageModelParams, xs: Array | None) -> tuple[Array, tuple[Tree, Array]]:
        xs = model.embed(params, inputs) if xs is None else xs
        after, hs, *_ = model.run(params, state, xs, None, inputs)
        nll = model.output_nats(params, hs, targets)
        return (nll * mask.astype(nll.dtype)).sum() / jnp.maximum(mask.sum(), 1).astype(nll.dtype), (after, nll)

    if not (by_row and model.input.is_table and not model.tie_embeddings):
        gradient, (after, nll) = jax.grad(loss, has_aux=True)(params, None)
        return after, nll, gradient
    xs = model.embed(params, inputs)
    (gradient, d_xs), (after, nll) = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, xs)
    rows = sum_duplicate_rows(inputs.reshape(-1), d_xs.reshape(-1, d_xs.shape[-1]))
    return after, nll, gradient._replace(embedding=rows)


def _descend(p: Array, g: Array | RowGradient, rate: Array) -> Array:
    """Return ``p - η g``."""
    rate = rate.astype(p.dtype)
    if isinstance(g, RowGradient):
        return p.at[g.ids].add(-rate * g.rows, mode="drop", unique_indices=True)
    return p - rate * g


def _decay_strength(
    params: LanguageModelParams, scale: LanguageModelParams | None, decay: Array
) -> LanguageModelParams:
    """Return the decay of each parameter: λ, or ``min(λ s / mean(s), 1)`` for rms.

    ``mean(s)`` is the mean over arrays of the mean of each array, as in the authors' program.
    """
    if scale is None:
        return jax.tree.map(lambda p: decay.astype(p.dtype), params)
    leaves = jax.tree.leaves(scale)
    mean = sum(jnp.mean(leaf).astype(decay.dtype) for leaf in leaves) / len(leaves)
    return jax.tree.map(lambda s: jnp.minimum((decay / mean).astype(s.dtype) * s, 1), scale)
