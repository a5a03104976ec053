"""The report on one epoch, for the terminal and the metrics file."""

import dataclasses
from typing import Any

from rnnlm_jax.evaluation.perplexity import Evaluation, perplexity


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """Training and validation figures of one epoch."""

    epoch: int
    """Number of the epoch, from 1."""
    step: int
    """Steps done at its end."""
    learning_rate: float
    train_loss: float
    """Mean training loss during the epoch, in nats per token; if ``sampled``, the output layer's surrogate loss."""
    train_tokens: int
    sampled: bool
    """Whether the training loss is a sampled surrogate."""
    valid: Evaluation
    tokens_per_second: float
    """Mean over the run."""
    seconds: float
    """Training time of the run so far."""
    skipped: int
    """Steps of the run skipped so far because loss or gradient was not finite."""
    rates: dict[str, float]
    """``IntervalMetrics.rates`` of the epoch's steps in this process; empty if it made none."""

    @property
    def train_perplexity(self) -> float | None:
        """``exp`` of the training loss; None if that is sampled, since it is then not a log-likelihood."""
        return None if self.sampled else perplexity(self.train_loss, 1)

    def record(self) -> dict[str, Any]:
        """Return the line of ``metrics.jsonl``."""
        return {
            "kind": "epoch",
            "step": self.step,
            "epoch": self.epoch,
            "learning_rate": self.learning_rate,
            "train_tokens": self.train_tokens,
            "train_perplexity": self.train_perplexity,
            **({"train_sampled_loss": self.train_loss} if self.sampled else {}),
            "valid_perplexity": self.valid.perplexity,
            "valid_nats": self.valid.nll,
            "valid_tokens": self.valid.tokens,
            "tokens_per_second": self.tokens_per_second,
            "seconds": self.seconds,
            "skipped": self.skipped,
            **{name: value for name, value in self.rates.items() if name != "tokens_per_second"},
        }
