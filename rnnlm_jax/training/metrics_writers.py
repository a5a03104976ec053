"""Writers of metrics beside ``metrics.jsonl``: CSV, TensorBoard, and functions of the user.

``metrics_writer`` of a configuration lists them, separated by commas. A function of the user is named as
``FILE.py:function`` or ``module:function``; see ``WriterFactory``. None of them can end training: one that raises an
error is left out from then on, with a warning, and ``metrics.jsonl`` has every record.
"""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rnnlm_jax.config import Config
from rnnlm_jax.errors import ConfigError, UserError, warn
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.plotting import read_metrics
from rnnlm_jax.registry.user_source import is_reference, load, recorded, shown
from rnnlm_jax.training.csv_metrics import CsvFiles
from rnnlm_jax.training.metrics import TensorBoard, Writer, require_tensorboard


class WriterFactory(Protocol):
    """A function of the user that opens a writer."""

    def __call__(self, run: Path, config: dict[str, Any], resume_step: int | None, /) -> Writer:
        """Return a writer, whose ``write(record)`` gets every record and whose ``close()`` ends it.

        A record is a dict of named numbers with ``kind`` ("step", "validation", …) and ``step``. The function is called
        in one process of a job, before the first step.

        Args:
            run: the run folder.
            config: the configuration, a dict of options by group (``config["model"]["hidden_size"]``), and
                ``config["run_id"]``, which is the same when the run is resumed.
            resume_step: the number of steps done at the checkpoint from which a run is resumed, whose later records are
                written again; None for a new run.
        """
        ...


class _Opening(Protocol):
    """Opens a writer that this library has."""

    def __call__(self, folder: RunFolder, resume_step: int | None, /) -> Writer: ...


def _open_csv(folder: RunFolder, resume_step: int | None) -> Writer:
    return CsvFiles(folder.path / "csv", [] if resume_step is None else read_metrics(folder.metrics))


def _open_tensorboard(folder: RunFolder, resume_step: int | None) -> Writer:
    return TensorBoard(folder.path / "tensorboard", resume_step)


#: The writers of this library by name.
WRITERS: dict[str, _Opening] = {"csv": _open_csv, "tensorboard": _open_tensorboard}


def writer_names(config: Config) -> tuple[str, ...]:
    """Return the writers of a configuration, each once: names of ``WRITERS``, and references to functions."""
    names = [name.strip() for name in (config.training.metrics_writer or "").split(",")]
    return tuple(dict.fromkeys([*["tensorboard"] * config.training.tensorboard, *filter(None, names)]))


def require_writers(config: Config) -> None:
    """Check the writers of a configuration before training begins; this executes the user's sources.

    Raises:
        ConfigError: if a name is unknown, a function does not exist or does not take three arguments, or a library is
            not installed.
    """
    for name in writer_names(config):
        if name == "tensorboard":
            require_tensorboard()
        elif is_reference(name):
            _require_three_arguments(load(name), name)
        elif name not in WRITERS:
            raise ConfigError(
                f"unknown `metrics_writer` {name!r}: choose of {', '.join(WRITERS)}, or give FILE.py:function or "
                "module:function"
            )


def _require_three_arguments(function: Callable[..., Any], name: str) -> None:
    try:
        inspect.signature(function).bind(Path(), {}, None)
    except TypeError:
        raise ConfigError(
            f"`metrics_writer` {shown(name)} must take three arguments: run folder, configuration, and the step to "
            "resume from"
        ) from None
    except ValueError:  # a built-in function without a signature
        return


def record_writers(config: Config, begun: Config | None = None) -> str | None:
    """Return ``metrics_writer`` as a run records it: functions with absolute paths and digests of their sources.

    A writer does not affect the numbers of a run, so that its source may change until the run is resumed; a warning
    says so.

    Args:
        config: the configuration.
        begun: the configuration of the run that is to be resumed; None for a new run.

    Raises:
        ConfigError: if a source does not exist.
    """
    if config.training.metrics_writer is None:
        return None
    names = writer_names(dataclasses.replace(config, training=dataclasses.replace(config.training, tensorboard=False)))
    found = tuple(recorded(shown(name)) if is_reference(name) else name for name in names)
    before = {shown(name): name for name in (() if begun is None else writer_names(begun))}
    for name in found:
        if before.get(shown(name), name) != name:
            warn(f"the metrics writer {shown(name)} was changed since the run was begun: its new version is used")
    return ",".join(found)


def open_writers(config: Config, folder: RunFolder, *, run_id: str, resume_step: int | None) -> list["GuardedWriter"]:
    """Open the writers of a configuration, after ``metrics.jsonl`` was opened.

    Args:
        config: the configuration.
        folder: the run folder.
        run_id: the ``run_id`` of the run.
        resume_step: the step of the checkpoint to resume from; None for a new run.

    Raises:
        ConfigError: if a function of the user returns something other than a writer, or fails in a new run. In a
            resumed run one that fails is left out with a warning: an unattended restart must not depend on a service.
    """
    about = dataclasses.asdict(config) | {"run_id": run_id}
    opened: list[GuardedWriter] = []
    for name in writer_names(config):
        if not is_reference(name):
            opened.append(GuardedWriter(WRITERS[name](folder, resume_step), name))
            continue
        function = load(name)
        try:
            found = function(folder.path, about, resume_step)
        except (Exception, SystemExit) as error:  # of the user's code, reported in one line
            if resume_step is None:
                for writer in opened:
                    writer.close()
                raise ConfigError(f"`metrics_writer` {_failure(name, error)}; correct it or leave it out") from error
            warn(f"the metrics writer {_failure(name, error)}: training goes on without it")
            continue
        if not _is_writer(found):
            raise ConfigError(
                f"`metrics_writer` {shown(name)} returned a {type(found).__name__}: it must return an object with the "
                "methods write(record) and close()"
            )
        opened.append(GuardedWriter(found, shown(name)))
    return opened


def _is_writer(found: object) -> bool:
    """Return whether an object, not a class, has the methods of a writer."""
    return isinstance(found, Writer) and not isinstance(found, type) and callable(found.write) and callable(found.close)


def _failure(name: str, error: BaseException) -> str:
    reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return f"{shown(name)} failed ({reason})"


class GuardedWriter:
    """A writer whose errors do not end training: after the first one, which is shown in one line, it is left out."""

    def __init__(self, writer: Writer, name: str) -> None:
        """Wrap a writer.

        Args:
            writer: the writer.
            name: its name, for the warning.
        """
        self.writer, self.name = writer, name
        self.failed = False

    def write(self, record: dict[str, Any]) -> None:
        """Write a copy of the record, unless the writer has failed."""
        if self.failed:
            return
        try:
            self.writer.write(dict(record))
        except (Exception, SystemExit) as error:  # SystemExit: some libraries exit when they lose their service
            self.failed = True
            self._warn(error, f"at step {record.get('step')}", "training goes on without it")

    def close(self) -> None:
        """Close the writer; of one that has failed, a second error is not shown."""
        try:
            self.writer.close()
        except (Exception, SystemExit) as error:
            if not self.failed:
                self._warn(error, "when it was closed", "its last records may be missing")

    def _warn(self, error: BaseException, when: str, outcome: str) -> None:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        warn(f"the metrics writer {self.name} failed {when} ({reason}): {outcome}; metrics.jsonl has every record")
