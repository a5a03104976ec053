"""What an epoch came to, for people and for the metrics file."""

import dataclasses
from typing import Any

from rnnlm_jax.evaluation.perplexity import Evaluation, perplexity


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """What an epoch came to."""

    epoch: int
    step: int
    learning_rate: float
    train_loss: float
    """A token, over the epoch, while parameters changed: nats, or the sampled loss of the output layer."""
    train_tokens: int
    sampled: bool
    valid: Evaluation
    tokens_per_second: float
    seconds: float
    skipped: int
    rates: dict[str, float]
    """Of the epoch's steps in this process, see ``Interval.rates``; empty if there were none."""

    @property
    def train_perplexity(self) -> float | None:
        """``exp`` of the loss; None where that is sampled, and no nats of anything."""
        return None if self.sampled else perplexity(self.train_loss, 1)

    def record(self) -> dict[str, Any]:
        """The line of ``metrics.jsonl``."""
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
