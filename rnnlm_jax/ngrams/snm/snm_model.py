"""A sparse non-negative matrix language model (Shazeer, Pelemans & Chelba 2015)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.ngrams.model_file import StoredModel, model_reader, write_model
from rnnlm_jax.ngrams.snm.feature_table import FeatureTable, concatenate_ranges
from rnnlm_jax.ngrams.snm.history_features import FeatureType, longest_history, state_features
from rnnlm_jax.ngrams.token_ids import checked_ids, checked_text_ids

KIND = "snm"

#: Tokens scored at a time, so that memory does not grow with the text.
CHUNK = 2**15


class SnmState(NamedTuple):
    """What was read of the sentence.

    Attributes:
        words: int32 ``[*B, C]``, the nearest first; the start of the sentence is V, and what is before it, 0.
        length: int64 ``[*B]``, how many of them there are, at most C; 0: nothing was read at all.
    """

    words: np.ndarray
    length: np.ndarray


@dataclass(frozen=True, eq=False)
class SnmModel:
    """``P(w | h) = (u / V + Σ_{f ∈ F(h)} M_{f,w}) / (u + Σ_{f ∈ F(h)} Σ_v M_{f,v})``, and ``M`` is sparse.

    ``F(h)`` are the features of the history, those that it holds more than once counted so. ``u > 0`` belongs to a
    feature of every history that gives each of the V words the same, so that no word is impossible. Sums over v are
    formed once for each feature. A history begins with one ``<s>``, at the start of the text and after each
    end-of-line token; in a vocabulary without such a token the text is one sentence. ``<s>`` is never predicted.

    Attributes:
        table: the features, and the words that were seen after them.
        values: ``M``, float32 ``[E]``, not negative.
        uniform: u.
        source: how the model was estimated, in one line.
    """

    table: FeatureTable
    values: np.ndarray
    uniform: float
    source: str

    @cached_property
    def row_sums(self) -> np.ndarray:
        """``Σ_v M_{f,v}`` of each feature, float64 ``[R]``."""
        return np.add.reduceat(self.values, self.table.starts[:-1], dtype=np.float64)

    @property
    def vocabulary(self) -> Vocabulary:
        """V words."""
        return self.table.vocabulary

    @property
    def order(self) -> int:
        """The longest n-grams among the features."""
        return 1 + max((t.adjacent for t in self.table.types if not t.remote), default=0)

    @property
    def policy(self) -> str:
        """Which tokens are scored, in one line: perplexities compare only where it is the same."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """The entries of the matrix, as the paper counts."""
        return self.values.size

    def describe(self) -> str:
        """The model in one line: source, features and entries of each type, boundaries and vocabulary."""
        table = self.table
        rows, entries = np.diff(table.row_starts), np.diff(table.starts[table.row_starts])
        sizes = ", ".join(f"{kind.name} {r:,}×{e:,}" for kind, r, e in zip(table.types, rows, entries, strict=True))
        start = "the text" if self.vocabulary.eos is None else "each line"
        return f"{self.source}; features×entries: {sizes}; one <s> before {start}; {self.policy}"

    def token_nats(self, text: EncodedText, progress: Callable[[int], object] = lambda tokens: None) -> np.ndarray:
        """``−ln P`` of each token of a text in nats, end-of-line tokens included, float64 ``[N]``.

        Args:
            text: encoded by this vocabulary.
            progress: told the number of tokens scored since its last call.

        Raises:
            DataError: if the text has an id that the vocabulary lacks.
        """
        tokens = checked_text_ids(text, self.vocabulary.size)
        nats = np.empty(tokens.size)
        for begin in range(0, tokens.size, CHUNK):
            end = min(begin + CHUNK, tokens.size)
            met = self.table.match(tokens, begin, end)
            events = met.places - begin
            both = met.entries >= 0
            shares = np.bincount(events[both], self.values[met.entries[both]], end - begin)
            totals = np.bincount(events, self.row_sums[met.rows], end - begin)
            # The sums of a word's shares and of all shares may differ in the last digit: no probability above 1.
            ratio = (self.uniform / self.vocabulary.size + shares) / (self.uniform + totals)
            nats[begin:end] = -np.log(np.minimum(ratio, 1.0))
            progress(end - begin)
        return nats

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> SnmState:
        """The state before anything was read."""
        return SnmState(
            np.zeros((*batch_shape, max(longest_history(self.table.types), 1)), np.int32),
            np.zeros(batch_shape, np.int64),
        )

    def log_probs(self, state: SnmState, token: np.ndarray) -> tuple[SnmState, np.ndarray]:
        """Read a token and give ``ln P`` of every next one, which sum to 1; a pure function, in NumPy.

        As for every model here, what is read first stands before the text (``Vocabulary.start_id``): the end-of-line
        token is read as ``<s>``, and so is the very first token in a vocabulary without one.

        Args:
            state: of histories ``[*B]``.
            token: ids ``[*B]``.

        Returns:
            the state after the token, and log-probabilities in nats, float64 ``[*B, V]``.

        Raises:
            DataError: if a token is not in the vocabulary.
        """
        size = self.vocabulary.size
        token, state = checked_ids(token, size), SnmState(*map(np.asarray, state))
        eos = self.vocabulary.eos_id
        begins = state.length == 0 if eos is None else (token == eos) | (state.length == 0)
        words = np.concatenate([np.where(begins, size, token)[..., None], state.words[..., :-1]], axis=-1)
        length = np.where(begins, 1, np.minimum(state.length + 1, words.shape[-1]))
        new = SnmState(words.astype(np.int32), length)
        rows = self._next_probabilities(words.reshape(-1, words.shape[-1]), length.reshape(-1))
        return new, np.log(rows).reshape(*token.shape, size)

    def _next_probabilities(self, words: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """``P(· | history)``, ``[R, V]``."""
        size = self.vocabulary.size
        shares = np.full((len(lengths), size), self.uniform / size)
        totals = np.full(len(lengths), self.uniform)
        for slot in state_features(words, lengths, self.table.types):
            rows, seen = self.table.rows_of(slot)
            rows, places = rows[seen], slot.places[seen]
            entries, of = concatenate_ranges(self.table.starts[rows], self.table.starts[rows + 1])
            shares[places[of], self.table.words[entries]] += self.values[entries]
            totals[places] += self.row_sums[rows]
        return shares / totals[:, None]

    def save(self, path: str | Path) -> None:
        """Write the model to one file, the whole of it or nothing; ``rnnlm_jax.ngrams.load`` reads it."""
        table = self.table
        arrays = {
            "row_starts": table.row_starts,
            "keys": table.keys,
            "starts": table.starts,
            "words": table.words,
            "values": self.values,
            "types": np.array([(t.adjacent, t.remote, t.nearest, t.farthest) for t in table.types]),
        }
        write_model(path, KIND, self.vocabulary, {"uniform": self.uniform, "source": self.source}, arrays)


@model_reader(KIND)
def _read(stored: StoredModel) -> SnmModel:
    """A model out of its file."""
    arrays = stored.arrays
    types = tuple(FeatureType(*numbers) for numbers in arrays["types"].tolist())
    table = FeatureTable(
        stored.vocabulary, types, arrays["row_starts"], arrays["keys"], arrays["starts"], arrays["words"]
    )
    return SnmModel(table, arrays["values"], stored.about["uniform"], stored.about["source"])
