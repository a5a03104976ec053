"""The whole benchmark: what is asked for, contest after contest, each compared before it is timed, and the record."""

import dataclasses
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rnnlm_jax import cells
from rnnlm_jax.benchmarking import growth, inference, layers, lm_cases, peers, steps
from rnnlm_jax.benchmarking import results_table as table
from rnnlm_jax.benchmarking.facts import facts
from rnnlm_jax.benchmarking.measure.compare import check_equal
from rnnlm_jax.benchmarking.measure.program import without_cache
from rnnlm_jax.benchmarking.measure.subject import Contest, Say, Subject
from rnnlm_jax.benchmarking.measure.timing import interleave, timed
from rnnlm_jax.benchmarking.rows import Row, means, rows_of
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.run_folder import write_json

LAYERS, ZOO, STEPS, SCORING, SAMPLING, GROWTH = (
    *("layers", "zoo", "steps"),
    *(inference.SCORING, inference.SAMPLING, "growth"),
)
GROUPS = (LAYERS, ZOO, STEPS, SCORING, SAMPLING, GROWTH)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Raises:
        UserError: for an unknown group, cell, model or peer.
    """

    what: tuple[str, ...] = GROUPS
    peers: tuple[str, ...] = tuple(peers.PEERS)
    cells: tuple[str, ...] | None = None
    """None: those that most libraries have, and in the group ``zoo`` all."""
    shapes: tuple[layers.Shape, ...] | None = None
    """Of layers and zoo; None: theirs."""
    models: tuple[str, ...] | None = None
    """The models of the training steps, by name; None: all."""
    dtype: str = "float32"
    repeats: int = 15
    memory: bool = False
    """Whether the peak memory of torch is measured, in processes of its own."""

    def __post_init__(self) -> None:
        """Check the names."""
        for what, given, known in (
            ("group", self.what, GROUPS),
            ("peer", self.peers, tuple(peers.PEERS)),
            ("cell", self.cells or (), cells.names()),
            ("model", self.models or (), tuple(case.name for case in lm_cases.STEPS)),
        ):
            for name in given:
                if name not in known:
                    raise UserError(f"unknown {what} {name!r}: choose among {', '.join(known)}")
        if self.repeats < 1:
            raise UserError(f"repeats must be 1 or more, not {self.repeats}")


def run(options: Options, out: Path, say: Say = tqdm.write) -> dict[str, Any]:
    """Measure, print, and record in ``out`` after each contest.

    Args:
        options: what to measure.
        out: the JSON file.
        say: prints a line.

    Returns:
        the record: ``environment``, ``rows``, ``means``, ``growth``.

    Raises:
        UserError: if a peer's numbers are not ours.
    """
    names = present(options.peers, say)
    record: dict[str, Any] = {"environment": facts(names, options.dtype, options.repeats)}
    say(", ".join(f"{name} {value}" for name, value in record["environment"].items()))
    _say_who_is_left_out(options, names, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with without_cache():
        todo = list(contests(options, names))
        shown: tuple[str, str] | None = None
        note = once(say)
        for contest in tqdm(todo, desc="benchmark", leave=False, disable=None):
            if shown != (shown := (contest.group, contest.where)):
                _say_all(table.shape_heading(contest), say)
            found = hold(contest, options, note)
            rows += found
            _say_all(table.contest_lines(contest, found), say)
            record |= {"rows": [row.as_json() for row in rows]}
            write_json(out, record)
        record["means"] = [dataclasses.asdict(mean) for mean in means(rows)]
        if GROWTH in options.what:
            record["growth"] = []
            for sweep in growth.sweeps(growth.SIZES, options.dtype, options.repeats):
                _say_all(table.growth_lines(sweep), say)
                record["growth"].append(dataclasses.asdict(sweep) | {"exponents": sweep.exponents})
                write_json(out, record)
    _say_all(table.mean_lines(means(rows)), say)
    write_json(out, record)
    return record


def contests(options: Options, names: Sequence[str]) -> Iterator[Contest]:
    """All that is asked for, in the order of the groups."""
    dtype, shapes = options.dtype, options.shapes
    if LAYERS in options.what:
        yield from layers.contests(LAYERS, options.cells or layers.CELLS, shapes or layers.SHAPES, dtype, names)
    if ZOO in options.what:
        yield from layers.contests(ZOO, options.cells or cells.names(), shapes or layers.ZOO_SHAPES, dtype, ())
    if STEPS in options.what:
        cases = [case for case in lm_cases.STEPS if options.models is None or case.name in options.models]
        yield from steps.contests(cases, dtype, with_part(names, "training_step"))
    for group in (SCORING, SAMPLING):
        if group in options.what:
            yield from inference.contests(group, lm_cases.INFERENCE, dtype, with_part(names, group))


def once(say: Say) -> Say:
    """``say``, which does not repeat itself."""
    said: set[str] = set()

    def say_new(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    return say_new


def hold(contest: Contest, options: Options, say: Say) -> list[Row]:
    """One contest: first calls, whose numbers must agree, then all in turn.

    Raises:
        UserError: if the numbers of some subject are not ours.
    """
    subjects = contest.build(say)
    firsts = first_calls(contest, subjects)
    timings = interleave({subject.name: subject.call for subject in subjects}, options.repeats, firsts)
    if options.memory and contest.torch_memory is not None:
        peak = contest.torch_memory()
        subjects = [dataclasses.replace(s, memory_bytes=peak) if s.name == "torch" else s for s in subjects]
    rows = rows_of(contest, subjects, timings)
    del subjects
    gc.collect()  # a model of a hundred thousand words must be gone before the next is made
    return rows


def first_calls(contest: Contest, subjects: Sequence[Subject]) -> dict[str, float]:
    """Seconds of the first call of each, whose numbers are compared with those of the first subject.

    Raises:
        UserError: if they are not the same.
    """
    firsts, ours = {}, None
    for subject in subjects:
        firsts[subject.name], result = timed(subject.call)
        if subject.numbers is None:
            continue
        numbers = subject.numbers(result)
        if ours is None:
            ours = numbers
        check_equal(subject.name, f"{contest.title} ({contest.where})", ours, numbers, contest.tolerance)
    return firsts


def present(names: Sequence[str], say: Say) -> tuple[str, ...]:
    """Those peers that are installed; the others are left out, and said to be."""
    for name in names:
        if not peers.load(name).installed:
            say(f"{name} is left out: it is not installed (pip install 'rnnlm_jax[bench]')")
    return tuple(name for name in names if peers.load(name).installed)


def with_part(names: Sequence[str], part: str) -> tuple[str, ...]:
    """Those peers whose language model has a training step, scoring or sampling."""
    return tuple(name for name in names if hasattr(peers.load(name).models, part))


def _say_who_is_left_out(options: Options, names: Sequence[str], say: Say) -> None:
    if LAYERS in options.what:
        for cell in options.cells or layers.CELLS:
            if without := [name for name in names if cell not in peers.load(name).layers.CELLS]:
                say(f"no {cell} that computes what ours does: {', '.join(without)}")


def _say_all(lines: Sequence[str], say: Say) -> None:
    for line in lines:
        say(line)
