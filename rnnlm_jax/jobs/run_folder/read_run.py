"""Read the files of a run folder, and check that they belong to the same run."""

import json
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh, NamedSharding

from rnnlm_jax.config import Config, config_and_identity_from_json, fixed_options_digest
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import CheckpointError
from rnnlm_jax.jobs.checkpoints import START, CheckpointFolder, DamagedCheckpointError, Position, restore_first
from rnnlm_jax.jobs.run_folder.build_model import build_model, initial_params
from rnnlm_jax.jobs.run_folder.paths import RunFolder
from rnnlm_jax.jobs.run_identity import RunIdentity, require_run_id
from rnnlm_jax.jobs.sharding.parameter_sharding import parameter_shardings
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.system.machine_memory import bytes_on_each_device, require_memory


@dataclass(frozen=True)
class Run:
    """A trained language model, ready to use."""

    config: Config
    vocabulary: Vocabulary
    model: LanguageModel
    params: LanguageModelParams
    position: Position
    """The position in training at which ``params`` were saved."""
    words: WordCounts | None = None
    """The vocabulary's words with their counts; None if they were not counted."""
    identity: RunIdentity | None = None
    """The identity of the run's folder; None if the model was not read from a run folder."""


def open_run(path: str | Path, which: str = "best", step: int | None = None, *, mesh: Mesh | None = None) -> Run:
    """Read a run's model and parameters, and verify vocabulary and digests.

    Args:
        path: the run folder.
        which: the "best" checkpoint, the "last", or "init" for the initial parameters.
        step: one of ``checkpoint_steps``; None for the newest checkpoint of its kind that is not damaged. A warning
            names each damaged one.
        mesh: devices to divide the parameters over; None for one device.

    Raises:
        CheckpointError: if the folder has no run, or a part of it is missing, damaged, or of another run.
        DeviceError: if the parameters do not fit the memory.
    """
    folder = RunFolder(Path(path))
    config, identity = read_config_and_identity(folder)
    vocabulary = read_vocabulary(folder, identity)
    words = read_words(folder, identity, vocabulary)
    model = build_model(config.model, vocabulary.size, words=words, unknown_id=vocabulary.unk_id)
    if which == "init" and identity.init is not None:
        raise CheckpointError(
            f"{folder.path} did not start from parameters that its seed draws, but from those in {folder.initialized}: "
            "measure that run"
        )
    if which == "init":
        return Run(config, vocabulary, model, initial_params(model, config.training.seed), START, words, identity)
    like = {"params": jax.eval_shape(model.init, jax.random.key(0))}
    if mesh is not None:
        like = {"params": jax.tree.map(_with_sharding, like["params"], parameter_shardings(model, mesh))}
    require_memory(bytes_on_each_device(like), f"the parameters of {folder.path}")
    tree, position, _ = restore_first(_candidates(folder, which, step), like, identity)
    return Run(config, vocabulary, model, tree["params"], position, words, identity)


def _with_sharding(leaf: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _candidates(folder: RunFolder, which: str, step: int | None) -> list[tuple[CheckpointFolder, int]]:
    """Return the checkpoints that have the requested parameters, in order of preference."""
    asked = _checkpoint_folder(folder, which)
    steps = asked.steps()[::-1]
    if not steps:
        raise CheckpointError(f"{asked.folder} holds no checkpoint: train first, or check the path")
    if step is not None:
        if step not in steps:
            raise CheckpointError(
                f"{asked.folder} holds no checkpoint of step {step}: it has {', '.join(map(str, steps))}"
            )
        steps = [step]
    # The other kind may have a checkpoint of the same step, which has the same parameters.
    other = CheckpointFolder(folder.checkpoints("last" if which == "best" else "best"))
    return [(kind, step) for step in steps for kind in (asked, other) if step in kind.steps()]


def read_config(folder: RunFolder) -> Config:
    """Return the configuration of a run.

    Raises:
        UserError: as ``read_config_and_identity``.
    """
    return read_config_and_identity(folder)[0]


def read_config_and_identity(folder: RunFolder) -> tuple[Config, RunIdentity]:
    """Return the configuration and the identity of a run.

    Raises:
        CheckpointError: if the folder has no run, or the results or metrics in it are of another run.
        ConfigError: if the configuration is damaged or of an earlier version.
    """
    if not folder.exists():
        raise CheckpointError(
            f"{folder.path} holds no run (no config.json): train one with rnnlm-jax train --run {folder.path}"
        )
    config, entry = config_and_identity_from_json(folder.config.read_bytes(), str(folder.config))
    if entry is None:
        raise CheckpointError(
            f"{folder.config} does not say which run it is of, as those of earlier versions: restore it from a copy, "
            "or train again"
        )
    try:
        identity = RunIdentity.from_entry(entry)
    except ValueError as error:
        raise CheckpointError(f"{folder.config} is damaged ({error}): restore it from a copy") from error
    if fixed_options_digest(config) != identity.options:
        raise CheckpointError(
            f"{folder.config} has other options than the run was begun with: restore it from a copy, or begin another "
            "run"
        )
    _require_own_files(folder, identity)
    return config, identity


def _require_own_files(folder: RunFolder, identity: RunIdentity) -> None:
    """Check that results and metrics are of the run, if they exist and can be read."""
    ids = {path: run_id for path in (folder.results, folder.metrics) if (run_id := _run_id(path)) is not None}
    if len(ids) == 2 and len({*ids.values(), identity.run_id}) == 2 and identity.run_id not in ids.values():
        raise CheckpointError(
            f"{folder.config} is of another run than results.json and metrics.jsonl beside it: restore it from a copy"
        )
    remedy = "restore config.json if it is that, or else delete this file"
    for path, run_id in ids.items():
        require_run_id(run_id, identity, str(path), remedy=remedy)


def _run_id(path: Path) -> str | None:
    """Return the ``run_id`` in a JSON file, or in the first line of a ``.jsonl`` file; None if it has none."""
    try:
        with path.open("rb") as file:
            return str(json.loads(file.readline() if path.suffix == ".jsonl" else file.read())["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_vocabulary(folder: RunFolder, identity: RunIdentity) -> Vocabulary:
    """Return the vocabulary of a run.

    Raises:
        CheckpointError: if it is not the vocabulary that the run was begun with.
        DataError: if it is missing or damaged.
    """
    vocabulary = Vocabulary.load(folder.vocabulary)
    if vocabulary.content_hash != identity.vocabulary:
        raise CheckpointError(
            f"the run in {folder.path} was trained with another vocabulary than {folder.vocabulary} "
            f"({identity.vocabulary[:12]}… in config.json, {vocabulary.content_hash[:12]}… there): the folder mixes "
            "files of two runs; restore the one that does not belong from a copy"
        )
    return vocabulary


def read_words(folder: RunFolder, identity: RunIdentity, vocabulary: Vocabulary) -> WordCounts | None:
    """Return the words of a run with their counts in its training text; None if the file is missing.

    Raises:
        CheckpointError: if they are not the counts that the run was begun with.
        UserError: if the file is damaged.
    """
    if not folder.counts.exists():
        return None
    words = WordCounts.from_json(folder.counts.read_bytes(), vocabulary.tokens, str(folder.counts))
    if words.digest != identity.counts:
        raise CheckpointError(
            f"{folder.counts} has other counts than the run was begun with: the folder mixes files of two runs; "
            "restore the one that does not belong from a copy"
        )
    return words


def checkpoint_steps(path: str | Path, which: str = "last") -> list[int]:
    """Return the steps whose checkpoints a run keeps, in ascending order.

    Raises:
        CheckpointError: if there are none.
    """
    steps = _checkpoint_folder(RunFolder(Path(path)), which).steps()
    if not steps:
        raise CheckpointError(f"{path} keeps no checkpoint yet: resume it with rnnlm-jax train --run {path} --resume")
    return steps


def newest_position(folder: RunFolder, identity: RunIdentity) -> Position | None:
    """Return the position of the newest checkpoint to resume from; None if it is missing or damaged.

    Raises:
        CheckpointError: if it is of another run.
    """
    last = CheckpointFolder(folder.checkpoints("last"))
    try:
        return last.metadata(last.steps()[-1], identity).position
    except (IndexError, DamagedCheckpointError):
        return None


def _checkpoint_folder(folder: RunFolder, which: str) -> CheckpointFolder:
    path = folder.checkpoints(which)
    if not path.is_dir():
        raise CheckpointError(
            f"{folder.path} holds no checkpoint yet: resume it with rnnlm-jax train --run {folder.path} --resume"
        )
    return CheckpointFolder(path)
