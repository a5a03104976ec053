"""Parameters to start training from: those of a run, or of a safetensors file."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from rnnlm_jax.config import Config, replace
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import CheckpointError, ConfigError
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.checkpoints.array_digests import digests, named_leaves
from rnnlm_jax.jobs.run_folder import Run, RunFolder, open_run
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.outputs.word_counts import WordCounts


class InitialSource(NamedTuple):
    """Parameters by the names of leaves, and what is known of the model that they are of."""

    name: str
    """The path that it was read from."""
    arrays: dict[str, np.ndarray]
    digest: str
    """SHA-256 of names, dtypes, shapes and bytes of all arrays."""
    model: LanguageModel | None = None
    vocabulary: Vocabulary | None = None
    words: WordCounts | None = None
    run_id: str | None = None
    step: int | None = None


def read_source(path: str | Path) -> InitialSource:
    """Read the parameters of a run's best checkpoint, or of a safetensors file.

    A file is one of ``rnnlm-jax export RUN --format safetensors``, the folder of ``rnnlm-jax export`` that contains it
    as ``model.safetensors``, or any file whose arrays have the names of leaves, which then has no vocabulary.

    Raises:
        CheckpointError: if there is no run, its files are damaged, or a parameter is not finite.
        UserError: if the file cannot be read.
    """
    given = Path(path)
    exported = given / "model.safetensors"
    if given.is_dir() and not (exported.exists() and not RunFolder(given).exists()):
        return _source_of(open_run(given), str(path))
    from rnnlm_jax.interop.exporting import is_run_file, read_tensors, run_of  # few runs need it

    arrays, texts = read_tensors(exported if given.is_dir() else given)
    if is_run_file(texts):
        return _source_of(run_of(arrays, texts, str(path)), str(path))
    if not arrays:
        raise CheckpointError(f"{path} holds no arrays: give a run, or a file of rnnlm-jax export")
    require_finite(arrays, str(path))
    return InitialSource(str(path), arrays, _digest(arrays))


def with_absolute_source(config: Config) -> Config:
    """Return the configuration with the absolute path of ``init_from``, as a run records it."""
    path = config.training.init_from
    return config if path is None else replace(config, training={"init_from": os.path.abspath(path)})


def source_to_begin(config: Config) -> InitialSource | None:
    """Return the source of a new run's initial parameters; None without ``init_from``.

    Raises:
        ConfigError: if parts of a source are chosen without a source.
        UserError: as ``read_source``.
    """
    if config.training.init_from is None and config.training.init_parts is not None:
        raise ConfigError("`init_parts` chooses parameters of `init_from`: give both, or neither")
    return None if config.training.init_from is None else read_source(config.training.init_from)


def source_to_resume(config: Config, begun: Config, folder: RunFolder, identity: RunIdentity) -> InitialSource | None:
    """Return the source from which a resumed run must start again; None if it has a checkpoint or drew its parameters.

    A run may be resumed with another path if the parameters there are the same; without a change of the path they are
    read only if they are needed.

    Args:
        config: the configuration with which the run is resumed.
        begun: the configuration of the run.
        folder: the run folder.
        identity: the identity of the run.

    Raises:
        ConfigError: if the parameters are not those that the run was begun with.
    """
    path = with_absolute_source(config).training.init_from
    before = with_absolute_source(begun).training.init_from
    has_checkpoint = any(CheckpointFolder(folder.checkpoints(which)).steps() for which in ("last", "validating"))
    if path == before and (path is None or has_checkpoint):
        return None
    if path is None and has_checkpoint:
        return None  # it is not needed any more
    source = None if path is None else read_source(path)
    if (None if source is None else source.digest) != identity.init:
        there = "parameters that its seed draws" if identity.init is None else f"those of {before}"
        raise ConfigError(
            f"cannot resume with `init_from` {path}: the run was begun with {there}; leave the option out, or begin "
            "another run"
        )
    return None if has_checkpoint else source


def _source_of(run: Run, name: str) -> InitialSource:
    require_finite(run.params, name)
    arrays = {leaf: np.asarray(array) for leaf, array in jax.device_get(named_leaves(run.params)).items()}
    run_id = None if run.identity is None else run.identity.run_id
    return InitialSource(name, arrays, _digest(arrays), run.model, run.vocabulary, run.words, run_id, run.position.step)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(json.dumps(digests(arrays), sort_keys=True).encode()).hexdigest()
