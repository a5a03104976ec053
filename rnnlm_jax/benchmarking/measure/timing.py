"""Timing of candidates in turn: each call is waited for; medians and quartiles are reported."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

#: Seconds of untimed calls before each timed one: threads of the previous library may still spin, and its arrays fill
#: the processor's caches. On two cores, after torch, a layer's short forward pass was up to twice as slow with 0.01.
SETTLING = 0.05


@dataclass(frozen=True)
class Timing:
    """Seconds of the first call, and median and quartiles of the later ones."""

    first: float
    median: float
    lower: float
    upper: float


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Call a function; return the seconds until its result is computed, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(run())
    return time.perf_counter() - start, result


def interleave(
    candidates: Mapping[str, Callable[[], Any]], repeats: int, firsts: Mapping[str, float] | None = None
) -> dict[str, Timing]:
    """Time functions in turn, A B A B …, so that changes of the machine's speed affect all alike.

    Args:
        candidates: functions by name.
        repeats: timed calls of each; before each, the same function runs untimed for ``SETTLING`` seconds.
        firsts: seconds of the first calls, if they have been made already.
    """
    first = dict(firsts) if firsts is not None else {name: timed(run)[0] for name, run in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            spent = 0.0
            while spent < SETTLING:
                spent += timed(run)[0]
            times[name].append(timed(run)[0])
    quartiles = {name: np.percentile(values, (50, 25, 75)) for name, values in times.items()}
    return {name: Timing(first[name], *map(float, quartiles[name])) for name in candidates}
