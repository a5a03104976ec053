"""How well a language model predicts a text: summed nats and token counts, and from them perplexity, once."""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import EncodedText, StreamBatches, Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.sharding.divided_scoring import divided_scoring_function, stream_sharding
from rnnlm_jax.jobs.sharding.placing import everywhere, placed, placed_tree
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams

#: Logits of about this many numbers are formed at a time.
LOGITS_AT_ONCE = 2**23


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of a text.

    ``streams`` is 1 for the exact figure, that of one continuous stream whose state is carried from the first token to
    the last. With more, the text is cut into that many pieces, each started without its past: an approximation.

    What a token is, is the model's affair, but the nats sum to ``-log P(text)`` all the same. So models that cut a text
    differently are compared by that sum over a number of the text that no model has a say in: of its words, which are
    what white space separates, or of its characters (Cotterell et al. 2018; Mielke 2019, "Can you compare perplexity
    across different segmentations?"). An end of line that is scored is a token, a word and a character. The nats are of
    one segmentation, the tokenizer's own; those of the text are no more. Where tokens are unknown, or a line does not
    come back from its tokens, they are of another, easier text, and ``open_vocabulary`` is false.
    """

    nats: float
    tokens: int
    oov: int
    characters: int
    policy: str
    streams: int = 1
    seconds: float = 0.0
    words: int = 0
    """Of the text as it was read; 0 if nobody counted."""
    lossy_lines: int = 0
    """Lines that their tokens do not give back."""

    @property
    def perplexity(self) -> float:
        """``exp(nats / tokens)``."""
        return perplexity(self.nats, self.tokens)

    @property
    def bits_per_character(self) -> float:
        """``nats / (characters · ln 2)``, whatever a token is; a line's end is a character."""
        return self.nats / (self.characters * math.log(2.0))

    @property
    def word_perplexity(self) -> float | None:
        """``exp(nats / words)``, whatever a token is; None where there are no words."""
        return perplexity(self.nats, self.words) if self.words else None

    @property
    def character_perplexity(self) -> float:
        """``exp(nats / characters)``, whatever a token is."""
        return perplexity(self.nats, self.characters)

    @property
    def open_vocabulary(self) -> bool:
        """Whether the nats are of the text itself: nothing was unknown, and all of it comes back from its tokens."""
        return not (self.oov or self.lossy_lines)

    def summary(self) -> dict[str, float | int | str | bool | None]:
        """The figures by name, as the command line prints them with ``--json``."""
        return {
            "perplexity": self.perplexity,
            "nats": self.nats,
            "tokens": self.tokens,
            "nats_per_token": self.nats / self.tokens,
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
        """One line for people."""
        kind = "one continuous stream" if self.streams == 1 else f"APPROXIMATE: {self.streams} streams side by side"
        return (
            f"perplexity {self.perplexity:.3f}{self.by_other_counts}  ({self.nats:.2f} nats over {self.counts}, "
            f"{self.bits_per_character:.4f} bits per character; {self.remarks}; {self.policy}; {kind}; "
            f"{self.seconds:.1f} s)"
        )

    @property
    def by_other_counts(self) -> str:
        """How the line goes on where a token is no word: ``" a token, 98.111 a word, 2.3102 a character"``."""
        if self.word_perplexity is None or self.words == self.tokens:
            return ""
        last = f", {self.character_perplexity:.4f} a character" if self.characters != self.tokens else ""
        return f" a token, {self.word_perplexity:.3f} a word{last}"

    @property
    def counts(self) -> str:
        """What the nats are divided by."""
        if not self.by_other_counts:
            return f"{self.tokens:,} tokens"
        return f"{self.tokens:,} tokens, {self.words:,} words and {self.characters:,} characters"

    @property
    def remarks(self) -> str:
        """What of the text is not in the nats."""
        found = [f"{self.oov:,} OOV"]
        if self.lossy_lines:
            found.append(f"{self.lossy_lines:,} lines do NOT come back from their tokens")
        if not self.open_vocabulary:
            found.append("not comparable with an open vocabulary")
        return ", ".join(found)


def perplexity(nats: float, tokens: int) -> float:
    """``exp(nats / tokens)``, infinite where that overflows, NaN where the nats are."""
    return math.inf if nats / tokens > 709.0 else math.exp(nats / tokens)


@functools.lru_cache(maxsize=8)
def scoring_function(model: LanguageModel) -> Callable[..., tuple[Tree, Array]]:
    """``(params, state, inputs, targets) -> (state, nats[T, B])``, compiled once per model and shape."""
    return jit(model.token_nats, donate_argnums=1)


def window_for(model: LanguageModel, streams: int) -> int:
    """Steps at a time, so that the logits of a window fit comfortably: a power of two from 16 to 1024."""
    steps = max(16, min(1024, LOGITS_AT_ONCE // (model.vocab_size * streams)))
    return 2 ** int(math.log2(steps))


def evaluate(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    streams: int = 1,
    progress: Callable[[int], object] = lambda tokens: None,
    mesh: Mesh | None = None,
) -> Evaluation:
    """Score every token of a text with carried state.

    Args:
        model: the model.
        params: its parameters.
        text: the text, encoded by ``vocabulary``.
        vocabulary: for the token before the first one, and for the policy that is printed beside the figure.
        streams: 1 for the exact figure; more cut the text into as many pieces.
        progress: told the number of tokens scored since its last call.
        mesh: where the parameters lie, if they are divided over devices.

    Raises:
        UserError: if the text is empty or of another vocabulary, or ``streams`` is not positive.
    """
    start = time.perf_counter()
    nats = text_nats(model, params, text, vocabulary, streams, progress, mesh)
    return evaluation_of(nats, text, vocabulary.describe(), time.perf_counter() - start, streams)


def evaluation_of(nats: np.ndarray, text: EncodedText, policy: str, seconds: float, streams: int = 1) -> Evaluation:
    """The figures of a text whose tokens have the given nats ``[N]``, however they came about."""
    return Evaluation(
        nats=math.fsum(nats),
        tokens=len(text),
        oov=text.oov,
        characters=text.characters,
        policy=policy,
        streams=streams,
        seconds=seconds,
        words=text.words,
        lossy_lines=text.lossy_lines,
    )


def text_nats(
    model: LanguageModel,
    params: LanguageModelParams,
    text: EncodedText,
    vocabulary: Vocabulary,
    streams: int = 1,
    progress: Callable[[int], object] = lambda tokens: None,
    mesh: Mesh | None = None,
) -> np.ndarray:
    """``-log P`` of every token of a text in nats, float64 ``[N]`` in its order; arguments are those of ``evaluate``.

    Raises:
        UserError: if the text is empty or of another vocabulary, or ``streams`` is not positive.
    """
    if streams < 1:
        raise UserError(f"streams must be positive, not {streams}: 1 is exact, more is an approximation")
    text.require_ids_below(model.vocab_size)
    if len(text) >= model.vocab_size:
        model, params = model.tabulated(params)
    score = scoring_function(model) if mesh is None else divided_scoring_function(mesh, model, streams)
    batches = StreamBatches(text.tokens, streams, window_for(model, streams), first_input=vocabulary.start_id)
    put = jnp.asarray if mesh is None else functools.partial(placed, sharding=everywhere(mesh))
    state = model.initial_state((streams,))
    if mesh is not None:
        state = placed_tree(state, stream_sharding(mesh, streams))
    parts: list[np.ndarray] = []
    for batch in batches:
        state, nats = score(params, state, put(batch.inputs), put(batch.targets))
        parts.append(np.asarray(nats, np.float64))
        progress(int(batch.mask.sum()))
    length = -(-len(text) // streams)  # of a stream, which is a column
    return np.concatenate(parts)[:length].T.reshape(-1)[: len(text)]
