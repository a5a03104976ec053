"""Metrics of some consecutive steps: loss, gradient norm, throughput and the times of steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.evaluation.perplexity import perplexity
from rnnlm_jax.training.step_clock import StepTime

PERCENTILES = (50, 90, 99)
#: Prefixes of the metrics that are measured by the clock, so that they differ between equal runs.
TIMING_PREFIXES = ("seconds", "tokens_per_second", "step_ms", "input_wait", "mfu", "goodput", "time_share")


class Capacity(NamedTuple):
    """The devices of a run, and the operations that they and the model make."""

    devices: int
    flops_per_token: float | None = None
    """Operations of training per token, see ``rnnlm_jax.language_model.flops``; None if unknown."""
    peak_flops: float | None = None
    """Peak operations per second of one device; None if unknown."""


class IntervalMetrics:
    """Sums over consecutive steps, from which the metrics are formed."""

    def __init__(
        self,
        nats: float = 0.0,
        tokens: int = 0,
        norms: Sequence[float] = (),
        penalties: Mapping[str, float] | None = None,
    ) -> None:
        """Start without steps, or with the ``sums`` of an interrupted run."""
        self.nats, self.tokens, self.norms, self.penalties = nats, tokens, list(norms), dict(penalties or {})
        self.tokens_before = tokens
        self.times: list[StepTime] = []

    def sums(self) -> dict[str, Any]:
        """Return the sums from which a resumed run continues; times are of this process alone."""
        sums = {"nats": self.nats, "tokens": self.tokens, "norms": list(self.norms)}
        return sums | ({"penalties": dict(self.penalties)} if self.penalties else {})

    def add(
        self, *, nats: float, tokens: int, norm: float, time: StepTime, penalties: Mapping[str, float] | None = None
    ) -> None:
        """Add a step: its summed loss, tokens, gradient norm before clipping, time, and terms added to the loss."""
        for name, value in (penalties or {}).items():
            self.penalties[name] = self.penalties.get(name, 0.0) + value
        self.nats += nats
        self.tokens += tokens
        self.norms.append(norm)
        self.times.append(time)

    @property
    def loss(self) -> float:
        """Mean loss per token."""
        return self.nats / max(self.tokens, 1)

    @property
    def seconds(self) -> float:
        """Sum of the times of the steps, without validation and checkpoints between them."""
        return sum(time.seconds for time in self.times)

    def figures(self, sampled: bool) -> dict[str, float]:
        """Return the mean loss, its perplexity, and the mean and largest gradient norm before clipping.

        A ``sampled`` loss is named ``sampled_loss`` and has no perplexity. Terms added to the loss are
        ``penalty_NAME``, the mean over the steps.
        """
        exact = {"nats_per_token": self.loss, "perplexity": perplexity(self.nats, max(self.tokens, 1))}
        return ({"sampled_loss": self.loss} if sampled else exact) | {
            "grad_norm": float(np.mean(self.norms)),
            "grad_norm_max": float(np.max(self.norms)),
            **{f"penalty_{name}": total / len(self.norms) for name, total in self.penalties.items()},
        }

    def rates(self, capacity: Capacity) -> dict[str, float]:
        """Return throughput, share of time spent waiting for input, and times of steps; empty without steps.

        ``mfu`` is the share of the devices' peak that the model's operations use (Chowdhery et al. 2022, appendix B);
        it is left out if the peak is unknown.
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
        # np.percentile gives the same, but takes a tenth of a small model's step.
        ms = np.sort([1e3 * time.seconds for time in self.times])
        ms = np.interp([p / 100 * (len(ms) - 1) for p in PERCENTILES], np.arange(len(ms)), ms)
        found |= {f"step_ms_p{p}": float(value) for p, value in zip(PERCENTILES, ms, strict=True)}
        if capacity.flops_per_token and capacity.peak_flops:
            found["mfu"] = capacity.flops_per_token * rate / (capacity.devices * capacity.peak_flops)
        return {name: value for name, value in found.items() if math.isfinite(value)}
