"""``rnnlm-jax train``: train a language model."""

import contextlib
import os
import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any

import jax

from rnnlm_jax.cli.common_arguments import add_json
from rnnlm_jax.cli.config_options import add_config_options, apply_options
from rnnlm_jax.cli.config_source import list_presets, load_config_file
from rnnlm_jax.cli.multi_process import add_job_options, joined
from rnnlm_jax.cli.output_files import check_files, require_folder_name, write_json
from rnnlm_jax.cli.parser import Parser
from rnnlm_jax.cli.standard_streams import optional_output
from rnnlm_jax.config import Config
from rnnlm_jax.data.records import RecordText
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.distributed import from_primary, in_every_process, is_primary
from rnnlm_jax.jobs.run_folder import RunFolder, read_config
from rnnlm_jax.jobs.sharding.mesh import describe_mesh
from rnnlm_jax.jobs.sharding.parameter_sharding import describe_shardings
from rnnlm_jax.jobs.stopping import Stopped, stop_on_signals
from rnnlm_jax.language_model.parameters import parameter_count
from rnnlm_jax.presets import PRESETS, preset
from rnnlm_jax.system.machine_memory import require_memory
from rnnlm_jax.training.frozen_parameters import frozen_leaves
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.memory import describe_memory, step_memory
from rnnlm_jax.training.profiling import parse_steps
from rnnlm_jax.training.results import Results, environment
from rnnlm_jax.training.schedule_figure import draw_schedule
from rnnlm_jax.training.time_use import describe_time_use
from rnnlm_jax.training.train import train
from rnnlm_jax.training.validation_report import ValidationReport
from rnnlm_jax.unroll import describe_executor

#: Endings of the figures that can be drawn.
FIGURES = (".png", ".pdf", ".svg")

EXAMPLES = """\
  rnnlm-jax train --run runs/demo                                    the demo, in a minute
  rnnlm-jax train --data my.txt --cell gru --hidden-size 300 --epochs 5 --run runs/mine
  rnnlm-jax train zaremba/small --data-dir texts --run runs/small    a published model
  rnnlm-jax train --run runs/mine --resume                           go on after a stop"""


def add_arguments(parser: Parser) -> None:
    """Add the configuration to start from, the run to write, and every option of the configuration."""
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="a preset (listed below), or a Python file with get_config(); options change its values (default: demo, "
        "with the defaults shown here)",
    )
    common = parser.add_argument_group("common options")
    what = common.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", metavar="DIR", help="folder to write: checkpoints, metrics, results, vocabulary")
    what.add_argument(
        "--plot-schedule",
        metavar="FILE",
        help=parser.advanced("draw the learning rate of each step into this PNG, PDF or SVG file, and do not train"),
    )
    how = common.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="go on with the run in DIR, as if it had not been stopped")
    how.add_argument(
        "--resume-or-start",
        action="store_true",
        help=parser.advanced("go on with the run in DIR if there is one, else start it: for jobs that are restarted"),
    )
    add_json(common)
    common.add_argument(
        "--profile-steps",
        metavar="FIRST:LAST",
        help=parser.advanced(
            "write a profiler trace of these steps, both included, to DIR/plugins/profile (for tensorboard or xprof)"
        ),
    )
    add_config_options(parser, common, preset("demo"))
    add_job_options(parser)
    parser.epilog = list_presets(with_descriptions=parser.shows_advanced)


def main(arguments: Namespace) -> int:
    """Train, and print a table of validations and the results."""
    if arguments.plot_schedule is not None:
        return _plot_schedule(arguments)
    require_folder_name(arguments.run, "--run")
    folder = RunFolder(Path(arguments.run))
    continuing = f"training goes on; see {folder.metrics} and, in the end, {folder.results}"
    with (
        stop_on_signals(_print_signal, may_exit_at_once=True) as stop,  # until the first step
        joined(arguments, stop),
        optional_output(continuing),
    ):
        resume = arguments.resume
        if arguments.resume_or_start:
            resume = bool(from_primary("begun" if folder.exists() else ""))
        config = apply_options(in_every_process(lambda: _base_config(arguments, resume)), arguments)
        profile = None if arguments.profile_steps is None else parse_steps(arguments.profile_steps)
        reporting: dict[str, Any] = {"start": print_start, "report": print_validation, "quiet": not is_primary()}
        try:
            results = train(config, arguments.run, resume=resume, stop=stop, profile=profile, **reporting)
        except Stopped as error:
            command = f"rnnlm-jax train --run {shlex.quote(arguments.run)} --resume"
            raise Stopped(f"{error}; go on with {command}") from error
        print_results(results)
        figures = RunFolder(Path(results.run))
        print(f"  learning curve: {figures.learning_curve}")
        if figures.spectrum_history.exists():
            print(f"  spectra through training: {figures.spectrum_history}")
        write_json(arguments.json, results.summary())
    return 0


def _plot_schedule(arguments: Namespace) -> int:
    """Draw the learning rate of the job that the options describe."""
    config = apply_options(_base_config(arguments, resume=False), arguments)
    check_files([arguments.plot_schedule], None, [])
    path = Path(arguments.plot_schedule)
    if path.suffix not in FIGURES:
        raise ConfigError(f"--plot-schedule {path}: the name of the figure must end in {', '.join(FIGURES)}")
    print(draw_schedule(config, path))
    print(f"learning rate: {path}")
    return 0


def _print_signal(message: str) -> None:
    """Print a line on standard error, from any thread, over a progress bar."""
    width = 100 if os.isatty(2) else 0
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, f"\rrnnlm-jax: {message:<{width}}\n".encode(errors="backslashreplace"))


def _base_config(arguments: Namespace, resume: bool) -> Config:
    """Return the configuration that options change: the named one, that of the run to resume, or the demo's."""
    if arguments.config is None:
        return read_config(RunFolder(Path(arguments.run))) if resume else preset("demo")
    if arguments.config not in PRESETS and (arguments.config.endswith(".py") or Path(arguments.config).exists()):
        return load_config_file(arguments.config)
    return preset(arguments.config)


def print_start(trainer: Trainer) -> None:
    """Print the devices, text, model and memory of a run, and the head of the table of validations."""
    texts, about = trainer.texts, environment()
    where = ", ".join(f"{name} {value}" for name, value in about.items())
    print(where)
    print(
        f"{texts.corpus.name}: {len(texts.train):,} training, {len(texts.valid):,} validation, {len(texts.test):,} "
        f"test tokens ({texts.train.oov:,}, {texts.valid.oov:,} and {texts.test.oov:,} of them OOV); "
        f"{texts.vocabulary.describe()}"
    )
    if texts.lossy_lines:
        print(f"note: {texts.lossy_lines:,} lines do not come back from their tokens: figures are of an easier text")
    if isinstance(texts.train, RecordText):
        print(f"the training text stays on disk, read by {texts.train.describe_workers()}")
    model = trainer.model
    if trainer.mesh is not None:
        divided = describe_shardings(trainer.model, trainer.mesh)
        print(describe_mesh(trainer.mesh) + (f"; {divided}" if divided else ""))
    memory = step_memory(trainer.state, trainer.compiled_step())
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    on_each = " on each device" if trainer.mesh is not None else ""
    print(f"{parameter_count(trainer.state.params):,} parameters; memory{on_each}: {describe_memory(memory, limit)}")
    require_memory(memory.total, "a training step")
    if trainer.observes_states:
        print("executors: no kernels, since omega and flossing read the states of the cells")
    else:
        print(f"executors: {describe_executor(model.trained_cell, model.embedding_size, model.executor)}")
    if model.output.sampled:
        print(f"training minimises a sampled loss ({model.output.kind}); perplexities are exact")
    if trainer.started_from:
        print(trainer.started_from)
    if frozen := frozen_leaves(model, trainer.config.training.freeze):
        print(f"frozen, left out of updates, optimiser state and gradient norm: {', '.join(frozen)}")
    if trainer.position.step:
        print(f"resuming at step {trainer.position.step:,}, epoch {trainer.position.epoch + 1}")
    end = trainer.length.total.steps
    if trainer.profiler is not None and not trainer.profiler.overlaps(trainer.position.step, end):
        print(f"note: --profile-steps is outside the remaining steps, {trainer.position.step + 1} to {end}: no trace")
    # A sampled loss is not a log-likelihood, so it has no perplexity.
    train = "smpl. loss" if model.output.sampled else "train ppl"
    capacity = trainer.capacity
    if capacity.peak_flops and capacity.flops_per_token is None:
        print("note: FLOPs not declared by the input or output layer: the share of the peak (MFU) is not shown")
    mfu = f" {'MFU':>6}" if capacity.peak_flops and capacity.flops_per_token else ""
    rates = f"{'tokens/s':>9} {'ms/step':>8} {'input':>6}{mfu}"
    print(f"{'epoch':>5} {'step':>8} {'rate':>9} {train:>10} {'valid ppl':>10} {rates} {'minutes':>8}")


def print_validation(report: ValidationReport) -> None:
    """Print a row of the table of validations."""
    skipped = f"  {report.skipped} skipped" if report.skipped else ""
    approximate = "~" if report.valid.streams > 1 else ""
    averaged = "  averaged" if report.averaged else ""
    rate = "-" if report.learning_rate is None else format(report.learning_rate, ".4g")
    train = report.train_loss if report.train_perplexity is None else report.train_perplexity
    print(
        f"{report.epochs:5.4g} {report.step:8,d} {rate:>9} {train:10.2f} "
        f"{approximate + format(report.valid.perplexity, '.2f'):>10} {report.tokens_per_second:9,.0f}"
        f"{_rates(report.rates)} {report.seconds / 60:8.2f}{averaged}{skipped}",
        flush=True,
    )
    if report.ends:
        print(f"training ends: {report.ends}", flush=True)


def _rates(rates: dict[str, float]) -> str:
    """Return the columns of a step's median time, its share spent waiting for input, and its MFU where known."""
    if not rates:
        return f" {'-':>8} {'-':>6}"
    mfu = f" {100 * rates['mfu']:5.1f}%" if "mfu" in rates else ""
    return f" {rates['step_ms_p50']:8.1f} {100 * rates['input_wait']:5.1f}%{mfu}"


def print_results(results: Results) -> None:
    """Print the final perplexities, beside those of the baselines."""
    print(f"\nbest checkpoint of {results.run}, {results.parameters:,} parameters, {results.seconds / 60:.1f} minutes")
    print(f"  valid  {results.valid}")
    print(f"  test   {results.test}")
    for name, value in results.baselines.items():
        print(f"  test perplexity of the {name} baseline: {value:.3f}")
    if results.time_use:
        print(f"  time   {describe_time_use(results.time_use)}")
    if "entropy_rate" in results.facts:
        rate, test = results.facts["entropy_rate"], results.test
        excess = 100 * (test.nll / test.tokens / rate - 1)
        print(
            f"  exact entropy rate {rate:.5f} nats a token; the model's {test.nll / test.tokens:.5f} ({excess:+.2f} %)"
        )
