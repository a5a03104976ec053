"""Honest timing: compiled first, blocked on the timed result, candidates interleaved, median with spread."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds: of the first call (compilation included), and quartiles of the later ones."""

    first: float
    median: float
    lower: float
    upper: float


def interleave(candidates: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Timing]:
    """Time functions in turn, A B A B …, so that a machine whose speed drifts is fair to all."""
    first = {name: _seconds(run) for name, run in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            times[name].append(_seconds(run))
    quartiles = {name: np.percentile(values, (50, 25, 75)) for name, values in times.items()}
    return {name: Timing(first[name], *map(float, quartiles[name])) for name in candidates}


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start
