"""The figures of a contest: one row a subject, and geometric means over rows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rnnlm_jax.benchmarking.measure.subject import FLOOR, OURS, Contest, Subject
from rnnlm_jax.benchmarking.measure.timing import Timing


@dataclass(frozen=True)
class Row:
    """What one subject came to; times in seconds."""

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
    """By the analytic count, the same for all: who computes more than that looks slower."""
    share_of_floor: float | None
    """Time of the matrix products alone over that of this; None for a contest without a floor."""
    memory_bytes: int | None
    ratio: float
    """This time over ours."""

    def as_json(self) -> dict[str, Any]:
        """All of it by name."""
        return asdict(self)


def rows_of(contest: Contest, subjects: Sequence[Subject], timings: Mapping[str, Timing]) -> list[Row]:
    """The rows of a contest, in the order of its subjects."""
    floor, ours = timings.get(FLOOR), timings[OURS]
    return [
        Row(
            group=contest.group,
            cell=contest.cell,
            job=contest.job,
            sizes=dict(contest.sizes),
            name=subject.name,
            compile_seconds=subject.compile_seconds,
            **asdict(timing),
            tokens_per_second=contest.tokens / timing.median,
            gflop_per_second=contest.flops / timing.median / 1e9,
            share_of_floor=None if floor is None else floor.median / timing.median,
            memory_bytes=subject.memory_bytes,
            ratio=timing.median / ours.median,
        )
        for subject, timing in ((subject, timings[subject.name]) for subject in subjects)
    ]


@dataclass(frozen=True)
class Mean:
    """The geometric mean, over the contests of a kind, of a subject's time over ours."""

    group: str
    kind: str
    name: str
    ratio: float
    contests: int


def means(rows: Iterable[Row]) -> list[Mean]:
    """Of every subject but ours: for each group, cell and pass, all shapes together."""
    logs: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row.name != OURS:
            kind = f"{row.cell} {row.job.partition(',')[0]}"
            logs.setdefault((row.group, kind, row.name), []).append(math.log(row.ratio))
    return [Mean(*key, ratio=math.exp(sum(values) / len(values)), contests=len(values)) for key, values in logs.items()]
