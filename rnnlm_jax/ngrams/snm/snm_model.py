"""A sparse non-negative matrix language model (Shazeer, Pelemans & Chelba 2015)."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnlm_jax.data import EncodedText, Progress, Vocabulary, no_progress
from rnnlm_jax.ngrams.model_file import StoredModel, model_reader, write_model
from rnnlm_jax.ngrams.snm.feature_table import FeatureTable, concatenate_ranges
from rnnlm_jax.ngrams.snm.history_features import FeatureType, longest_history, state_features
from rnnlm_jax.ngrams.token_ids import checked_ids, checked_text_ids

KIND = "snm"

#: Number of tokens scored at a time, to bound memory.
CHUNK = 2**15


class SnmState(NamedTuple):
    """The history: the words read since the beginning of the sentence.

    Attributes:
        words: int32 ``[*B, C]``, nearest first; ``<s>`` is V, and entries before it are 0.
        length: int64 ``[*B]``, number of words, at most C; 0 before the first token.
    """

    words: np.ndarray
    length: np.ndarray


@dataclass(frozen=True, eq=False)
class SnmModel:
    """``P(w | h) = (u / V + Σ_{f ∈ F(h)} M_{f,w}) / (u + Σ_{f ∈ F(h)} Σ_v M_{f,v})`` with a sparse matrix ``M``.

    ``F(h)`` is the multiset of features of the history. ``u > 0`` is the weight of a uniform feature of every history,
    so that no word has probability 0. Sums over v are computed once for each feature. A sentence begins with ``<s>``:
    at the start of the text and after each end-of-line token; in a vocabulary without that token the text is one
    sentence. ``<s>`` is never predicted.

    Attributes:
        table: features, and the words seen after them.
        values: entries of ``M``, float32 ``[E]``, not negative.
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
        """The vocabulary of V words."""
        return self.table.vocabulary

    @property
    def order(self) -> int:
        """The length of the longest n-grams among the features."""
        return 1 + max((t.adjacent for t in self.table.types if not t.remote), default=0)

    @property
    def policy(self) -> str:
        """The tokens that are scored, in one line; perplexities are comparable only if it is the same."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """The number of entries of the matrix, as counted in the paper."""
        return self.values.size

    def describe(self) -> str:
        """The model in one line: source, features and entries of each type, boundaries and vocabulary."""
        table = self.table
        rows, entries = np.diff(table.row_starts), np.diff(table.starts[table.row_starts])
        sizes = ", ".join(f"{kind.name} {r:,}×{e:,}" for kind, r, e in zip(table.types, rows, entries, strict=True))
        start = "the text" if self.vocabulary.eos is None else "each line"
        return f"{self.source}; features×entries: {sizes}; one <s> before {start}; {self.policy}"

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> np.ndarray:
        """Return ``−ln P`` of each token of a text in nats, end-of-line tokens included, float64 ``[N]``.

        Args:
            text: text encoded by this vocabulary.
            progress: called with the number of tokens scored since the last call.

        Raises:
            DataError: the text has an id that is not in the vocabulary.
        """
        tokens = checked_text_ids(text, self.vocabulary.size)
        nats = np.empty(tokens.size)
        for begin in range(0, tokens.size, CHUNK):
            end = min(begin + CHUNK, tokens.size)
            matches = self.table.match(tokens, begin, end)
            positions = matches.positions - begin
            present = matches.entries >= 0
            shares = np.bincount(positions[present], self.values[matches.entries[present]], end - begin)
            totals = np.bincount(positions, self.row_sums[matches.rows], end - begin)
            # Rounding may give a probability above 1.
            ratio = (self.uniform / self.vocabulary.size + shares) / (self.uniform + totals)
            nats[begin:end] = -np.log(np.minimum(ratio, 1.0))
            progress(end - begin)
        return nats

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> SnmState:
        """Return the state before the first token."""
        return SnmState(
            np.zeros((*batch_shape, max(longest_history(self.table.types), 1)), np.int32),
            np.zeros(batch_shape, np.int64),
        )

    def log_probs(self, state: SnmState, token: ArrayLike) -> tuple[SnmState, np.ndarray]:
        """Read a token and return ``ln P`` of every next token; a pure function, in NumPy.

        As in every model of this library the first token read is ``Vocabulary.start_id``, before the text. An
        end-of-line token is read as ``<s>``, and in a vocabulary without one so is the first token.

        Args:
            state: state of histories ``[*B]``.
            token: ids ``[*B]``.

        Returns:
            The state after the token, and log-probabilities in nats, float64 ``[*B, V]``.

        Raises:
            ArgumentError: a token is not in the vocabulary.
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
        """Return ``P(· | history)``, ``[R, V]``."""
        size = self.vocabulary.size
        shares = np.full((len(lengths), size), self.uniform / size)
        totals = np.full(len(lengths), self.uniform)
        for occurrences in state_features(words, lengths, self.table.types):
            rows, seen = self.table.rows_of(occurrences)
            rows, histories = rows[seen], occurrences.positions[seen]
            entries, row_index = concatenate_ranges(self.table.starts[rows], self.table.starts[rows + 1])
            shares[histories[row_index], self.table.words[entries]] += self.values[entries]
            totals[histories] += self.row_sums[rows]
        return shares / totals[:, None]

    def save(self, path: str | Path) -> None:
        """Write the model to one file atomically; ``rnnlm_jax.ngrams.load`` reads it."""
        table = self.table
        arrays = {
            "row_starts": table.row_starts,
            "keys": table.keys,
            "starts": table.starts,
            "words": table.words,
            "values": self.values,
            "types": np.array([(t.adjacent, t.remote, t.nearest, t.farthest) for t in table.types]),
        }
        about = {"uniform": self.uniform, "source": self.source}
        write_model(path, KIND, self.vocabulary, about=about, arrays=arrays)


@model_reader(KIND)
def _read(stored: StoredModel) -> SnmModel:
    """Return the model of a file."""
    arrays = stored.arrays
    types = tuple(FeatureType(*numbers) for numbers in arrays["types"].tolist())
    table = FeatureTable(
        stored.vocabulary, types, arrays["row_starts"], arrays["keys"], arrays["starts"], arrays["words"]
    )
    return SnmModel(table, arrays["values"], stored.about["uniform"], stored.about["source"])
