"""Score a text by one model and measure the speed."""

import time
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.comparison.scorer import Scorer
from rnnlm_jax.system.progress import MakeProgressBar


@dataclass(frozen=True, eq=False)
class TimedScores:
    """Negative log-likelihoods of the tokens of a text, and the time that scoring took."""

    nll: Float[np.ndarray, "N"]
    """Nats of each token, float64."""
    seconds: float
    tokens_per_second: float
    """Without the first tokens, during which programs are compiled, if there are others."""


def timed_scores(scorer: Scorer, text: EncodedText, description: str, make_bar: MakeProgressBar) -> TimedScores:
    """Score a text, with a progress bar.

    Raises:
        DataError: if the nats of a token are NaN, or negative beyond rounding.
    """
    reports: list[tuple[float, int]] = []  # (time, tokens scored since the last report)
    start = time.perf_counter()
    with make_bar(description, len(text)) as bar:

        def report(tokens: int) -> None:
            reports.append((time.perf_counter(), tokens))
            bar.update(tokens)

        nll = scorer.token_nll(text, report)
    end = time.perf_counter()
    invalid = ~(nll >= -1e-3)
    if invalid.any():
        position = int(invalid.argmax())
        raise DataError(
            f"{scorer.name} gives {nll[position]} nats to token {position + 1:,} of the text, which is not a "
            "log-probability: train it anew"
        )
    after_first = len(text) - reports[0][1] if reports else 0
    measured_seconds = end - reports[0][0] if after_first > 0 else end - start
    return TimedScores(nll, end - start, (after_first or len(text)) / max(measured_seconds, 1e-9))
