"""``SentenceModel``: log-probabilities of many sentences, each on its own, by one language model or a mixture."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import DataError, UserError
from rnnlm_jax.evaluation.comparison import Scorer, TrainedRun, mixture_nll, require_same_vocabulary
from rnnlm_jax.evaluation.rescoring.tree_scoring import max_lines, sentence_nll
from rnnlm_jax.system.progress import Progress, no_progress

#: Sentences scored at a time by n-gram models.
MAX_LINES = 4096


class SentenceModel:
    """Language models that interpolate for each token, ``P(w | context) = Σ_k λ_k P_k(w | context)``.

    Every sentence is read from the initial state, after an end of line. Its own end of line is scored if the vocabulary
    has one.
    """

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        """Keep the models.

        Args:
            scorers: K models of one vocabulary.

        Raises:
            DataError: if their vocabularies differ.
        """
        require_same_vocabulary(scorers)
        self.scorers = tuple(scorers)
        runs = [scorer.run for scorer in scorers if isinstance(scorer, TrainedRun)]
        self._chunk_lines = min([MAX_LINES, *(max_lines(run.model) for run in runs)])

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary of all models."""
        return self.scorers[0].vocabulary

    def encode(self, texts: Sequence[str]) -> EncodedText:
        """Return the sentences as tokens.

        Raises:
            DataError: names the sentence with an unknown token, if the vocabulary has no unknown token.
        """
        try:
            return self.vocabulary.encode(texts)
        except UserError:
            for text in texts:
                try:
                    self.vocabulary.encode_line(text)
                except UserError as error:
                    raise DataError(f"{error}; it is in {_shortened(text)!r}") from None
            raise

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> Float[np.ndarray, "K N"]:
        """Return ``-ln P_k`` of each token by each model in nats, float64, each line on its own.

        Args:
            text: one sentence per line.
            progress: called with the number of tokens that one model has scored since its last call.
        """
        parts = [nll for _, nll in self._chunks(text, progress)]
        return np.concatenate(parts or [np.zeros((len(self.scorers), 0))], axis=1)

    def log_probs(
        self, text: EncodedText, weights: Sequence[float], progress: Progress = no_progress
    ) -> Float[np.ndarray, "L"]:
        """Return ``ln P`` of each line in nats, float64; memory does not grow with the number of tokens.

        Args:
            text: at least one line.
            weights: mixture weights ``λ_k``, at least 0, with sum 1.
            progress: called with the number of tokens that one model has scored since its last call.
        """
        sums: list[np.ndarray] = []
        for chunk, nll in self._chunks(text, progress):
            mixed = mixture_nll(nll, np.array(weights, np.float64))
            line = np.repeat(np.arange(chunk.line_ends.size), np.diff(chunk.line_ends, prepend=0))
            sums.append(-np.bincount(line, mixed, chunk.line_ends.size))
        return np.concatenate(sums)

    def _chunks(self, text: EncodedText, progress: Progress = no_progress) -> Iterator[tuple[EncodedText, np.ndarray]]:
        """Yield some lines at a time with the nats of their tokens, ``[K, N]``."""
        functions = [_sentence_function(scorer, len(text)) for scorer in self.scorers]
        for first in range(0, text.line_ends.size, self._chunk_lines):
            chunk = lines_between(text, first, first + self._chunk_lines)
            yield chunk, np.stack([function(chunk, progress) for function in functions])


def _sentence_function(scorer: Scorer, tokens: int) -> Callable[[EncodedText, Progress], np.ndarray]:
    """Return a function that gives the nats of each token, each line on its own; ``tokens`` is the total to score."""
    if isinstance(scorer, TrainedRun):
        model, params = scorer.run.model, scorer.run.params
        if tokens >= model.vocab_size:
            model, params = model.tabulated(params)
        return lambda text, progress: sentence_nll(model, params, text, scorer.vocabulary, progress=progress)
    if scorer.vocabulary.eos is not None:
        return scorer.token_nll

    def line_by_line(text: EncodedText, progress: Progress) -> np.ndarray:  # without ends of lines all is one sentence
        lines = (lines_between(text, i, i + 1) for i in range(text.line_ends.size))
        return np.concatenate([scorer.token_nll(line, progress) for line in lines if len(line)] or [np.zeros(0)])

    return line_by_line


def lines_between(text: EncodedText, first: int, stop: int) -> EncodedText:
    """Return the lines ``first`` … ``stop - 1`` as views of the tokens; counts of the text are not counted anew."""
    start = int(text.line_ends[first - 1]) if first else 0
    ends = text.line_ends[first:stop]
    return EncodedText(text.tokens[start : int(ends[-1])], ends - start, 0, 0)


def _shortened(text: str, max_length: int = 60) -> str:
    return text if len(text) <= max_length else text[: max_length - 1] + "…"
