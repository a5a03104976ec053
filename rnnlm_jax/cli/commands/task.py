"""``rnnlm-jax task``: train a model on a synthetic task from several seeds, and test it on new sequences."""

import dataclasses
import shlex
import sys
from argparse import Namespace
from pathlib import Path

from rnnlm_jax import tasks
from rnnlm_jax.cli.common_arguments import add_json_file
from rnnlm_jax.cli.config_options import add_fields, fields_from, parse_pairs
from rnnlm_jax.cli.output_files import check_files, require_folder_name, write_json
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.errors import ConfigError, DataError
from rnnlm_jax.jobs.run_folder import write_json as write_results
from rnnlm_jax.jobs.stopping import Stopped, stop_on_signals
from rnnlm_jax.plotting.task_training import FIGURES, task_training
from rnnlm_jax.sequence_model import SequenceTraining, TaskResult, TaskRun, run_task
from rnnlm_jax.sequence_model.model_options import ModelOptions, build_sequence_model
from rnnlm_jax.sequence_model.run_files import SequenceRunFolder
from rnnlm_jax.training.results import environment
from rnnlm_jax.unroll import describe_executor

EXAMPLES = """\
  rnnlm-jax task --list
  rnnlm-jax task parity --cell gru --seeds 5 --test-lengths 100,200
  rnnlm-jax task adding --cell lstm --hidden-size 64 --length 100 --seeds 3 --run runs/adding
  rnnlm-jax task adding --cell lstm --hidden-size 64 --length 100 --seeds 3 --run runs/adding --resume"""


def add_arguments(parser: Parser) -> None:
    """Add the task, and the options of model, training and tests."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the task, one of those that --list shows")
    common = parser.add_argument_group("common options")
    common.add_argument("--list", action="store_true", help="list the tasks with their papers and lengths")
    common.add_argument(
        "--task-options", type=parse_pairs, metavar="NAME=VALUE,…", default=(), help="options of the task: modulus=3"
    )
    common.add_argument("--run", metavar="DIR", help="folder to write: checkpoints, metrics, results, a figure")
    common.add_argument("--resume", action="store_true", help="go on with the run in DIR, given with the same options")
    common.add_argument("--plot", metavar="FILE", help="draw accuracy against sequences into this PNG, PDF or SVG file")
    add_json_file(common)
    parser.add_help_all()
    add_fields(parser, common, ModelOptions(), name="model")
    add_fields(parser, common, TaskRun(), name="test")
    add_fields(parser, common, SequenceTraining(), name="training")


def main(arguments: Namespace) -> int:
    """Train and test, and print a table with a row for each seed."""
    if arguments.list:
        _print_tasks()
        return 0
    if arguments.name is None:
        raise ConfigError("give a task: rnnlm-jax task --list shows them")
    _check_outputs(arguments)
    options = fields_from(arguments, ModelOptions())
    sizes, training = fields_from(arguments, TaskRun()), fields_from(arguments, SequenceTraining())
    task = tasks.make(arguments.name, **dict(arguments.task_options))
    model = build_sequence_model(options, task)
    with stop_on_signals(_print_signal) as stop:
        print(f"{task.name} ({task.source}); {options.cell}, {options.hidden_size} units, {options.layers} layer(s)")
        if not training.regularize:
            print(f"executors: {describe_executor(model.cell, model.features, model.executor)}", flush=True)
        try:
            result = run_task(
                model, task, sizes, training, run=arguments.run, resume=arguments.resume, stop=stop, quiet=False
            )
        except Stopped as error:
            if arguments.run is None:
                raise
            command = shlex.join(["rnnlm-jax", *sys.argv[1:], *([] if arguments.resume else ["--resume"])])
            raise Stopped(f"{error}; go on with {command}") from error
        _print_result(result)
        summary = result.summary() | {
            "model": dataclasses.asdict(options) | {"parameters": _parameters(result)},
            "task_options": dict(arguments.task_options),
            "sizes": dataclasses.asdict(sizes),
            "training": dataclasses.asdict(training),
            "history": list(result.trained.history),
            "environment": environment(),
        }
        figures = [Path(arguments.plot)] if arguments.plot else []
        if arguments.run is not None:
            folder = SequenceRunFolder(Path(arguments.run))
            write_results(folder.results, summary)
            figures.append(folder.path / "training.png")
        for figure in figures:
            task_training(summary, figure)
            print(f"figure: {figure}")
    write_json(arguments.json, summary)
    return 0


def _check_outputs(arguments: Namespace) -> None:
    """Check that what is asked for can be written.

    Raises:
        ConfigError: naming the first option that is impossible.
    """
    if arguments.resume and arguments.run is None:
        raise ConfigError("--resume goes on with the run of a folder: give it by --run")
    if arguments.run is not None:
        require_folder_name(arguments.run, "--run")
    check_files([arguments.plot], arguments.json, [])
    if arguments.plot is not None and Path(arguments.plot).suffix not in FIGURES:
        raise ConfigError(f"--plot {arguments.plot}: the name of the figure must end in {', '.join(FIGURES)}")


def _print_signal(message: str) -> None:
    print(f"\rrnnlm-jax: {message}", file=sys.stderr)


def _print_tasks() -> None:
    """Print a line for each task."""
    width = max(map(len, tasks.names()))
    print(f"{'task':<{width}} {'length':>6} {'solved at':>9} {'chance':>6}  of         from")
    for name in tasks.names():
        try:
            task = tasks.make(name)
        except DataError as error:  # its data are of a package that is not installed
            print(f"{name:<{width}} {error}")
            continue
        print(
            f"{name:<{width}} {task.default_length:6d} {task.solved_accuracy:9.3f} {task.chance_accuracy:6.3f}  "
            f"{task.judged.value:<9}  {task.source}"
        )


def _parameters(result: TaskResult) -> int:
    """Return the number of parameters of one seed's model."""
    import jax

    return sum(leaf.size for leaf in jax.tree.leaves(result.trained.params_of(0)))


def _print_result(result: TaskResult) -> None:
    """Print a row for each seed, and the success of all."""
    task, trained = result.task, result.trained
    lengths = list(result.tests)
    print(
        f"length {result.length}, {_parameters(result):,} parameters; solved at an accuracy of "
        f"{task.solved_accuracy:g} of {task.judged.value} (chance {task.chance_accuracy:.3g})"
    )
    print(f"{'seed':>5} {'solved':>6} {'sequences':>10} " + " ".join(f"{f'error at {n}':>14}" for n in lengths))
    for k, seed in enumerate(trained.seeds):
        count = result.sequences_until_solved[k]
        errors = " ".join(f"{100 * (1 - result.tests[n].accuracy[k]):12.2f} %" for n in lengths)
        shown = f"{count:,}" if count is not None else "-"
        print(f"{seed:5d} {'yes' if result.solved[k] else 'no':>6} {shown:>10} {errors}")
    found = result.summary()
    median = found["median_sequences_until_solved"]
    until = f"; median {median:,.0f} sequences until solved" if median is not None else ""
    skipped = f"; {sum(trained.skipped)} steps were skipped" if any(trained.skipped) else ""
    print(
        f"{sum(result.solved)} of {len(result.solved)} seeds solved it{until}{skipped}; {trained.steps:,} steps of "
        f"{result.batch_size} sequences, {trained.seconds:.0f} s"
    )
