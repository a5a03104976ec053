"""Dynamic evaluation: a model that goes on learning from the text it is tested on, each token once it is scored."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.arrays.sparse_rows import RowGradient, sum_duplicate_rows
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import Batch, EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.scorer import Progress, silent
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams

#: Tokens that one call of the compiled program reads.
TOKENS_A_CALL = 512


@dataclass(frozen=True)
class Dynamic:
    """How parameters ``θ`` follow the text, a segment of it at a time; ``θ_g`` are the trained ones.

    With ``g`` the gradient of the segment's mean nats, both rules end with a decay back to the trained parameters:

        sgd:  θ ← θ - η g + λ (θ_g - θ)                                       (Mikolov et al. 2010, λ = 0)
        rms:  θ ← θ - η g / (s + ε) + min(λ s / mean(s), 1) (θ_g - θ)         (Krause et al. 2018, section 4)

    where ``s`` is the root of the mean square of each gradient over the training text (``gradient_scale``). Make one
    with ``dynamic``.
    """

    rule: str
    rate: float
    """η."""
    decay: float
    """λ."""
    epsilon: float
    """ε, of rms."""
    segment: int
    """Tokens between two updates; the gradient goes no further back."""

    def __str__(self) -> str:
        """A few words for people."""
        epsilon = f", epsilon {self.epsilon:g}" if self.rule == "rms" else ""
        return f"dynamic {self.rule}, rate {self.rate:g}, decay {self.decay:g}{epsilon}, segments of {self.segment}"


#: What a rule uses where nothing else is asked for. Of rms: what the authors' program has. Of sgd: the best of the
#: rates 0.2, 0.5, 1, 2 on the first 13,346 validation tokens of Penn Treebank, of an LSTM with 2 layers of 200 units.
DEFAULTS = {
    "sgd": {"rate": 1.0, "decay": 0.0, "epsilon": 0.0, "segment": 20},
    "rms": {"rate": 5e-5, "decay": 0.002, "epsilon": 2e-5, "segment": 5},
}


def dynamic(
    rule: str,
    rate: float | None = None,
    decay: float | None = None,
    epsilon: float | None = None,
    segment: int | None = None,
) -> Dynamic:
    """A rule with its defaults where None is given.

    Raises:
        UserError: for an unknown rule, or a number that cannot be.
    """
    if rule not in DEFAULTS:
        raise UserError(f"unknown rule {rule!r} of dynamic evaluation: choose one of {', '.join(DEFAULTS)}")
    given = {"rate": rate, "decay": decay, "epsilon": epsilon, "segment": segment}
    found: dict[str, Any] = DEFAULTS[rule] | {name: value for name, value in given.items() if value is not None}
    for name, most in (("rate", math.inf), ("decay", 1.0), ("epsilon", math.inf)):
        if not (0 <= found[name] <= most and found[name] < math.inf):
            wanted = "0 or more" if most == math.inf else f"between 0 and {most:g}"
            raise UserError(f"the {name} of dynamic evaluation must be {wanted}, not {found[name]}")
    if rule == "rms" and found["epsilon"] == 0:
        raise UserError(
            "the epsilon of dynamic evaluation must be positive: words never seen have gradients of scale 0"
        )
    if found["segment"] < 1:
        raise UserError(f"a segment of dynamic evaluation has 1 token or more, not {found['segment']}")
    return Dynamic(rule, **found)


def dynamic_nats(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    how: Dynamic,
    scale: LanguageModelParams | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """``-log P(w_t | w_<t)`` of every token in nats, float64 ``[N]``, by parameters that have read what is before it.

    Each segment is scored first and learnt from afterwards, so that these are the nats of one proper distribution over
    texts: what follows a token changes nothing about it. The state is carried throughout, as in ``evaluate``.

    Args:
        model: the model.
        params: the trained parameters, which stay as they are.
        text: the text, one continuous stream.
        vocabulary: for the token before the first one.
        how: the rule.
        scale: what ``gradient_scale`` gives, for the rule rms.
        progress: told the number of tokens scored since its last call.

    Raises:
        UserError: if the text is empty or of another vocabulary, or nats do not stay finite.
    """
    text.require_ids_below(model.vocab_size)
    if (scale is None) != (how.rule == "sgd"):
        raise ValueError("the rule rms, and it alone, needs the scale of gradients")
    per_call = max(1, TOKENS_A_CALL // how.segment)
    batches = StreamBatches(text.tokens, 1, per_call * how.segment, first_input=vocabulary.start_id)
    read = _reader(model, how.rule, how.decay > 0)
    numbers = {name: jnp.asarray(getattr(how, name)) for name in ("rate", "decay", "epsilon")}
    trained = params if how.decay > 0 else None
    moving = jax.tree.map(jnp.copy, params)  # its memory is given to the program
    state, parts = model.initial_state((1,)), []
    for batch in batches:
        cut = Batch(*(part.reshape(per_call, how.segment, 1) for part in batch))
        moving, state, nats = read(moving, state, cut, trained, scale, numbers)
        parts.append(np.asarray(nats, np.float64).reshape(-1)[batch.mask[:, 0]])
        if not np.isfinite(parts[-1]).all():
            place = sum(part.size for part in parts[:-1]) + int(np.argmin(np.isfinite(parts[-1]))) + 1
            raise UserError(
                f"dynamic evaluation gives no finite nats at token {place:,} ({how}): lower its rate or raise its decay"
            )
        progress(parts[-1].size)
    return np.concatenate(parts)


@functools.lru_cache(maxsize=8)
def _reader(model: LanguageModel, rule: str, decays: bool) -> Callable[..., tuple[LanguageModelParams, Tree, Array]]:
    """``(params, state, segments, trained, scale, numbers) -> (params, state, nats[K, T, 1])``, compiled."""

    def read(
        params: LanguageModelParams,
        state: Tree,
        segments: Batch,
        trained: LanguageModelParams | None,
        scale: LanguageModelParams | None,
        numbers: dict[str, Array],
    ) -> tuple[LanguageModelParams, Tree, Array]:
        def of_segment(carry: tuple[Any, Any], batch: Batch) -> tuple[tuple[Any, Any], Array]:
            params, state = carry
            # What decays, and what is divided by a scale, changes in every row.
            after, nats, gradient = _scored(model, params, state, batch, by_row=not decays and scale is None)
            if scale is not None:
                epsilon = numbers["epsilon"]
                gradient = jax.tree.map(lambda g, s: g / (s + epsilon.astype(s.dtype)), gradient, scale)
            moved = jax.tree.map(lambda p, g: _descend(p, g, numbers["rate"]), params, gradient)
            if decays:
                back = _pull(params, scale, numbers["decay"])
                moved = jax.tree.map(lambda m, b, o, p: m + b * (o - p), moved, back, trained, params)
            return (moved, after), nats

        (params, state), nats = jax.lax.scan(of_segment, (params, state), segments)
        return params, state, nats

    return jit(read, donate_argnums=(0, 1))


def mean_gradient(
    model: LanguageModel, params: LanguageModelParams, state: Tree, batch: Batch, by_row: bool = False
) -> LanguageModelParams:
    """The gradient of the exact mean nats of a batch, without dropout.

    ``by_row``: where few rows of a table are read, its gradient may be of those alone.
    """
    tokens = jnp.maximum(jnp.asarray(batch.mask).sum(), 1)
    if not model.output.sampled:
        return loss_and_gradient(model, params, state, batch, None, tokens, by_row)[1]

    def loss(params: LanguageModelParams) -> Array:
        nats, _ = model.loss_fn(params, state, batch, None)
        return nats / tokens.astype(nats.dtype)

    return jax.grad(loss)(params)


def _scored(
    model: LanguageModel, params: LanguageModelParams, state: Tree, batch: Batch, by_row: bool
) -> tuple[Tree, Array, LanguageModelParams]:
    """The state after a segment, the nats of its tokens, and the gradient of their mean."""
    inputs, targets, mask = (jnp.asarray(part) for part in batch)
    if model.output.kind != "softmax":  # nats of other layers may have no reverse mode
        after, nats = model.token_nats(params, state, inputs, targets)
        return after, nats, mean_gradient(model, params, state, batch, by_row)

    # Of few rows the matrix is most of the work: here it is read once for the nats and once for the gradient.
    def loss(params: LanguageModelParams, xs: Array | None) -> tuple[Array, tuple[Tree, Array]]:
        xs = model.embed(params, inputs) if xs is None else xs
        after, hs = model.hidden_from_embedded(params, state, xs, None, inputs)
        nats = model.output_nats(params, hs, targets)
        return (nats * mask.astype(nats.dtype)).sum() / jnp.maximum(mask.sum(), 1).astype(nats.dtype), (after, nats)

    if not (by_row and model.input.is_table and not model.tie_embeddings):
        gradient, (after, nats) = jax.grad(loss, has_aux=True)(params, None)
        return after, nats, gradient
    xs = model.embed(params, inputs)
    (gradient, of_xs), (after, nats) = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, xs)
    rows = sum_duplicate_rows(inputs.reshape(-1), of_xs.reshape(-1, of_xs.shape[-1]))
    return after, nats, gradient._replace(embedding=rows)


def _descend(p: Array, g: Array | RowGradient, rate: Array) -> Array:
    """``p - η g``."""
    rate = rate.astype(p.dtype)
    if isinstance(g, RowGradient):
        return p.at[g.ids].add(-rate * g.rows, mode="drop", unique_indices=True)
    return p - rate * g


def _pull(params: LanguageModelParams, scale: LanguageModelParams | None, decay: Array) -> Any:
    """How strongly parameters are pulled back: λ, or of rms ``min(λ s / mean(s), 1)`` for each.

    The mean is that of the means of all arrays, as in the authors' program.
    """
    if scale is None:
        return jax.tree.map(lambda p: decay.astype(p.dtype), params)
    leaves = jax.tree.leaves(scale)
    mean = sum(jnp.mean(leaf).astype(decay.dtype) for leaf in leaves) / len(leaves)
    return jax.tree.map(lambda s: jnp.minimum((decay / mean).astype(s.dtype) * s, 1), scale)
