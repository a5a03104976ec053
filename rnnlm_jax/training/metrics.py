"""Writers of metrics: ``metrics.jsonl``, and TensorBoard event files on request."""

import hashlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rnnlm_jax.errors import CheckpointError, ConfigError, warn
from rnnlm_jax.jobs.checkpoints import Position
from rnnlm_jax.system import json_text
from rnnlm_jax.system.atomic_write import atomic_write


@runtime_checkable
class Writer(Protocol):
    """Writes records, which are dicts of named numbers."""

    def write(self, record: dict[str, Any]) -> None:
        """Write one record; it must have a ``step``."""
        ...

    def close(self) -> None:
        """Write what is buffered, and close the files."""
        ...


class JsonLines:
    """Writes ``metrics.jsonl``: one record on each line, flushed at once; NaN and infinities become null.

    Each record gets the ``run_id`` of the run.
    """

    def __init__(self, path: Path, run_id: str, resume_at: Position | None = None):
        """Open the file; when resuming, keep only the lines written before the checkpoint.

        Args:
            path: the file.
            run_id: the ``run_id`` of the run.
            resume_at: the position of the checkpoint; None for a new run.

        Raises:
            CheckpointError: if those lines are not as they were written.
        """
        self.run_id = run_id
        self.lines, self._digest = 0, hashlib.sha256()
        kept = [] if resume_at is None else lines_before(path, resume_at)
        for line in kept:
            self._count(line)
        with atomic_write(path) as temporary:
            temporary.write_text("".join(kept))
        self._file = path.open("a")

    @property
    def digest(self) -> str:
        """SHA-256 of all lines so far."""
        return self._digest.hexdigest()

    def write(self, record: dict[str, Any]) -> None:
        """Append a line."""
        line = json_text.dumps(record | {"run_id": self.run_id}) + "\n"
        self._file.write(line)
        self._file.flush()
        self._count(line)

    def _count(self, line: str) -> None:
        self.lines += 1
        self._digest.update(line.encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def lines_before(path: Path, position: Position) -> list[str]:
    """Return the lines of a metrics file that were written before a checkpoint was saved.

    Args:
        path: the file.
        position: the position of the checkpoint, with the number of lines and their digest.

    Raises:
        CheckpointError: if one of them is not as it was written.
    """
    if not path.exists():
        if position.step:
            warn(f"{path} is missing: it begins anew at step {position.step}")
        return []
    damaged = CheckpointError(
        f"{path} is damaged (the records of the first {position.step} steps are not as they were written): restore "
        "it from a copy, or delete it to go on without them"
    )
    if position.records is None:  # without a checkpoint, training begins anew
        return []
    try:
        kept = [line + "\n" for line in complete_lines(path)][: position.records]
    except UnicodeDecodeError as error:
        raise damaged from error
    found = hashlib.sha256("".join(kept).encode()).hexdigest()
    if len(kept) < position.records or found != position.records_digest:
        raise damaged
    return kept


def complete_lines(path: Path) -> list[str]:
    """Return the complete lines of a metrics file: a killed run may have left a part of one at the end."""
    return [line for line in path.read_text().split("\n")[:-1] if line.startswith("{") and line.endswith("}")]


def require_tensorboard() -> Any:
    """Return the module ``tensorboardX``.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        import tensorboardX
    except ImportError as error:
        raise ConfigError("`tensorboard` needs tensorboardX: pip install rnnlm_jax[tensorboard]") from error
    return tensorboardX


class TensorBoard:
    """Writes TensorBoard event files with tensorboardX (extra ``tensorboard``)."""

    def __init__(self, folder: Path, resume_at: int | None = None):
        """Open a new event file.

        Args:
            folder: its folder.
            resume_at: the step of the checkpoint to resume from; TensorBoard then ignores earlier records of later
                steps. None for a new run.

        Raises:
            ConfigError: if tensorboardX is not installed.
        """
        purge = None if resume_at is None else resume_at + 1
        self._writer = require_tensorboard().SummaryWriter(str(folder), purge_step=purge)

    def write(self, record: dict[str, Any]) -> None:
        """Write every number of the record as a scalar, those of a list with their places: ``kind/name/0``."""
        prefix = record.get("kind", "step")
        for name, value in record.items():
            listed = {f"/{place}": each for place, each in enumerate(value)} if isinstance(value, list) else {"": value}
            for place, number in listed.items():
                if name != "step" and isinstance(number, int | float) and not isinstance(number, bool):
                    self._writer.add_scalar(f"{prefix}/{name}{place}", number, record["step"])

    def close(self) -> None:
        """Write what is buffered, and close the files."""
        self._writer.close()
