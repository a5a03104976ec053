"""Measurements of comparisons: one row per candidate, and geometric means over rows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rnnlm_jax.benchmarking.measure.candidate import FLOOR, OURS, Candidate, Comparison
from rnnlm_jax.benchmarking.measure.timing import Timing


@dataclass(frozen=True)
class Row:
    """Measurements of one candidate; times in seconds."""

    group: str
    cell: str
    job: str
    sizes: Mapping[str, int]
    name: str
    compile_seconds: float | None
    first: float
    median: float
    lower: float
    upper: float
    tokens_per_second: float
    gflop_per_second: float
    """By the same analytic count for all candidates, whatever they compute."""
    share_of_floor: float | None
    """Time of the matrix products alone, divided by this time; None for a comparison without a floor."""
    memory_bytes: int | None
    ratio: float
    """This time, divided by ours."""

    def as_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def rows_of(comparison: Comparison, candidates: Sequence[Candidate], timings: Mapping[str, Timing]) -> list[Row]:
    """Return the rows of a comparison, in the order of its candidates."""
    floor, ours = timings.get(FLOOR), timings[OURS]
    return [
        Row(
            group=comparison.group,
            cell=comparison.cell,
            job=comparison.job,
            sizes=dict(comparison.sizes),
            name=candidate.name,
            compile_seconds=candidate.compile_seconds,
            **asdict(timing),
            tokens_per_second=comparison.tokens / timing.median,
            gflop_per_second=comparison.flops / timing.median / 1e9,
            share_of_floor=None if floor is None else floor.median / timing.median,
            memory_bytes=candidate.memory_bytes,
            ratio=timing.median / ours.median,
        )
        for candidate, timing in ((candidate, timings[candidate.name]) for candidate in candidates)
    ]


@dataclass(frozen=True)
class Mean:
    """The geometric mean, over comparisons of the same cell and job, of a candidate's time divided by ours."""

    group: str
    kind: str
    name: str
    ratio: float
    contests: int
    """Number of comparisons."""


def means(rows: Iterable[Row]) -> list[Mean]:
    """Return the mean over shapes of every candidate but ours, for each group, cell and pass."""
    logs: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row.name != OURS:
            kind = f"{row.cell} {row.job.partition(',')[0]}"
            logs.setdefault((row.group, kind, row.name), []).append(math.log(row.ratio))
    return [Mean(*key, ratio=math.exp(sum(values) / len(values)), contests=len(values)) for key, values in logs.items()]
