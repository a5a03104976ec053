"""An n-gram model in backoff form: what an ARPA file says, and what every interpolated estimate can be written as."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.ngrams.model_file import StoredModel, model_reader, write_model
from rnnlm_jax.ngrams.ngram_counts import NO_NGRAM, insert_bos
from rnnlm_jax.ngrams.token_ids import checked_ids, checked_text_ids

KIND = "backoff"

#: Tokens scored at a time, so that memory does not grow with the text.
CHUNK = 2**18


class Level(NamedTuple):
    """The n-grams of one order, numbered by their place among the sorted keys ``context · V + word``.

    For order 1 they are the V words and, numbered V, ``<s>``, which has no probability.
    """

    keys: Int[np.ndarray, "n"]
    log_prob: Float[np.ndarray, "n"]  # ln P(word | context), float64
    log_backoff: Float[np.ndarray, "n"]  # ln b(n-gram), for words that were not seen after it


@dataclass(frozen=True, eq=False)
class NgramModel:
    """``P(w | h) = p(h w)`` where ``h w`` is among the n-grams, else ``b(h) · P(w | h')``.

    ``h'`` is ``h`` without its first word; a context that was never seen has ``b = 1``. At the start of a sentence a
    context is one ``<s>``: at the start of the text, and after each end-of-line token. In a vocabulary without such a
    token the text is one sentence. ``<s>`` is never predicted, the end-of-line token is. Words that the vocabulary
    lacks are its unknown token, which is a word like any other.

    Attributes:
        vocabulary: V words.
        levels: one an order.
        source: how the model was estimated, or where it was read, in one line.
    """

    vocabulary: Vocabulary
    levels: tuple[Level, ...]
    source: str

    @property
    def order(self) -> int:
        """The longest n-grams: n − 1 words of context are read."""
        return len(self.levels)

    @property
    def policy(self) -> str:
        """Which tokens are scored, in one line: perplexities compare only where it is the same."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """The number of n-grams of all orders, as Chelba et al. (2013) count; ``<s>`` is none."""
        return sum(level.keys.size for level in self.levels) - 1

    def describe(self) -> str:
        """The model in one line: source, n-grams of each order, boundaries and vocabulary."""
        sizes = ", ".join(f"{level.keys.size - (k == 1):,}" for k, level in enumerate(self.levels, 1))
        start = "the text" if self.vocabulary.eos is None else "each line"
        return f"{self.source}; {sizes} n-grams by order; one <s> before {start}; {self.vocabulary.describe()}"

    def token_nats(
        self, text: EncodedText, progress: Callable[[int], object] = lambda tokens: None
    ) -> Float[np.ndarray, "N"]:
        """``−ln P`` of each token of a text in nats, end-of-line tokens included, float64.

        Args:
            text: encoded by this vocabulary.
            progress: told the number of tokens scored since its last call.

        Raises:
            DataError: if the text has an id that the vocabulary lacks.
        """
        tokens = checked_text_ids(text, self.vocabulary.size)
        padded, places = insert_bos(tokens, self.vocabulary.size, self.vocabulary.eos_id)
        nats = np.empty(tokens.size)
        for start in range(0, tokens.size, CHUNK):
            chunk = places[start : start + CHUNK]
            # The contexts of the first tokens begin before them.
            first = max(int(chunk[0]) - self.order, 0)
            scores = self._stream_log_probs(padded[first : int(chunk[-1]) + 1])
            nats[start : start + chunk.size] = -scores[chunk - first]
            progress(chunk.size)
        return nats

    def _stream_log_probs(self, words: np.ndarray) -> np.ndarray:
        """``ln P`` of each word of a padded text after those before it; ``<s>`` gets −∞."""
        scores = self.levels[0].log_prob[words]
        contexts = words[:-1]  # by number, of each word but the first; one word longer each time
        for lower, level in zip(self.levels, self.levels[1:], strict=False):
            found = find_ngrams(level, contexts, words[1:], self.vocabulary.size)
            scores[1:] = values_at(level.log_prob, found, scores[1:] + values_at(lower.log_backoff, contexts, 0.0))
            contexts = np.concatenate([np.full(1, NO_NGRAM), found[:-1]])
        return scores

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> Int[np.ndarray, "*B C"]:
        """What has been read before anything was: the last C = max(n − 1, 1) words, none of them known."""
        return np.full((*batch_shape, max(self.order - 1, 1)), NO_NGRAM, np.int32)

    def log_probs(
        self, state: Int[np.ndarray, "*B C"], token: Int[np.ndarray, "*B"]
    ) -> tuple[Int[np.ndarray, "*B C"], Float[np.ndarray, "*B V"]]:
        """Read a token and give ``ln P`` of every next one, which sum to 1; a pure function, in NumPy.

        As for every model here, what is read first stands before the text (``Vocabulary.start_id``): the end-of-line
        token is read as ``<s>``, and so is the very first token in a vocabulary without one.

        Returns:
            the state after the token, and float64 log-probabilities.

        Raises:
            DataError: if a token is not in the vocabulary.
        """
        size = self.vocabulary.size
        token, state = checked_ids(token, size), np.asarray(state)
        eos = self.vocabulary.eos_id
        begins = state[..., -1] == NO_NGRAM if eos is None else token == eos
        last = np.where(begins, size, token)[..., None]
        before = np.where(begins[..., None], NO_NGRAM, state[..., 1:])
        new = np.concatenate([before, last], axis=-1).astype(np.int32)
        rows = new.reshape(-1, new.shape[-1])
        return new, self._next_log_probs(rows).reshape(*token.shape, size)

    def _next_log_probs(self, contexts: np.ndarray) -> np.ndarray:
        """``ln P(· | context)``, ``[R, V]``, of contexts ``[R, C]`` padded on the left."""
        size = self.vocabulary.size
        scores = np.tile(self.levels[0].log_prob[:size], (len(contexts), 1))
        for length, level in enumerate(self.levels[1:], 1):
            numbers = self.numbers(contexts[:, -length:])
            rows = np.flatnonzero(numbers != NO_NGRAM)
            known = numbers[rows].astype(np.int64)
            scores[rows] += self.levels[length - 1].log_backoff[known, None]
            # The n-grams of a context stand together.
            first, stop = (np.searchsorted(level.keys, key) for key in (known * size, (known + 1) * size))
            lengths = stop - first
            children = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
            scores[np.repeat(rows, lengths), level.keys[children] % size] = level.log_prob[children]
        return scores

    def numbers(self, ngrams: Int[np.ndarray, "R k"]) -> Int[np.ndarray, "R"]:
        """The number of each n-gram among those of its order, or ``NO_NGRAM``."""
        found = ngrams[:, 0]
        for level, words in zip(self.levels[1:], ngrams.T[1:], strict=False):
            found = find_ngrams(level, found, words, self.vocabulary.size)
        return found

    def words(self, order: int, numbers: Int[np.ndarray, "R"]) -> Int[np.ndarray, "R k"]:
        """The words of n-grams of an order, given by number; id V is ``<s>``."""
        columns = []
        for level in self.levels[order - 1 : 0 : -1]:
            keys = level.keys[numbers]
            columns.append(keys % self.vocabulary.size)
            numbers = keys // self.vocabulary.size
        return np.stack([numbers, *columns[::-1]], axis=-1)

    def save(self, path: str | Path) -> None:
        """Write the model to one file, the whole of it or nothing; ``rnnlm_jax.ngrams.load`` reads it."""
        arrays = {
            f"{name}_{k}": getattr(level, name) for k, level in enumerate(self.levels, 1) for name in Level._fields
        }
        about = {"order": self.order, "source": self.source}
        write_model(path, KIND, self.vocabulary, about, arrays)


def find_ngrams(
    level: Level, contexts: Int[np.ndarray, "R"], words: Int[np.ndarray, "R"], vocab_size: int
) -> Int[np.ndarray, "R"]:
    """The number of each pair of context and word, or ``NO_NGRAM`` where it is no n-gram of the level.

    A context may be ``NO_NGRAM``, and so may a word; ``<s>`` (id V) is found in no context.
    """
    found = np.full(contexts.shape, NO_NGRAM)
    possible = np.flatnonzero((contexts != NO_NGRAM) & (words != NO_NGRAM) & (words != vocab_size))
    if level.keys.size == 0 or possible.size == 0:
        return found
    wanted = contexts[possible].astype(np.int64) * vocab_size + words[possible]
    # Searches in order stay near each other in memory.
    order = np.argsort(wanted)
    wanted, possible = wanted[order], possible[order]
    places = np.minimum(np.searchsorted(level.keys, wanted), level.keys.size - 1)
    there = level.keys[places] == wanted
    found[possible[there]] = places[there]
    return found


def values_at(
    values: Float[np.ndarray, "n"], numbers: Int[np.ndarray, "R"], otherwise: np.ndarray | float
) -> Float[np.ndarray, "R"]:
    """The value of each n-gram given by number, and another where the number is ``NO_NGRAM``."""
    if values.size == 0:
        return np.broadcast_to(otherwise, numbers.shape)
    return np.where(numbers == NO_NGRAM, otherwise, values[numbers])


@model_reader(KIND)
def _read(stored: StoredModel) -> NgramModel:
    """A model out of its file."""
    levels = tuple(
        Level(*(stored.arrays[f"{name}_{k}"] for name in Level._fields)) for k in range(1, stored.about["order"] + 1)
    )
    return NgramModel(stored.vocabulary, levels, stored.about["source"])
