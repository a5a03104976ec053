"""Sampling text from a language model, one token at a time."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams


@dataclass(frozen=True)
class Sampling:
    """The distribution of the next token: ``P(v)^(1/temperature)``, cut to ``top_k`` tokens, then to the nucleus.

    Temperature 0 always takes the likeliest token. The nucleus is the smallest set of tokens whose probabilities sum to
    at least ``top_p`` (Holtzman et al. 2020, section 3.1). Of equally likely tokens the lower id comes first.

    Raises:
        ArgumentError: for a negative temperature, ``top_k`` below 1, or ``top_p`` outside (0, 1].
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.temperature >= 0:
            raise ArgumentError(f"`temperature` must be 0 or more, not {self.temperature}; 0 takes the likeliest token")
        if self.top_k is not None and self.top_k < 1:
            raise ArgumentError(f"`top_k` must be 1 or more, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ArgumentError(f"`top_p` must be above 0 and at most 1, not {self.top_p}")

    def filtered(self, log_probs: Float[Array, "*B V"]) -> Float[Array, "*B V"]:
        """Return unnormalised log-probabilities of the tokens that may be drawn, -inf for the others."""
        size = log_probs.shape[-1]
        kept = size if self.top_k is None else min(self.top_k, size)
        nucleus = 1.0 if self.top_p is None else self.top_p
        if kept == size and nucleus == 1.0:
            return self._scaled(log_probs)
        # Tokens are ranked before they are scaled, because an extreme temperature makes different ones equal. `top_k`
        # takes the lower id first of equal ones, as argmax does.
        largest, tokens = jax.lax.top_k(log_probs, kept)
        logits = self._scaled(largest)
        if nucleus < 1.0:
            # A token is kept if those above it do not reach top_p; the first always is.
            probabilities = jax.nn.softmax(logits, axis=-1)
            before = jnp.cumsum(probabilities, axis=-1) - probabilities
            first = over_batch(jnp.arange(kept) == 0, before)
            logits = jnp.where(first | (before < nucleus), logits, -jnp.inf)
        return jnp.put_along_axis(jnp.full_like(log_probs, -jnp.inf), tokens, logits, axis=-1, inplace=False)

    def _scaled(self, log_probs: Float[Array, "*B N"]) -> Float[Array, "*B N"]:
        """Return log-probabilities divided by the temperature, shifted so that the largest is 0; -inf stays -inf."""
        below = log_probs - jnp.max(log_probs, axis=-1, keepdims=True)
        # A temperature whose value or inverse is subnormal may be flushed to 0, and 0 / 0 is NaN. At these bounds any
        # difference between two log-probabilities has already become infinite, or vanished.
        tiny = float(jnp.finfo(log_probs.dtype).tiny)
        scaled = below / min(max(self.temperature, tiny), 1 / tiny)
        return jnp.where(jnp.isneginf(log_probs), -jnp.inf, scaled)

    def draw(self, key: Key, log_probs: Float[Array, "*B V"]) -> Array:
        """Return the next token, an id for each batch element."""
        if self.temperature == 0:
            return jnp.argmax(log_probs, axis=-1)
        return jax.random.categorical(key, self.filtered(log_probs), axis=-1)


@functools.partial(jit, static_argnames=("model", "sampling", "steps"))
def _generate(
    model: LanguageModel,
    params: LanguageModelParams,
    start: tuple[Tree, Int[Array, "*B"]],
    key: Key,
    *,
    sampling: Sampling,
    steps: int,
) -> Int[Array, "N *B"]:
    """Return N tokens drawn after a state and the token that follows it."""
    params = params._replace(cell=model.cell.prepare(params.cell))  # once, not for every token

    def step(carry: tuple[Tree, Array], key: Key) -> tuple[tuple[Tree, Array], Array]:
        state, log_probs = model.log_probs(params, *carry)
        drawn = sampling.draw(key, log_probs).astype(jnp.int32)
        return (state, drawn), drawn

    return jax.lax.scan(step, start, jax.random.split(key, steps))[1]


def sample(
    model: LanguageModel,
    params: LanguageModelParams,
    vocabulary: Vocabulary,
    prompt: str,
    *,
    sampling: Sampling | None = None,
    max_tokens: int = 100,
    lines: int = 1,
    seed: int = 0,
) -> str:
    """Continue a prompt until a number of lines has ended, or for ``max_tokens``.

    Args:
        model: the model.
        params: its parameters.
        vocabulary: its vocabulary; unknown words of the prompt become its unknown token.
        prompt: beginning of the text; "" for the start of a line.
        sampling: distribution of the next token; None: the model's own.
        max_tokens: most tokens to draw.
        lines: number of line ends to draw before stopping.
        seed: seed of the draws.

    Returns:
        the prompt and the drawn text, without the last line's end.

    Raises:
        ArgumentError: if ``max_tokens`` or ``lines`` is not positive, or the seed is not in range.
        DataError: if the prompt cannot be encoded.
    """
    if max_tokens < 1 or lines < 1:
        raise ArgumentError(f"`max_tokens` and `lines` must be positive, not {max_tokens} and {lines}")
    if not 0 <= seed < 2**32:
        raise ArgumentError(f"`seed` must be from 0 to 2^32 - 1, not {seed}")
    *context, last = [vocabulary.start_id, *_encode_prompt(vocabulary, prompt)]
    state = model.initial_state(())
    if context:
        state, _ = model.hidden(params, state, jnp.asarray(context, jnp.int32), None)
    start = state, jnp.asarray(last, jnp.int32)
    key, sampling = jax.random.key(seed), sampling or Sampling()
    tokens = np.asarray(_generate(model, params, start, key, sampling=sampling, steps=max_tokens))
    ends = np.flatnonzero(tokens == vocabulary.eos_id) if vocabulary.eos_id is not None else np.zeros(0, int)
    if ends.size >= lines:
        tokens = tokens[: ends[lines - 1]]
    return vocabulary.decode([*_encode_prompt(vocabulary, prompt), *tokens.tolist()])


def _encode_prompt(vocabulary: Vocabulary, prompt: str) -> list[int]:
    """Return the ids of a prompt of one or more lines, without the end of the last."""
    ids: list[int] = []
    for number, line in enumerate(prompt.split("\n")):
        if number > 0 and vocabulary.eos_id is not None:
            ids.append(vocabulary.eos_id)
        ids.extend(vocabulary.encode_line(line))
    return ids
