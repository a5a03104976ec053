"""The nats that a model gives to a text, and how fast."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.scorer import Scorer

#: (what, tokens to read) -> a progress bar
Bar = Callable[[str, int], AbstractContextManager[Any]]


@dataclass(frozen=True, eq=False)
class Measured:
    """A model's nats of every token, and the time that they took."""

    nats: np.ndarray
    """float64 ``[N]``."""
    seconds: float
    tokens_per_second: float
    """Without the first tokens, during which programs are compiled, where there were more."""


def measure(scorer: Scorer, text: EncodedText, what: str, bar: Bar) -> Measured:
    """Score a text, under a progress bar.

    Raises:
        UserError: if a token's nats are no number, or negative beyond rounding.
    """
    heard: list[tuple[float, int]] = []
    start = time.perf_counter()
    with bar(what, len(text)) as progress:

        def tell(tokens: int) -> None:
            heard.append((time.perf_counter(), tokens))
            progress.update(tokens)

        nats = scorer.token_nll(text, tell)
    end = time.perf_counter()
    wrong = ~(nats >= -1e-3)
    if wrong.any():
        place = int(wrong.argmax())
        raise UserError(
            f"{scorer.name} gives {nats[place]} nats to token {place + 1:,} of the text, which is no probability: "
            "train it anew"
        )
    after_first = len(text) - heard[0][1] if heard else 0
    since = end - heard[0][0] if after_first > 0 else end - start
    return Measured(nats, end - start, (after_first or len(text)) / max(since, 1e-9))
