"""The temperature that minimises the negative log-likelihood of a text (Guo et al. 2017; Melis et al. 2018)."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation.convex_minimum import Curve, convex_minimum
from rnnlm_jax.evaluation.perplexity import perplexity, steps_per_call
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.outputs.tempered import at_targets, tempered
from rnnlm_jax.system.progress import Progress, no_progress

#: Largest excess of the fitted nats per token over the least possible.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class TemperatureFit:
    """The temperature that minimises the nats of a text, and how much they fall."""

    temperature: float
    """τ."""
    nll: float
    """Nats of the text at τ."""
    nll_without: float
    """Nats of the text at temperature 1."""
    tokens: int
    excess: float
    """Bound on how many nats per token less another temperature could give, up to the rounding of ``param_dtype``."""
    passes: int
    """Number of times that the log-probabilities of all words were computed."""

    @property
    def perplexity(self) -> float:
        """Perplexity of the text at τ."""
        return perplexity(self.nll, self.tokens)

    @property
    def perplexity_without(self) -> float:
        """Perplexity of the text at temperature 1."""
        return perplexity(self.nll_without, self.tokens)

    def summary(self) -> dict[str, float | int]:
        """Return the figures by name, as ``rnnlm-jax eval --json`` prints them."""
        return {
            "temperature": self.temperature,
            "perplexity": self.perplexity,
            "perplexity_without": self.perplexity_without,
            "tokens": self.tokens,
            "excess_nats_per_token": self.excess,
            "passes": self.passes,
        }


def with_temperature(model: LanguageModel, temperature: float) -> LanguageModel:
    """Return a model whose distributions are ``P(v)^(1/τ)``, normalised; its parameters are the same.

    Raises:
        ArgumentError: if τ is not a positive, finite number.
    """
    return dataclasses.replace(model, output=tempered(model.output, temperature))


def fit_temperature(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    *,
    streams: int = 1,
    tolerance: float = TOLERANCE,
    progress: Progress = no_progress,
) -> TemperatureFit:
    """Find the temperature τ > 0 that minimises the negative log-likelihood of a text.

    With β = 1/τ, ``L(β) = Σ_t [log Σ_v P_t(v)^β - β log P_t(w_t)]`` is convex in β: ``L' = Σ_t (E_β[log P_t] - log
    P_t(w_t))`` and ``L'' = Σ_t Var_β[log P_t]``, with expectations under ``P_t^β``, normalised. The cells read the text
    once; their hidden states stay in memory (tokens · H numbers), and each pass reads the output layer once for three
    values of β.

    Fit it on validation text. Fitted on the text that is then reported, it is no longer a prediction of that text.

    Args:
        model: language model.
        params: its parameters.
        text: text encoded by ``vocabulary``.
        vocabulary: gives the input before the first token.
        streams: as for ``evaluate``.
        tolerance: largest excess of the nats per token over the least possible.
        progress: called with the number of tokens read since its last call; a pass over all of them is one more reading
            of the text.

    Raises:
        DataError: if the text is empty or of another vocabulary, a token has probability 0, or no finite temperature
            is best.
        ArgumentError: if ``streams`` is not positive.
    """
    if streams < 1:
        raise ArgumentError(f"`streams` must be positive, not {streams}: 1 is exact, more is an approximation")
    text.require_ids_below(model.vocab_size)
    segments = _read(model, params, text, vocabulary, streams)
    seen: dict[float, float] = {}

    def curve(inverse_temperatures: Float[np.ndarray, "J"]) -> Curve:
        powers = jnp.asarray(inverse_temperatures, model.cell.spec.param_dtype)
        total = np.zeros((3, inverse_temperatures.size))
        for segment in segments:
            found = np.asarray(_moments_program(model)(params, segment.hs, segment.targets, powers), np.float64)
            total += found[:, :, segment.mask].sum(axis=2)
            progress(int(segment.mask.sum()))
        seen.update(zip(inverse_temperatures.tolist(), total[0].tolist(), strict=True))
        return Curve(*total / len(text))

    found = convex_minimum(curve, tolerance=tolerance)
    return TemperatureFit(
        temperature=1 / found.x,
        nll=seen[found.x],
        nll_without=seen[1.0],
        tokens=len(text),
        excess=found.excess,
        passes=found.passes,
    )


class _Segment(NamedTuple):
    """Hidden states of a part of the text, kept on the host, with the targets that they predict."""

    hs: Tree
    targets: Int[np.ndarray, "T B"]
    mask: np.ndarray


def _read(
    model: LanguageModel, params: LanguageModelParams, text: EncodedText, vocabulary: Vocabulary, streams: int
) -> list[_Segment]:
    """Return the hidden states of a text, read with carried state."""
    if len(text) >= model.vocab_size:
        model, params = model.tabulated(params)
    batches = StreamBatches(text.tokens, streams, steps_per_call(model, streams), first_input=vocabulary.start_id)
    state, segments = model.initial_state((streams,)), []
    for batch in batches:
        state, hs = _hidden_program(model)(params, state, jnp.asarray(batch.inputs))
        segments.append(_Segment(jax.device_get(hs), batch.targets, batch.mask))
    return segments


@functools.lru_cache(maxsize=8)
def _hidden_program(model: LanguageModel) -> Callable[..., Any]:
    """Return the compiled function from a segment's inputs to the state after them and hidden states."""
    return jit(lambda params, state, inputs: model.hidden(params, state, inputs, None), donate_argnums=1)


@functools.lru_cache(maxsize=8)
def _moments_program(model: LanguageModel) -> Callable[..., Any]:
    """Return the compiled ``tempered_moments`` of a model, ``(params, hs, targets, powers) -> [3, J, T, B]``."""
    return jit(
        lambda params, hs, targets, powers: tempered_moments(
            model.output.log_probs(model.output_params(params), hs), targets, powers
        )
    )


def tempered_moments(
    log_probs: Float[Array, "T B V"], targets: Int[Array, "T B"], powers: Float[Array, " J"]
) -> Float[Array, "3 J T B"]:
    """Return each token's ``log Σ_v p_v^β - β log p_w`` in nats and its first two derivatives by β, for J values of β.

    They are the nats of target w, ``E[log p] - log p_w`` and ``Var[log p]`` under ``p^β``, normalised. A word of
    probability 0 adds nothing.
    """
    rows = log_probs.reshape(-1, log_probs.shape[-1])
    target = at_targets(rows, targets.reshape(-1))
    finite = jnp.where(jnp.isfinite(rows), rows, 0)  # 0 times -inf is NaN

    def at_power(power: Float[Array, ""]) -> Float[Array, "3 N"]:
        weights = jax.nn.softmax(power * rows, axis=1)
        mean = (weights * finite).sum(axis=1)
        variance = (weights * jnp.square(finite - mean[:, None])).sum(axis=1)
        return jnp.stack([jax.nn.logsumexp(power * rows, axis=1) - power * target, mean - target, variance])

    moments = jax.lax.map(at_power, powers)  # one after the other, in the memory of one
    return moments.swapaxes(0, 1).reshape(3, powers.size, *targets.shape)
