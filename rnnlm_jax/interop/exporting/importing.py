"""Import of a run: a run folder from parameters that were trained elsewhere."""

from pathlib import Path
from typing import Any

from rnnlm_jax.interop.exporting.atomic_folder import atomic_folder
from rnnlm_jax.interop.exporting.run_file import require_run
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import Run, RunFolder, write_json, write_new_run
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.language_model.finite_parameters import require_finite


def import_run(run: Run, path: str | Path, source: dict[str, Any]) -> None:
    """Write a run as a folder that every command except ``train --resume`` reads like one that was trained here.

    It gets a new identity. Its parameters are both the best and the last checkpoint. The file ``imported.json`` marks
    it as a run without an optimiser state, which ``train --resume`` refuses.

    Args:
        run: configuration, vocabulary and parameters.
        path: the folder, written completely or not at all; it must not exist, or be empty.
        source: the origin of the parameters, to record beside them.

    Raises:
        UserError: for a folder in use, parameters that are not finite, or if they cannot be written.
    """
    require_run(run)
    require_finite(run.params, str(source.get("file", "the run")))
    was = run.identity
    identity = RunIdentity.begin(
        run.config,
        run.vocabulary.content_hash,
        counts=None if run.words is None else run.words.digest,
        texts={} if was is None else was.texts,
    )
    with atomic_folder(path) as temporary:
        folder = RunFolder(temporary)
        for kind in ("best", "last"):
            checkpoints = CheckpointFolder(folder.checkpoints(kind))
            checkpoints.save({"params": run.params}, run.position, identity)
        write_json(folder.imported, source | ({} if was is None else {"run_id": was.run_id}))
        write_new_run(folder, run.config, identity, vocabulary=run.vocabulary, words=run.words)
