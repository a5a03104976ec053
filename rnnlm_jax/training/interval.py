"""What some steps came to together: loss, gradient, rates, the times of steps, and how much of them was waiting."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.evaluation.perplexity import perplexity
from rnnlm_jax.training.step_clock import StepTime

PERCENTILES = (50, 90, 99)
#: What the names of figures begin with that no two runs have alike.
OF_THE_CLOCK = ("seconds", "tokens_per_second", "step_ms", "input_wait", "mfu")


class Capacity(NamedTuple):
    """What rates are held against."""

    devices: int
    flops_per_token: float | None = None
    """Of training, see ``rnnlm_jax.language_model.flops``."""
    peak_flops: float | None = None
    """Of one device, a second; None where it is not known."""


class Interval:
    """Sums over some steps."""

    def __init__(self, nats: float = 0.0, tokens: int = 0, norms: Sequence[float] = ()) -> None:
        """Of no step yet, or of those that an interrupted run had ``sums`` of."""
        self.nats, self.tokens, self.norms = nats, tokens, list(norms)
        self.tokens_before = tokens
        self.times: list[StepTime] = []

    def sums(self) -> dict[str, Any]:
        """What a resumed run goes on from; times are of this process alone."""
        return {"nats": self.nats, "tokens": self.tokens, "norms": list(self.norms)}

    def add(self, nats: float, tokens: int, norm: float, time: StepTime) -> None:
        """Account for a step."""
        self.nats += nats
        self.tokens += tokens
        self.norms.append(norm)
        self.times.append(time)

    @property
    def loss(self) -> float:
        """A token."""
        return self.nats / max(self.tokens, 1)

    @property
    def seconds(self) -> float:
        """That the steps took, without what was between them."""
        return sum(time.seconds for time in self.times)

    def figures(self, sampled: bool) -> dict[str, float]:
        """Means over the interval; the gradient norm before clipping also at its largest.

        A ``sampled`` loss is called that, and has no perplexity.
        """
        exact = {"nats_per_token": self.loss, "perplexity": perplexity(self.nats, max(self.tokens, 1))}
        return ({"sampled_loss": self.loss} if sampled else exact) | {
            "grad_norm": float(np.mean(self.norms)),
            "grad_norm_max": float(np.max(self.norms)),
        }

    def rates(self, capacity: Capacity) -> dict[str, float]:
        """How fast it went: empty without steps.

        ``mfu`` is the share of the devices' peak that the model's own operations come to (Chowdhery et al. 2022,
        appendix B); there is none where the peak is not known.
        """
        seconds = self.seconds
        if not self.times or not seconds > 0:
            return {}
        rate = (self.tokens - self.tokens_before) / seconds
        found = {
            "tokens_per_second": rate,
            "tokens_per_second_per_device": rate / capacity.devices,
            "input_wait": sum(time.waited for time in self.times) / seconds,
        }
        # As np.percentile, which takes a tenth of a small model's step.
        taken = np.sort([1e3 * time.seconds for time in self.times])
        taken = np.interp([p / 100 * (len(taken) - 1) for p in PERCENTILES], np.arange(len(taken)), taken)
        found |= {f"step_ms_p{p}": float(ms) for p, ms in zip(PERCENTILES, taken, strict=True)}
        if capacity.flops_per_token and capacity.peak_flops:
            found["mfu"] = capacity.flops_per_token * rate / (capacity.devices * capacity.peak_flops)
        return {name: value for name, value in found.items() if math.isfinite(value)}
