"""What a run writes about itself as it goes: one JSON object a line, and TensorBoard event files when asked."""

import json
from pathlib import Path
from typing import Any, Protocol

from rnnlm_jax import json_text
from rnnlm_jax.errors import UserError


class Writer(Protocol):
    """Takes a record of named numbers."""

    def write(self, record: dict[str, Any]) -> None:
        """Write one record, which has a ``step``."""
        ...

    def close(self) -> None:
        """Write what is still held back."""
        ...


class JsonLines:
    """``metrics.jsonl``: every record on a line of its own, flushed at once; numbers that JSON lacks become null."""

    def __init__(self, path: Path, resume_at: int | None = None):
        """Open the file; when resuming, drop what was written after the checkpoint's step."""
        kept = ""
        if resume_at is not None and path.exists():
            kept = "".join(line + "\n" for line in complete_lines(path) if json.loads(line)["step"] <= resume_at)
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(kept)
        temporary.replace(path)
        self._file = path.open("a")

    def write(self, record: dict[str, Any]) -> None:
        """Append a line."""
        self._file.write(json_text.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


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
