"""The whole benchmark: measures the chosen comparisons one after the other, prints tables and writes the record."""

import dataclasses
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rnnlm_jax import cells
from rnnlm_jax.benchmarking import inference, layers, lm_cases, peers, regularized_steps, scaling, training_steps
from rnnlm_jax.benchmarking import results_table as table
from rnnlm_jax.benchmarking.measure.agreement import check_equal
from rnnlm_jax.benchmarking.measure.candidate import Candidate, Comparison, WriteLine
from rnnlm_jax.benchmarking.measure.compiled_program import without_compilation_cache
from rnnlm_jax.benchmarking.measure.timing import interleave, timed
from rnnlm_jax.benchmarking.record_environment import record_environment
from rnnlm_jax.benchmarking.result_rows import Row, means, rows_of
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jobs.run_folder import write_json

LAYERS, ZOO, STEPS, REGULARIZED, SCORING, SAMPLING, GROWTH = (
    *("layers", "zoo", "steps", "regularized-steps"),
    *(inference.SCORING, inference.SAMPLING, "growth"),
)
GROUPS = (LAYERS, ZOO, STEPS, REGULARIZED, SCORING, SAMPLING, GROWTH)


def model_names() -> tuple[str, ...]:
    """Return the names of the models of training steps."""
    return tuple(case.name for case in (*lm_cases.STEPS, *regularized_steps.CASES))


@dataclass(frozen=True)
class Options:
    """The options of a benchmark: what to measure.

    Raises:
        ArgumentError: for an unknown group, cell, model or peer.
    """

    what: tuple[str, ...] = GROUPS
    peers: tuple[str, ...] = tuple(peers.PEERS)
    cells: tuple[str, ...] | None = None
    """Names of cells; None: those that most libraries have, and in the group ``zoo`` all."""
    shapes: tuple[layers.Shape, ...] | None = None
    """Shapes of the groups ``layers`` and ``zoo``; None: their defaults."""
    models: tuple[str, ...] | None = None
    """The models of the training steps, by name; None: all."""
    dtype: str = "float32"
    repeats: int = 15
    memory: bool = False
    """Whether to measure the peak memory of torch, in processes of its own."""

    def __post_init__(self) -> None:
        """Check the names."""
        for what, given, known in (
            ("group", self.what, GROUPS),
            ("peer", self.peers, tuple(peers.PEERS)),
            ("cell", self.cells or (), cells.names()),
            ("model", self.models or (), model_names()),
        ):
            for name in given:
                if name not in known:
                    raise ArgumentError(f"unknown {what} {name!r}: choose among {', '.join(known)}")
        if self.repeats < 1:
            raise ArgumentError(f"`repeats` must be 1 or more, not {self.repeats}")

    def has_model(self, name: str) -> bool:
        """Return whether the training steps of a model are measured."""
        return self.models is None or name in self.models


def run(options: Options, out: Path, write_line: WriteLine = tqdm.write) -> dict[str, Any]:
    """Measure, print, and record in ``out`` after each comparison.

    Args:
        options: what to measure.
        out: the JSON file to write.
        write_line: prints one line.

    Returns:
        The record: ``environment``, ``rows``, ``means``, ``growth``.

    Raises:
        WeightsError: if the numbers of a candidate differ from ours.
    """
    names = installed(options.peers, write_line)
    record: dict[str, Any] = {"environment": record_environment(names, options.dtype, options.repeats)}
    write_line(", ".join(f"{name} {value}" for name, value in record["environment"].items()))
    _write_peers_without_cell(options, names, write_line)
    out.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with without_compilation_cache():
        todo = list(comparisons(options, names))
        shown: tuple[str, str] | None = None
        note = without_repetition(write_line)
        for comparison in tqdm(todo, desc="benchmark", leave=False, disable=None):
            if shown != (shown := (comparison.group, comparison.where)):
                _write_lines(table.shape_heading(comparison), write_line)
            found = measure(comparison, options, note)
            rows += found
            _write_lines(table.comparison_lines(comparison, found), write_line)
            record |= {"rows": [row.as_json() for row in rows]}
            write_json(out, record)
        record["means"] = [dataclasses.asdict(mean) for mean in means(rows)]
        if GROWTH in options.what:
            record["growth"] = []
            for sweep in scaling.sweeps(scaling.SIZES, options.dtype, options.repeats):
                _write_lines(table.sweep_lines(sweep), write_line)
                record["growth"].append(dataclasses.asdict(sweep) | {"exponents": sweep.exponents})
                write_json(out, record)
    _write_lines(table.mean_lines(means(rows)), write_line)
    write_json(out, record)
    return record


def comparisons(options: Options, names: Sequence[str]) -> Iterator[Comparison]:
    """Yield the comparisons of the chosen groups, in the order of the groups."""
    dtype, shapes = options.dtype, options.shapes
    if LAYERS in options.what:
        yield from layers.comparisons(
            LAYERS, options.cells or layers.CELLS, shapes or layers.SHAPES, dtype=dtype, names=names
        )
    if ZOO in options.what:
        yield from layers.comparisons(
            ZOO, options.cells or cells.names(), shapes or layers.ZOO_SHAPES, dtype=dtype, names=()
        )
    if STEPS in options.what:
        cases = [case for case in lm_cases.STEPS if options.has_model(case.name)]
        yield from training_steps.comparisons(cases, dtype, with_model_part(names, "training_step"))
    if REGULARIZED in options.what:
        regularized = [case for case in regularized_steps.CASES if options.has_model(case.name)]
        yield from regularized_steps.comparisons(
            regularized, dtype, with_model_part(names, "regularized_training_step")
        )
    for group in (SCORING, SAMPLING):
        if group in options.what:
            yield from inference.comparisons(group, lm_cases.INFERENCE, dtype, names=with_model_part(names, group))


def without_repetition(write_line: WriteLine) -> WriteLine:
    """Return a function that writes each line the first time only."""
    written: set[str] = set()

    def write_new_line(line: str) -> None:
        if line not in written:
            written.add(line)
            write_line(line)

    return write_new_line


def measure(comparison: Comparison, options: Options, write_line: WriteLine) -> list[Row]:
    """Measure one comparison: first calls, whose numbers must agree, then timed calls in turn.

    Raises:
        WeightsError: if the numbers of a candidate differ from ours.
    """
    candidates = comparison.build(write_line)
    firsts = first_calls(comparison, candidates)
    timings = interleave({candidate.name: candidate.call for candidate in candidates}, options.repeats, firsts)
    if options.memory and comparison.torch_memory is not None:
        peak = comparison.torch_memory()
        candidates = [dataclasses.replace(s, memory_bytes=peak) if s.name == "torch" else s for s in candidates]
    rows = rows_of(comparison, candidates, timings)
    del candidates
    gc.collect()  # frees a model of a hundred thousand words before the next one is made
    return rows


def first_calls(comparison: Comparison, candidates: Sequence[Candidate]) -> dict[str, float]:
    """Call each candidate once, compare its numbers with the first candidate's, and return the seconds of each call.

    Raises:
        WeightsError: if they differ.
    """
    firsts, ours = {}, None
    for candidate in candidates:
        firsts[candidate.name], result = timed(candidate.call)
        if candidate.numbers is None:
            continue
        numbers = candidate.numbers(result)
        if ours is None:
            ours = numbers
        work = f"{comparison.title} ({comparison.where})"
        check_equal(candidate.name, work, ours, theirs=numbers, allowed=comparison.tolerance)
    return firsts


def installed(names: Sequence[str], write_line: WriteLine) -> tuple[str, ...]:
    """Return the peers that are installed; print the others."""
    for name in names:
        if not peers.load(name).installed:
            write_line(f"{name} is left out: it is not installed (pip install 'rnnlm_jax[bench]')")
    return tuple(name for name in names if peers.load(name).installed)


def with_model_part(names: Sequence[str], part: str) -> tuple[str, ...]:
    """Return the peers whose language model has the function ``part``: training_step, scoring or sampling."""
    return tuple(name for name in names if hasattr(peers.load(name).models, part))


def _write_peers_without_cell(options: Options, names: Sequence[str], write_line: WriteLine) -> None:
    if LAYERS in options.what:
        for cell in options.cells or layers.CELLS:
            if without := [name for name in names if cell not in peers.load(name).layers.CELLS]:
                write_line(f"no {cell} that computes what ours does: {', '.join(without)}")


def _write_lines(lines: Sequence[str], write_line: WriteLine) -> None:
    for line in lines:
        write_line(line)
