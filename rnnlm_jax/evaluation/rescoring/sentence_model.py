"""What a language model, or a mixture of several, makes of many sentences, each on its own."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison import Scorer, mixture_nll, require_same_vocabulary
from rnnlm_jax.evaluation.comparison.scorer import Progress, silent
from rnnlm_jax.evaluation.comparison.trained_run import TrainedRun
from rnnlm_jax.evaluation.rescoring.tree_scoring import lines_at_once, sentence_nll

#: Sentences given to models of counts at a time.
LINES = 4096


class SentenceModel:
    """Models that interpolate, ``P(w | past) = Σ_k λ_k P_k(w | past)`` for each token, asked for whole sentences.

    Every sentence is read from initial state, after the end of a line, and its own end is scored, where the
    vocabulary has such a token.
    """

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        """Take models of one vocabulary.

        Raises:
            UserError: if their vocabularies differ.
        """
        require_same_vocabulary(scorers)
        self.scorers = tuple(scorers)
        runs = [scorer.run for scorer in scorers if isinstance(scorer, TrainedRun)]
        self._lines = min([LINES, *(lines_at_once(run.model) for run in runs)])

    @property
    def vocabulary(self) -> Vocabulary:
        """That of all models."""
        return self.scorers[0].vocabulary

    def encode(self, texts: Sequence[str]) -> EncodedText:
        """The sentences as tokens.

        Raises:
            UserError: naming the sentence, for a token that is unknown where there is no unknown token.
        """
        try:
            return self.vocabulary.encode(texts)
        except UserError:
            for text in texts:
                try:
                    self.vocabulary.encode_line(text)
                except UserError as error:
                    raise UserError(f"{error}; it is in {_short(text)!r}") from None
            raise

    def token_nll(self, text: EncodedText) -> Float[np.ndarray, "K N"]:
        """``-log P_k`` of each token in nats, float64, by each model, each line on its own."""
        return np.concatenate([nats for _, nats in self._chunks(text)] or [np.zeros((len(self.scorers), 0))], axis=1)

    def log_probs(
        self, text: EncodedText, weights: Sequence[float], progress: Progress = silent
    ) -> Float[np.ndarray, "L"]:
        """``log P`` of each line in nats, float64 ``[L]``; memory does not grow with their tokens.

        Args:
            text: at least one line.
            weights: ``λ_k``, 0 or more and 1 in all.
            progress: told the number of tokens that one model has scored since its last call.
        """
        sums: list[np.ndarray] = []
        for chunk, nats in self._chunks(text, progress):
            mixed = mixture_nll(nats, np.array(weights, np.float64))
            line = np.repeat(np.arange(chunk.line_ends.size), np.diff(chunk.line_ends, prepend=0))
            sums.append(-np.bincount(line, mixed, chunk.line_ends.size))
        return np.concatenate(sums)

    def _chunks(self, text: EncodedText, progress: Progress = silent) -> Iterator[tuple[EncodedText, np.ndarray]]:
        each = [_sentence_function(scorer, len(text)) for scorer in self.scorers]
        for first in range(0, text.line_ends.size, self._lines):
            chunk = lines_between(text, first, first + self._lines)
            yield chunk, np.stack([nats(chunk, progress) for nats in each])


def _sentence_function(scorer: Scorer, tokens: int) -> Callable[[EncodedText, Progress], np.ndarray]:
    """Nats of each token of a text, each line on its own, for so many tokens in all."""
    if isinstance(scorer, TrainedRun):
        model, params = scorer.run.model, scorer.run.params
        if tokens >= model.vocab_size:
            model, params = model.tabulated(params)
        return lambda text, progress: sentence_nll(model, params, text, scorer.vocabulary, progress)
    if scorer.vocabulary.eos is not None:
        return scorer.token_nll

    def one_by_one(text: EncodedText, progress: Progress) -> np.ndarray:  # without ends of lines a text is one sentence
        lines = (lines_between(text, i, i + 1) for i in range(text.line_ends.size))
        return np.concatenate([scorer.token_nll(line, progress) for line in lines if len(line)] or [np.zeros(0)])

    return one_by_one


def lines_between(text: EncodedText, first: int, stop: int) -> EncodedText:
    """Some lines of a text, views of its tokens; what is counted of a text is not counted of a part."""
    start = int(text.line_ends[first - 1]) if first else 0
    ends = text.line_ends[first:stop]
    return EncodedText(text.tokens[start : int(ends[-1])], ends - start, 0, 0)


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
