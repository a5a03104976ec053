"""``Scorer``, the contract of a model that can be compared: it gives ``-ln P`` of every token of a text."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.system.progress import Progress, no_progress


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model for tables; None or "" where unknown."""

    kind: str
    """Type of the model, in a few words."""
    training_seconds: float | None = None
    training_tokens_per_second: float | None = None
    horizon: str = ""
    """Number of words back at which the gradient has fallen to 1 %, or the number of words that the model reads."""


@runtime_checkable
class Scorer(Protocol):
    """Language model of any kind, ``P(w_1 … w_N) = Π_t P(w_t | w_<t)``."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """Predicted tokens, including the unknown token and the end of line."""
        ...

    @property
    def policy(self) -> str:
        """One line on unknown tokens, ends of lines and the context."""
        ...

    @property
    def parameter_count(self) -> int:
        """Number of stored parameters."""
        ...

    @property
    def info(self) -> ModelInfo:
        """Other facts for tables."""
        ...

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> Float[np.ndarray, "N"]:
        """Return ``-ln P(w_t | w_<t)`` of every token of a text, ends of lines included.

        Args:
            text: text encoded by ``vocabulary``.
            progress: called with the number of tokens scored since its last call.

        Returns:
            Nats, float64 ``[N]``, in the order of the text. They do not depend on later tokens.
        """
        ...
