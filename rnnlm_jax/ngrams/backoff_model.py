"""N-gram models in backoff form, that of ARPA files, in which every interpolated estimate can be written."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.data import EncodedText, Progress, Vocabulary, no_progress
from rnnlm_jax.ngrams.model_file import StoredModel, model_reader, write_model
from rnnlm_jax.ngrams.ngram_counts import NO_NGRAM, insert_bos
from rnnlm_jax.ngrams.token_ids import checked_ids, checked_text_ids

KIND = "backoff"

#: Number of tokens scored at a time, to bound memory.
CHUNK = 2**18


class Level(NamedTuple):
    """The n-grams of one order; an n-gram's number is its index among the sorted keys ``context · V + word``.

    Those of order 1 are the V words and, with number V, ``<s>``, whose probability is 0.
    """

    keys: Int[np.ndarray, "n"]
    log_prob: Float[np.ndarray, "n"]  # ln P(word | context), float64
    log_backoff: Float[np.ndarray, "n"]  # ln b(n-gram), for words not seen after it


@dataclass(frozen=True, eq=False)
class NgramModel:
    """A backoff model: ``P(w | h) = p(h w)`` if ``h w`` is among the n-grams, else ``b(h) · P(w | h')``.

    ``h'`` is ``h`` without its first word; an unseen context has ``b = 1``. A sentence begins with the context ``<s>``:
    at the start of the text and after each end-of-line token; in a vocabulary without that token the text is one
    sentence. ``<s>`` is never predicted, the end-of-line token is. The unknown token is a word like any other.

    Attributes:
        vocabulary: the V words.
        levels: n-grams of each order from 1 on.
        source: how the model was estimated, or the file it was read from, in one line.
    """

    vocabulary: Vocabulary
    levels: tuple[Level, ...]
    source: str

    @property
    def order(self) -> int:
        """The length n of the longest n-grams; the model reads n − 1 words of context."""
        return len(self.levels)

    @property
    def policy(self) -> str:
        """The tokens that are scored, in one line; perplexities are comparable only if it is the same."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """The number of n-grams of all orders without ``<s>``, as in Chelba et al. (2013)."""
        return sum(level.keys.size for level in self.levels) - 1

    def describe(self) -> str:
        """Return the source, the number of n-grams of each order, the boundaries and the vocabulary in one line."""
        sizes = ", ".join(f"{level.keys.size - (k == 1):,}" for k, level in enumerate(self.levels, 1))
        start = "the text" if self.vocabulary.eos is None else "each line"
        return f"{self.source}; {sizes} n-grams by order; one <s> before {start}; {self.vocabulary.describe()}"

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> Float[np.ndarray, "N"]:
        """Return ``−ln P`` of each token of a text in nats, end-of-line tokens included, float64.

        Args:
            text: text encoded by this vocabulary.
            progress: called with the number of tokens scored since the last call.

        Raises:
            DataError: the text has an id that is not in the vocabulary.
        """
        tokens = checked_text_ids(text, self.vocabulary.size)
        padded, positions = insert_bos(tokens, self.vocabulary.size, self.vocabulary.eos_id)
        nats = np.empty(tokens.size)
        for start in range(0, tokens.size, CHUNK):
            chunk = positions[start : start + CHUNK]
            # Contexts of the first tokens begin before the chunk.
            first = max(int(chunk[0]) - self.order, 0)
            scores = self._stream_log_probs(padded[first : int(chunk[-1]) + 1])
            nats[start : start + chunk.size] = -scores[chunk - first]
            progress(chunk.size)
        return nats

    def _stream_log_probs(self, words: np.ndarray) -> np.ndarray:
        """Return ``ln P`` of each word of a text with ``<s>`` inserted; −∞ for ``<s>``."""
        scores = self.levels[0].log_prob[words]
        contexts = words[:-1]  # number of the context of each word but the first, one word longer in each step
        for lower, level in zip(self.levels, self.levels[1:], strict=False):
            found = find_ngrams(level, contexts, words[1:], vocab_size=self.vocabulary.size)
            scores[1:] = values_at(level.log_prob, found, scores[1:] + values_at(lower.log_backoff, contexts, 0.0))
            contexts = np.concatenate([np.full(1, NO_NGRAM), found[:-1]])
        return scores

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> Int[np.ndarray, "*B C"]:
        """Return the state before the first token: the last C = max(n − 1, 1) words, all absent (``NO_NGRAM``)."""
        return np.full((*batch_shape, max(self.order - 1, 1)), NO_NGRAM, np.int32)

    def log_probs(
        self, state: Int[np.ndarray, "*B C"], token: ArrayLike
    ) -> tuple[Int[np.ndarray, "*B C"], Float[np.ndarray, "*B V"]]:
        """Read a token and return ``ln P`` of every next token; a pure function, in NumPy.

        As in every model of this library the first token read is ``Vocabulary.start_id``, before the text. An
        end-of-line token is read as ``<s>``, and in a vocabulary without one so is the first token.

        Args:
            state: state of histories ``[*B]``.
            token: ids ``[*B]``.

        Returns:
            The state after the token, and log-probabilities in nats, float64.

        Raises:
            ArgumentError: a token is not in the vocabulary.
        """
        size = self.vocabulary.size
        ids, state = checked_ids(token, size), np.asarray(state)
        eos = self.vocabulary.eos_id
        begins = state[..., -1] == NO_NGRAM if eos is None else ids == eos
        last = np.where(begins, size, ids)[..., None]
        before = np.where(begins[..., None], NO_NGRAM, state[..., 1:])
        new = np.concatenate([before, last], axis=-1).astype(np.int32)
        rows = new.reshape(-1, new.shape[-1])
        return new, self._next_log_probs(rows).reshape(*ids.shape, size)

    def _next_log_probs(self, contexts: np.ndarray) -> np.ndarray:
        """Return ``ln P(· | context)``, ``[R, V]``, of contexts ``[R, C]`` padded on the left."""
        size = self.vocabulary.size
        scores = np.tile(self.levels[0].log_prob[:size], (len(contexts), 1))
        for length, level in enumerate(self.levels[1:], 1):
            numbers = self.numbers(contexts[:, -length:])
            rows = np.flatnonzero(numbers != NO_NGRAM)
            known = numbers[rows].astype(np.int64)
            scores[rows] += self.levels[length - 1].log_backoff[known, None]
            # The n-grams of a context are consecutive.
            first, stop = (np.searchsorted(level.keys, key) for key in (known * size, (known + 1) * size))
            lengths = stop - first
            children = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
            scores[np.repeat(rows, lengths), level.keys[children] % size] = level.log_prob[children]
        return scores

    def numbers(self, ngrams: Int[np.ndarray, "R k"]) -> Int[np.ndarray, "R"]:
        """Return the number of each n-gram among those of its order, or ``NO_NGRAM``."""
        found = ngrams[:, 0]
        for level, words in zip(self.levels[1:], ngrams.T[1:], strict=False):
            found = find_ngrams(level, found, words, vocab_size=self.vocabulary.size)
        return found

    def words(self, order: int, numbers: Int[np.ndarray, "R"]) -> Int[np.ndarray, "R k"]:
        """Return the words of the n-grams of an order with given numbers; id V is ``<s>``."""
        columns = []
        for level in self.levels[order - 1 : 0 : -1]:
            keys = level.keys[numbers]
            columns.append(keys % self.vocabulary.size)
            numbers = keys // self.vocabulary.size
        return np.stack([numbers, *columns[::-1]], axis=-1)

    def save(self, path: str | Path) -> None:
        """Write the model to one file atomically; ``rnnlm_jax.ngrams.load`` reads it."""
        arrays = {
            f"{name}_{k}": getattr(level, name) for k, level in enumerate(self.levels, 1) for name in Level._fields
        }
        about = {"order": self.order, "source": self.source}
        write_model(path, KIND, self.vocabulary, about=about, arrays=arrays)


def find_ngrams(
    level: Level, contexts: Int[np.ndarray, "R"], words: Int[np.ndarray, "R"], *, vocab_size: int
) -> Int[np.ndarray, "R"]:
    """Return the number of each n-gram, given by context and word, or ``NO_NGRAM`` if the level does not have it.

    Contexts and words may be ``NO_NGRAM``; ``<s>`` (id V) does not follow any context.
    """
    found = np.full(contexts.shape, NO_NGRAM)
    possible = np.flatnonzero((contexts != NO_NGRAM) & (words != NO_NGRAM) & (words != vocab_size))
    if level.keys.size == 0 or possible.size == 0:
        return found
    wanted = contexts[possible].astype(np.int64) * vocab_size + words[possible]
    # Sorted searches access memory locally.
    order = np.argsort(wanted)
    wanted, possible = wanted[order], possible[order]
    indices = np.minimum(np.searchsorted(level.keys, wanted), level.keys.size - 1)
    present = level.keys[indices] == wanted
    found[possible[present]] = indices[present]
    return found


def values_at(
    values: Float[np.ndarray, "n"], numbers: Int[np.ndarray, "R"], default: np.ndarray | float
) -> Float[np.ndarray, "R"]:
    """Return the value of each n-gram given by number, and ``default`` where the number is ``NO_NGRAM``."""
    if values.size == 0:
        return np.broadcast_to(default, numbers.shape)
    return np.where(numbers == NO_NGRAM, default, values[numbers])


@model_reader(KIND)
def _read(stored: StoredModel) -> NgramModel:
    """Return the model of a file."""
    levels = tuple(
        Level(*(stored.arrays[f"{name}_{k}"] for name in Level._fields)) for k in range(1, stored.about["order"] + 1)
    )
    return NgramModel(stored.vocabulary, levels, stored.about["source"])
