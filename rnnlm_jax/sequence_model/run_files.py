"""The folder of a training run of models of sequences: what is trained, checkpoints, metrics, results."""

import contextlib
import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm_jax.config.json_text import content_digest
from rnnlm_jax.errors import CheckpointError
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import RunFolder, write_json
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.training.run_lock import LOCK


@dataclass(frozen=True)
class SequenceRunFolder:
    """The files of a run."""

    path: Path

    @property
    def description(self) -> Path:
        """What is trained, and the identity of the run; JSON."""
        return self.path / "sequence_run.json"

    @property
    def metrics(self) -> Path:
        """Figures of every measurement, one JSON object on each line."""
        return RunFolder(self.path).metrics

    @property
    def results(self) -> Path:
        """The final figures, JSON."""
        return RunFolder(self.path).results

    def checkpoints(self) -> CheckpointFolder:
        """Return the folder of the last checkpoints."""
        return CheckpointFolder(RunFolder(self.path).checkpoints("last"), keep=2)

    def exists(self) -> bool:
        """Return whether the folder contains a run."""
        return self.description.exists()

    def remove(self) -> None:
        """Delete the files of the run, and the folder if it has no others."""
        for path in (self.description, self.metrics, self.path / LOCK):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        with contextlib.suppress(OSError):  # the folder has other files
            self.path.rmdir()


def begin_run(folder: SequenceRunFolder, description: dict[str, Any]) -> RunIdentity:
    """Write the description of a new run, and return its identity.

    Raises:
        CheckpointError: if the folder has a run already, of this or another kind.
    """
    if folder.exists() or RunFolder(folder.path).exists():
        raise CheckpointError(f"{folder.path} holds a run already: go on with `resume`, or give another `run`")
    identity = RunIdentity(secrets.token_hex(16), content_digest(description), "", None, {})
    folder.path.mkdir(parents=True, exist_ok=True)
    write_json(folder.description, {"description": description, "identity": identity.entry()})
    return identity


def resume_run(folder: SequenceRunFolder, description: dict[str, Any]) -> RunIdentity:
    """Return the identity of the run in a folder, after checking that it is of the same description.

    Raises:
        CheckpointError: if there is no run, its file is damaged, or it trains something else.
    """
    if not folder.exists():
        raise CheckpointError(f"{folder.path} holds no run of a sequence model: leave `resume` out to begin one")
    try:
        content = json.loads(folder.description.read_bytes())
        before, identity = content["description"], RunIdentity.from_entry(content["identity"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder.description} is damaged ({error}): restore it from a copy") from error
    if content_digest(before) != identity.options:
        raise CheckpointError(f"{folder.description} is damaged, or was edited by hand: restore it from a copy")
    for name in {**before, **description}:
        if before.get(name) != description.get(name):
            raise CheckpointError(
                f"the run in {folder.path} was begun with `{name}` {before.get(name)}, not {description.get(name)}: "
                "give the same options, or another `run`"
            )
    return identity
