"""What a model must be to stand in the comparison: something that gives nats to every token of a text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rnnlm_jax.data import EncodedText, Vocabulary

#: Told the number of tokens scored since its last call.
Progress = Callable[[int], object]


def silent(tokens: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class About:
    """What is known of a model besides its scores; None, or nothing, where it is not."""

    kind: str
    """What it is, in a few words."""
    training_seconds: float | None = None
    training_tokens_per_second: float | None = None
    horizon: str = ""
    """Words back at which the gradient has fallen to 1 %, or how many words back a model reads at all."""


@runtime_checkable
class Scorer(Protocol):
    """A language model of any sort, ``P(w_1 … w_N) = Π_t P(w_t | w_<t)``, as far as a comparison needs it."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """Which tokens it predicts, unknown tokens and ends of lines included."""
        ...

    @property
    def policy(self) -> str:
        """One line: what happens to unknown tokens, ends of lines and the past."""
        ...

    @property
    def parameter_count(self) -> int:
        """How many numbers it keeps."""
        ...

    @property
    def about(self) -> About:
        """What else is known of it."""
        ...

    def token_nll(self, text: EncodedText, progress: Progress = silent) -> np.ndarray:
        """``-log P(w_t | w_<t)`` of every token of a text in nats, float64 ``[N]``, in order, ends of lines included.

        The nats of a token depend on no token after it.
        """
        ...
