"""The report on one validation and the training before it, for the terminal and the metrics file."""

import dataclasses
from typing import Any

from rnnlm_jax.evaluation.perplexity import Evaluation, perplexity


@dataclasses.dataclass(frozen=True)
class ValidationReport:
    """Figures of a validation, and of the training since the one before."""

    epochs: float
    """Passes over the training text done; whole at the end of an epoch."""
    step: int
    """Steps done."""
    learning_rate: float | None
    """Learning rate of the last step; None if it is not known."""
    train_loss: float
    """Mean training loss since the last validation, in nats per token; if ``sampled``, of the output layer's surrogate
    loss."""
    train_tokens: int
    """Tokens trained on since the last validation."""
    sampled: bool
    """Whether the training loss is a sampled surrogate."""
    valid: Evaluation
    averaged: bool
    """Whether the average of the parameters was evaluated."""
    tokens_per_second: float
    """Mean over the run."""
    seconds: float
    """Training time of the run so far."""
    skipped: int
    """Steps of the run skipped so far because loss or gradient was not finite."""
    rates: dict[str, float]
    """``IntervalMetrics.rates`` of the steps in this process since the last validation; empty if it made none."""
    ends: str = ""
    """Why training ends before its time; empty if it does not."""

    @property
    def train_perplexity(self) -> float | None:
        """``exp`` of the training loss; None if that is sampled, since it is then not a log-likelihood."""
        return None if self.sampled else perplexity(self.train_loss, 1)

    def record(self) -> dict[str, Any]:
        """Return the line of ``metrics.jsonl``."""
        return {
            "kind": "validation",
            "step": self.step,
            "epoch": int(self.epochs) if self.epochs == int(self.epochs) else self.epochs,
            "learning_rate": self.learning_rate,
            "train_tokens": self.train_tokens,
            "train_perplexity": self.train_perplexity,
            **({"train_sampled_loss": self.train_loss} if self.sampled else {}),
            "valid_perplexity": self.valid.perplexity,
            "valid_nats": self.valid.nll,
            "valid_tokens": self.valid.tokens,
            "averaged": self.averaged,
            "tokens_per_second": self.tokens_per_second,
            "seconds": self.seconds,
            "skipped": self.skipped,
            **{name: value for name, value in self.rates.items() if name != "tokens_per_second"},
        }
