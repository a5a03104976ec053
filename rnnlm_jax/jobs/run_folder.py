"""The folder of a training run: its configuration, vocabulary, checkpoints, metrics and results, and how to open it."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from rnnlm_jax import cells, inputs, outputs
from rnnlm_jax.array_types import Array, Key
from rnnlm_jax.config import Config, ModelConfig, kept_digest, to_sealed_json, with_identity_from_json
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.checkpoints import CheckpointFolder, Damaged, Position, restore_first
from rnnlm_jax.jobs.run_identity import RunIdentity, require_own_id
from rnnlm_jax.jobs.sharding.parameter_sharding import parameter_shardings
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams, language_model
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.system import json_text
from rnnlm_jax.system.atomic_write import written_whole
from rnnlm_jax.system.machine_memory import bytes_on_each_device, require_memory

#: In place of a cell's name: no recurrent part, for an output layer that reads the last words itself.
NO_CELL = "none"
#: The position before the first step.
START = Position(step=0, epoch=0, batch=0, epoch_nats=0.0, epoch_tokens=0, best_valid_nats=None, seconds=0.0)


@dataclass(frozen=True)
class RunFolder:
    """Where everything of a run lies."""

    path: Path

    def __post_init__(self) -> None:
        """Check that the libraries that write checkpoints can name a file in the folder.

        Raises:
            UserError: if its path is not UTF-8.
        """
        try:
            str(self.path.absolute()).encode()
        except UnicodeEncodeError:
            raise UserError(
                f"the path of the run {self.path} is not UTF-8, as checkpoints need: give another"
            ) from None

    @property
    def config(self) -> Path:
        """The configuration, as JSON."""
        return self.path / "config.json"

    @property
    def vocabulary(self) -> Path:
        """The vocabulary file."""
        return self.path / "vocabulary.json"

    @property
    def counts(self) -> Path:
        """How often each word of the vocabulary stands in the training text."""
        return self.path / "counts.json"

    @property
    def metrics(self) -> Path:
        """Metrics of steps and epochs, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def results(self) -> Path:
        """The final figures, as JSON."""
        return self.path / "results.json"

    @property
    def imported(self) -> Path:
        """Where the parameters of a run that was not trained here are from, as JSON."""
        return self.path / "imported.json"

    @property
    def learning_curve(self) -> Path:
        """The figure of losses against steps."""
        return self.path / "learning_curve.png"

    def checkpoints(self, which: str) -> Path:
        """The checkpoints to resume from ("last"), or of the best validation ("best").

        Those of "validating" are of epochs whose training is done and whose validation was stopped.
        """
        return self.path / "checkpoints" / which

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.config.exists()


@dataclass(frozen=True)
class Run:
    """A trained language model, ready to use."""

    config: Config
    vocabulary: Vocabulary
    model: LanguageModel
    params: LanguageModelParams
    position: Position
    words: Words | None = None
    """With their counts; None where nobody has counted them."""
    identity: RunIdentity | None = None
    """Of the folder that it was read from; None for one that lies in none."""


def build_model(
    config: ModelConfig, vocab_size: int, executor: str | None = None, words: Words | None = None
) -> LanguageModel:
    """The language model that a configuration describes.

    Args:
        config: the configuration.
        vocab_size: V.
        executor: what runs the cells. That of the configuration is training's: a run is read on any machine.
        words: the vocabulary's words and their counts, for input and output layers that are made of them.

    Raises:
        UserError: for an unknown cell, input or output layer, or an option that it does not have or that cannot be, or
            float64 without x64 switched on.
    """
    if "float64" in (config.dtype, config.param_dtype) and jax.dtypes.canonicalize_dtype("float64") != "float64":
        raise UserError("float64 needs JAX_ENABLE_X64=1 in the environment: set it, or use float32")
    types = {"dtype": config.dtype, "param_dtype": config.param_dtype}
    for flag in ("cell_options", "input_options", "output_options"):
        if not types.keys().isdisjoint(dict(getattr(config, flag))):
            raise UserError(f"--{flag.replace('_', '-')} cannot set precisions: use --dtype and --param-dtype")
    output = outputs.make(config.output, words, config.tie_embeddings, **types, **dict(config.output_options))
    if config.cell == NO_CELL:
        cell = _no_cell(config, output)
        input_layer = inputs.no_input(param_dtype=config.param_dtype)
    else:
        cell = cells.make(config.cell, config.hidden_size, **types, **dict(config.cell_options))
        cell = cell if config.layers == 1 else cells.stack(*[cell] * config.layers, residual=config.residual)
        input_layer = inputs.make(config.input, words and words.tokens, **types, **dict(config.input_options))
    model = language_model(
        cell,
        vocab_size,
        config.embedding_size,
        input_layer=input_layer,
        output=output,
        tie_embeddings=config.tie_embeddings,
        dropout=Dropout(config.dropout_input, config.dropout_hidden, config.dropout_output, config.dropout_locked),
        init_scale=config.init_scale,
        remat_chunk=config.remat_chunk,
        executor=executor,
    )
    jax.eval_shape(functools.partial(_one_step, model), jax.random.key(0))
    return model


def _no_cell(config: ModelConfig, output: outputs.OutputLayer) -> cells.Cell:
    """The cell of a model without recurrent part, if the rest of the configuration allows it."""
    if not output.context_size:
        raise UserError(f"--cell {NO_CELL} predicts from n-gram features alone: use --output maxent with it")
    for name in ("cell_options", "input_options", "tie_embeddings", "residual"):
        if getattr(config, name):
            raise UserError(f"--cell {NO_CELL} has no units and no input: leave --{name.replace('_', '-')} out")
    if config.layers != 1 or config.input != "embedding":
        raise UserError(f"--cell {NO_CELL} has no units and no input: leave --layers and --input out")
    return cells.no_cell(dtype=config.dtype, param_dtype=config.param_dtype)


def _one_step(model: LanguageModel, key: Key) -> Array:
    """Fresh parameters put to use once: what no cell can do shows before a run is begun."""
    token = jnp.zeros((1, 1), jnp.int32)
    return model.token_nll(model.init(key), model.initial_state((1,)), token, token)[1]


def read_config(folder: RunFolder) -> Config:
    """The configuration of a run.

    Raises:
        UserError: as ``read_begun``.
    """
    return read_begun(folder)[0]


def read_begun(folder: RunFolder) -> tuple[Config, RunIdentity]:
    """The configuration of a run, and what all its files have in common.

    Raises:
        UserError: if there is no run in the folder, its configuration cannot be read or is of an earlier version, or
            the results or records of metrics beside it are of another run.
    """
    if not folder.exists():
        raise UserError(
            f"{folder.path} holds no run (no config.json): train one with rnnlm-jax train --run {folder.path}"
        )
    config, entry = with_identity_from_json(folder.config.read_bytes(), str(folder.config))
    if entry is None:
        raise UserError(
            f"{folder.config} does not say which run it is of, as those of earlier versions: restore it from a copy, "
            "or train again"
        )
    try:
        identity = RunIdentity.from_entry(entry)
    except ValueError as error:
        raise UserError(f"{folder.config} is damaged ({error}): restore it from a copy") from error
    if kept_digest(config) != identity.options:
        raise UserError(
            f"{folder.config} has other options than the run was begun with: restore it from a copy, or begin another "
            "run"
        )
    _require_own_files(folder, identity)
    return config, identity


def _require_own_files(folder: RunFolder, identity: RunIdentity) -> None:
    """Check that results and metrics are of the run, where there are any that can be read: most commands read none."""
    said = {path: found for path in (folder.results, folder.metrics) if (found := _run_id(path)) is not None}
    if len(said) == 2 and len({*said.values(), identity.run_id}) == 2 and identity.run_id not in said.values():
        raise UserError(
            f"{folder.config} is of another run than results.json and metrics.jsonl beside it: restore it from a copy"
        )
    for path, found in said.items():
        require_own_id(found, identity, str(path), "restore config.json if it is that, or else delete this file")


def _run_id(path: Path) -> str | None:
    """The run that a JSON object says it is of, or the first of some that stand one a line; None if it says none."""
    try:
        with path.open("rb") as file:
            return str(json.loads(file.readline() if path.suffix == ".jsonl" else file.read())["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def initial_params(model: LanguageModel, seed: int) -> LanguageModelParams:
    """What training with that seed starts from."""
    return model.init(jax.random.fold_in(jax.random.key(seed), 0))


def open_run(path: str | Path, which: str = "best", step: int | None = None, mesh: Mesh | None = None) -> Run:
    """A run's model with the parameters of a checkpoint, vocabulary and digests verified.

    Args:
        path: the run's folder.
        which: the "best" checkpoint, the "last", or "init" for what training started from.
        step: of those that ``kept_steps`` lists; unless given the newest of its kind that is whole: one that is not is
            told on stderr.
        mesh: to divide the parameters over; none for one device.

    Raises:
        UserError: if there is no run, or a part of it is missing, damaged, or of another run.
    """
    folder = RunFolder(Path(path))
    config, identity = read_begun(folder)
    vocabulary = read_vocabulary(folder, identity)
    words = read_words(folder, identity, vocabulary)
    model = build_model(config.model, vocabulary.size, words=words)
    if which == "init":
        return Run(config, vocabulary, model, initial_params(model, config.training.seed), START, words, identity)
    like = {"params": jax.eval_shape(model.init, jax.random.key(0))}
    if mesh is not None:
        like = {"params": jax.tree.map(_lying, like["params"], parameter_shardings(model, mesh))}
    require_memory(bytes_on_each_device(like), f"the parameters of {folder.path}")
    tree, position, _ = restore_first(_candidates(folder, which, step), like, identity)
    return Run(config, vocabulary, model, tree["params"], position, words, identity)


def _lying(leaf: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _candidates(folder: RunFolder, which: str, step: int | None) -> list[tuple[CheckpointFolder, int]]:
    """The checkpoints that hold what is asked for, the one wanted most first."""
    asked = _checkpoints(folder, which)
    steps = asked.steps()[::-1]
    if not steps:
        raise UserError(f"{asked.folder} holds no checkpoint: train first, or check the path")
    if step is not None:
        if step not in steps:
            raise UserError(f"{asked.folder} holds no checkpoint of step {step}: it has {', '.join(map(str, steps))}")
        steps = [step]
    # The other kind may have the same step, and so the same parameters.
    other = CheckpointFolder(folder.checkpoints("last" if which == "best" else "best"))
    return [(kind, step) for step in steps for kind in (asked, other) if step in kind.steps()]


def read_vocabulary(folder: RunFolder, identity: RunIdentity) -> Vocabulary:
    """The vocabulary of a run.

    Raises:
        UserError: if it is missing, damaged, or not the one that the run was begun with.
    """
    vocabulary = Vocabulary.load(folder.vocabulary)
    if vocabulary.content_hash != identity.vocabulary:
        raise UserError(
            f"the run in {folder.path} was trained with another vocabulary than {folder.vocabulary} "
            f"({identity.vocabulary[:12]}… in config.json, {vocabulary.content_hash[:12]}… there): the folder mixes "
            "files of two runs; restore the one that does not belong from a copy"
        )
    return vocabulary


def read_words(folder: RunFolder, identity: RunIdentity, vocabulary: Vocabulary) -> Words | None:
    """The words of a run with their counts in its training text; None if they are not there.

    Raises:
        UserError: if the counts are damaged, or not those that the run was begun with.
    """
    if not folder.counts.exists():
        return None
    words = Words.from_json(folder.counts.read_bytes(), vocabulary.tokens, str(folder.counts))
    if words.digest != identity.counts:
        raise UserError(
            f"{folder.counts} has other counts than the run was begun with: the folder mixes files of two runs; "
            "restore the one that does not belong from a copy"
        )
    return words


def kept_steps(path: str | Path, which: str = "last") -> list[int]:
    """The steps that a run keeps checkpoints of, oldest first.

    Raises:
        UserError: if it keeps none.
    """
    steps = _checkpoints(RunFolder(Path(path)), which).steps()
    if not steps:
        raise UserError(f"{path} keeps no checkpoint yet: resume it with rnnlm-jax train --run {path} --resume")
    return steps


def newest_position(folder: RunFolder, identity: RunIdentity) -> Position | None:
    """Where the newest checkpoint to resume from stands; None if there is none, or it cannot be read.

    Raises:
        UserError: if it is of another run.
    """
    last = CheckpointFolder(folder.checkpoints("last"))
    try:
        return last.about(last.steps()[-1], identity).position
    except (IndexError, Damaged):
        return None


def _checkpoints(folder: RunFolder, which: str) -> CheckpointFolder:
    where = folder.checkpoints(which)
    if not where.is_dir():
        raise UserError(
            f"{folder.path} holds no checkpoint yet: resume it with rnnlm-jax train --run {folder.path} --resume"
        )
    return CheckpointFolder(where)


def write_new_run(
    folder: RunFolder, config: Config, identity: RunIdentity, vocabulary: Vocabulary, words: Words | None = None
) -> None:
    """Begin a run: vocabulary first, configuration last, so that a folder with a configuration is complete."""
    folder.path.mkdir(parents=True, exist_ok=True)
    vocabulary.save(folder.vocabulary)
    if words is not None:
        write_text(folder.counts, words.to_json())
    write_config(folder, config, identity)


def write_config(folder: RunFolder, config: Config, identity: RunIdentity) -> None:
    """Write the configuration of a run, whole or not at all."""
    write_text(folder.config, to_sealed_json(config, identity.entry()))


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs, the whole file or none of it."""
    write_text(path, json_text.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: if ``path`` is a folder or a device.
    """
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
