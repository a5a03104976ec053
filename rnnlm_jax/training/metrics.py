"""What a run writes about itself as it goes: one JSON object a line, and TensorBoard event files when asked."""

import hashlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rnnlm_jax.errors import UserError, warn
from rnnlm_jax.jobs.checkpoints import Position
from rnnlm_jax.system import json_text
from rnnlm_jax.system.atomic_write import written_whole


@runtime_checkable
class Writer(Protocol):
    """Takes a record of named numbers."""

    def write(self, record: dict[str, Any]) -> None:
        """Write one record, which has a ``step``."""
        ...

    def close(self) -> None:
        """Write what is still held back."""
        ...


class JsonLines:
    """``metrics.jsonl``: every record on a line of its own, flushed at once; numbers that JSON lacks become null.

    Each record has the ``run_id`` of its run.
    """

    def __init__(self, path: Path, run_id: str, resume_at: Position | None = None):
        """Open the file; when resuming, keep the lines that the checkpoint's position counts, and no others.

        Raises:
            UserError: if those lines are not as they were written.
        """
        self.run_id = run_id
        self.lines, self._digest = 0, hashlib.sha256()
        kept = [] if resume_at is None else written_before(path, resume_at)
        for line in kept:
            self._count(line)
        with written_whole(path) as temporary:
            temporary.write_text("".join(kept))
        self._file = path.open("a")

    @property
    def digest(self) -> str:
        """SHA-256 of all lines."""
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


def written_before(path: Path, position: Position) -> list[str]:
    """The lines of a metrics file that were written when a checkpoint was saved at a position.

    Raises:
        UserError: if one of them is not as it was written.
    """
    if not path.exists():
        if position.step:
            warn(f"{path} is missing: it begins anew at step {position.step}")
        return []
    damaged = UserError(
        f"{path} is damaged (the records of the first {position.step} steps are not as they were written): restore "
        "it from a copy, or delete it to go on without them"
    )
    if position.records is None:  # no checkpoint: training begins anew
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
    """The lines of a metrics file that are whole: a killed run may leave a piece of one at the end."""
    return [line for line in path.read_text().split("\n")[:-1] if line.startswith("{") and line.endswith("}")]


def require_tensorboard() -> Any:
    """The module tensorboardX.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import tensorboardX
    except ImportError as error:
        raise UserError("--tensorboard needs tensorboardX: pip install rnnlm_jax[tensorboard]") from error
    return tensorboardX


class TensorBoard:
    """TensorBoard event files, through tensorboardX (extra ``tensorboard``)."""

    def __init__(self, folder: Path, resume_at: int | None = None):
        """Open a new event file in the folder; when resuming, what was written after that step counts no more.

        Raises:
            UserError: if tensorboardX is not installed.
        """
        purge = None if resume_at is None else resume_at + 1
        self._writer = require_tensorboard().SummaryWriter(str(folder), purge_step=purge)

    def write(self, record: dict[str, Any]) -> None:
        """Write every number of the record as a scalar."""
        prefix = record.get("kind", "step")
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                self._writer.add_scalar(f"{prefix}/{name}", value, record["step"])

    def close(self) -> None:
        """Write what is still held back."""
        self._writer.close()
