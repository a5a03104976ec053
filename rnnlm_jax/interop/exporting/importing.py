"""A run folder made of a run that was not trained here."""

from pathlib import Path
from typing import Any

from rnnlm_jax.interop.exporting.run_file import require_run
from rnnlm_jax.interop.exporting.whole_folder import written_folder
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import Run, RunFolder, write_json, write_new_run
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.language_model.finite_parameters import require_finite


def import_run(run: Run, path: str | Path, source: dict[str, Any]) -> None:
    """Write a run as a folder that every command reads as it reads one that was trained here.

    It is a run of its own, with its own identity. Its parameters are both the best and the last checkpoint. There is no
    state of an optimiser, so ``train --resume`` refuses it, by the file ``imported.json``.

    Args:
        run: configuration, vocabulary and parameters.
        path: the folder, written whole or not at all; it must not exist, or be empty.
        source: where the parameters are from, to keep beside them.

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
    with written_folder(path, "--run") as temporary:
        folder = RunFolder(temporary)
        for kind in ("best", "last"):
            checkpoints = CheckpointFolder(folder.checkpoints(kind))
            checkpoints.save({"params": run.params}, run.position, identity)
        write_json(folder.imported, source | ({} if was is None else {"run_id": was.run_id}))
        write_new_run(folder, run.config, identity, vocabulary=run.vocabulary, words=run.words)
