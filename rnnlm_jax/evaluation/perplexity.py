"""Perplexity of a text: the negative log-likelihood of every token, summed, and divided by a count once at the end."""

import functools
import math
import time
from dataclasses import dataclass
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jobs.sharding.placement import placed, placed_tree, replicated
from rnnlm_jax.jobs.sharding.sharded_scoring import sharded_scoring_function, stream_sharding
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.system.progress import Progress, no_progress

#: Upper bound, roughly, of the number of logits that are formed at a time.
LOGITS_AT_ONCE = 2**23
#: Largest mean nats per token whose exponential is a finite float64.
LARGEST_EXPONENT = 709.0


@dataclass(frozen=True)
class Evaluation:
    """Negative log-likelihood of a text, with the counts that it is divided by.

    Tokens depend on the model's vocabulary, but the nats of all tokens sum to ``-ln P(text)`` for every model. Models
    that split a text differently are therefore compared by that sum divided by a count that depends on the text alone:
    its words, which white space separates, or its characters (Cotterell et al. 2018; Mielke 2019, "Can you compare
    perplexity across different segmentations?"). A scored end of line counts as a token, a word and a character. The
    nats belong to one segmentation, the tokenizer's; summed over all segmentations they would be at most as large. If
    tokens are unknown, or if a line cannot be restored from its tokens, the nats belong to another, easier text, and
    ``open_vocabulary`` is false.
    """

    nll: float
    """Summed over all tokens, in nats."""
    tokens: int
    oov: int
    """Number of unknown tokens."""
    characters: int
    policy: str
    """One line on unknown tokens and ends of lines."""
    streams: int = 1
    """1: exact, one stream with the state carried from the first token to the last. More: an approximation, the text
    cut into that many pieces, each read from the initial state."""
    seconds: float = 0.0
    words: int = 0
    """Words of the text as it was read; 0 if they were not counted."""
    lossy_lines: int = 0
    """Lines that cannot be restored from their tokens."""

    @property
    def perplexity(self) -> float:
        """``exp(nll / tokens)``."""
        return perplexity(self.nll, self.tokens)

    @property
    def bits_per_character(self) -> float:
        """``nll / (characters · ln 2)``; an end of line is a character."""
        return self.nll / (self.characters * math.log(2.0))

    @property
    def word_perplexity(self) -> float | None:
        """``exp(nll / words)``; None without words."""
        return perplexity(self.nll, self.words) if self.words else None

    @property
    def character_perplexity(self) -> float:
        """``exp(nll / characters)``."""
        return perplexity(self.nll, self.characters)

    @property
    def open_vocabulary(self) -> bool:
        """Whether the nats are those of the text itself: no unknown token, and every line restored from its tokens."""
        return not (self.oov or self.lossy_lines)

    def summary(self) -> dict[str, float | int | str | bool | None]:
        """Return the figures by name, as ``rnnlm-jax eval --json`` prints them."""
        return {
            "perplexity": self.perplexity,
            "nats": self.nll,
            "tokens": self.tokens,
            "nats_per_token": self.nll / self.tokens,
            "bits_per_character": self.bits_per_character,
            "characters": self.characters,
            "word_perplexity": self.word_perplexity,
            "words": self.words,
            "character_perplexity": self.character_perplexity,
            "oov": self.oov,
            "lossy_lines": self.lossy_lines,
            "open_vocabulary": self.open_vocabulary,
            "policy": self.policy,
            "exact": self.streams == 1,
            "streams": self.streams,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        """Return all figures in one line."""
        kind = "one continuous stream" if self.streams == 1 else f"APPROXIMATE: {self.streams} streams side by side"
        return (
            f"perplexity {self.perplexity:.3f}{self.other_perplexities}  ({self.nll:.2f} nats over {self.counts}, "
            f"{self.bits_per_character:.4f} bits per character; {self.remarks}; {self.policy}; {kind}; "
            f"{self.seconds:.1f} s)"
        )

    @property
    def other_perplexities(self) -> str:
        """What follows the perplexity if tokens are not words: ``" a token, 98.111 a word, 2.3102 a character"``."""
        if self.word_perplexity is None or self.words == self.tokens:
            return ""
        last = f", {self.character_perplexity:.4f} a character" if self.characters != self.tokens else ""
        return f" a token, {self.word_perplexity:.3f} a word{last}"

    @property
    def counts(self) -> str:
        """The counts that the nats are divided by, in words."""
        if not self.other_perplexities:
            return f"{self.tokens:,} tokens"
        return f"{self.tokens:,} tokens, {self.words:,} words and {self.characters:,} characters"

    @property
    def remarks(self) -> str:
        """The parts of the text that the nats leave out, in words."""
        remarks = [f"{self.oov:,} OOV"]
        if self.lossy_lines:
            remarks.append(f"{self.lossy_lines:,} lines do NOT come back from their tokens")
        if not self.open_vocabulary:
            remarks.append("not comparable with an open vocabulary")
        return ", ".join(remarks)


def perplexity(nll: float, tokens: int) -> float:
    """Return ``exp(nll / tokens)``: infinite on overflow, NaN if ``nll`` is NaN."""
    return math.inf if nll / tokens > LARGEST_EXPONENT else math.exp(nll / tokens)


class ScoringFunction(Protocol):
    """``LanguageModel.token_nll``, compiled."""

    def __call__(
        self, params: LanguageModelParams, state: Tree, inputs: Int[Array, "T B"], targets: Int[Array, "T B"], /
    ) -> tuple[Tree, Float[Array, "T B"]]:
        """Return the state after the inputs, and the nats of each target."""
        ...


@functools.lru_cache(maxsize=8)
def scoring_function(model: LanguageModel) -> ScoringFunction:
    """Return the compiled scoring function of a model; it donates the state's memory."""
    return jit(model.token_nll, donate_argnums=1)


def steps_per_call(model: LanguageModel, streams: int) -> int:
    """Return how many steps to score at a time: a power of two from 16 to 1024, for about ``LOGITS_AT_ONCE`` logits."""
    steps = max(16, min(1024, LOGITS_AT_ONCE // (model.vocab_size * streams)))
    return 2 ** int(math.log2(steps))


def evaluate(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    *,
    streams: int = 1,
    progress: Progress = no_progress,
    mesh: Mesh | None = None,
) -> Evaluation:
    """Score every token of a text with carried state.

    Args:
        model: language model.
        params: its parameters.
        text: text encoded by ``vocabulary``.
        vocabulary: gives the input before the first token, and the policy named in the result.
        streams: 1 for the exact figure; more cut the text into that many pieces, an approximation.
        progress: called with the number of tokens scored since its last call.
        mesh: mesh over which the parameters are sharded, if they are.

    Raises:
        DataError: if the text is empty or of another vocabulary.
        ArgumentError: if ``streams`` is not positive.
    """
    start = time.perf_counter()
    nll = text_nll(model, params, text, vocabulary, streams=streams, progress=progress, mesh=mesh)
    seconds = time.perf_counter() - start
    return evaluation_from_nll(nll, text, vocabulary.describe(), seconds=seconds, streams=streams)


def evaluation_from_nll(
    nll: Float[np.ndarray, "N"], text: EncodedText, policy: str, *, seconds: float = 0.0, streams: int = 1
) -> Evaluation:
    """Return the evaluation of a text whose tokens have the given negative log-likelihoods, in nats."""
    return Evaluation(
        nll=math.fsum(nll),
        tokens=len(text),
        oov=text.oov,
        characters=text.characters,
        policy=policy,
        streams=streams,
        seconds=seconds,
        words=text.words,
        lossy_lines=text.lossy_lines,
    )


def text_nll(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    *,
    streams: int = 1,
    progress: Progress = no_progress,
    mesh: Mesh | None = None,
) -> Float[np.ndarray, "N"]:
    """Return ``-ln P`` of every token of a text in nats, float64 and in the text's order; arguments as of ``evaluate``.

    Raises:
        DataError: if the text is empty or of another vocabulary.
        ArgumentError: if ``streams`` is not positive.
    """
    if streams < 1:
        raise ArgumentError(f"`streams` must be positive, not {streams}: 1 is exact, more is an approximation")
    text.require_ids_below(model.vocab_size)
    if len(text) >= model.vocab_size:
        model, params = model.tabulated(params)
    score = scoring_function(model) if mesh is None else sharded_scoring_function(mesh, model, streams)
    batches = StreamBatches(text.tokens, streams, steps_per_call(model, streams), first_input=vocabulary.start_id)
    to_devices = jnp.asarray if mesh is None else functools.partial(placed, sharding=replicated(mesh))
    state = model.initial_state((streams,))
    if mesh is not None:
        state = placed_tree(state, stream_sharding(mesh, streams))
    parts: list[np.ndarray] = []
    for batch in batches:
        state, nll = score(params, state, to_devices(batch.inputs), to_devices(batch.targets))
        parts.append(np.asarray(nll, np.float64))
        progress(int(batch.mask.sum()))
    stream_length = -(-len(text) // streams)  # a stream is a column
    return np.concatenate(parts)[:stream_length].T.reshape(-1)[: len(text)]
