"""The folder of a training run: its configuration, vocabulary, checkpoints, metrics and results, and how to open it."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax import cells, json_text
from rnnlm_jax.array_types import Array, Key
from rnnlm_jax.cells import zoo
from rnnlm_jax.checkpoints import CheckpointFolder, Position
from rnnlm_jax.config import Config, ModelConfig, from_json, to_json
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.dropout import Dropout
from rnnlm_jax.errors import UserError
from rnnlm_jax.language_model import LanguageModel, LanguageModelParams, language_model

#: The position before the first step.
START = Position(step=0, epoch=0, batch=0, epoch_nats=0.0, epoch_tokens=0, best_valid_nats=None, seconds=0.0, text="")


@dataclass(frozen=True)
class RunFolder:
    """Where everything of a run lies."""

    path: Path

    @property
    def config(self) -> Path:
        """The configuration, as JSON."""
        return self.path / "config.json"

    @property
    def vocabulary(self) -> Path:
        """The vocabulary file."""
        return self.path / "vocabulary.json"

    @property
    def metrics(self) -> Path:
        """Metrics of steps and epochs, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def results(self) -> Path:
        """The final figures, as JSON."""
        return self.path / "results.json"

    @property
    def learning_curve(self) -> Path:
        """The figure of losses against steps."""
        return self.path / "learning_curve.png"

    def checkpoints(self, which: str) -> Path:
        """The checkpoints to resume from ("last"), or of the best validation ("best")."""
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


def build_model(config: ModelConfig, vocab_size: int, executor: str | None = None) -> LanguageModel:
    """The language model that a configuration describes.

    The executor of the configuration is that of training: a run is read on any machine.

    Raises:
        UserError: for an unknown cell or option, an option of a wrong type, or float64 without x64 switched on.
    """
    if "float64" in (config.dtype, config.param_dtype) and jax.dtypes.canonicalize_dtype("float64") != "float64":
        raise UserError("float64 needs JAX_ENABLE_X64=1 in the environment: set it, or use float32")
    options = dict(config.cell_options)
    if not {"dtype", "param_dtype"}.isdisjoint(options):
        raise UserError("--cell-options cannot set precisions: use --dtype and --param-dtype")
    cell = zoo.make(config.cell, config.hidden_size, dtype=config.dtype, param_dtype=config.param_dtype, **options)
    layers = [cell] * config.layers
    model = language_model(
        layers[0] if config.layers == 1 else cells.stack(*layers, residual=config.residual),
        vocab_size,
        config.embedding_size,
        tie_embeddings=config.tie_embeddings,
        dropout=Dropout(config.dropout_input, config.dropout_hidden, config.dropout_output, config.dropout_locked),
        init_scale=config.init_scale,
        remat_chunk=config.remat_chunk,
        executor=executor,
    )
    try:
        jax.eval_shape(functools.partial(_one_step, model), jax.random.key(0))
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cell {config.cell!r} cannot be run with --cell-options {options} ({reason})") from error
    return model


def _one_step(model: LanguageModel, key: Key) -> Array:
    """Fresh parameters put to use once: what no cell can do shows before a run is begun."""
    token = jnp.zeros((1, 1), jnp.int32)
    return model.token_nats(model.init(key), model.initial_state((1,)), token, token)[1]


def read_config(folder: RunFolder) -> Config:
    """The configuration of a run.

    Raises:
        UserError: if there is no run in the folder, or its configuration cannot be read.
    """
    if not folder.exists():
        raise UserError(
            f"{folder.path} holds no run (no config.json): train one with rnnlm-jax train --run {folder.path}"
        )
    return from_json(folder.config.read_bytes(), str(folder.config))


def initial_params(model: LanguageModel, seed: int) -> LanguageModelParams:
    """What training with that seed starts from."""
    return model.init(jax.random.fold_in(jax.random.key(seed), 0))


def open_run(path: str | Path, which: str = "best", step: int | None = None) -> Run:
    """A run's model with the parameters of a checkpoint, vocabulary and digests verified.

    Args:
        path: the run's folder.
        which: the "best" checkpoint, the "last", or "init" for what training started from.
        step: of those that ``kept_steps`` lists; the newest of its kind unless given.

    Raises:
        UserError: if there is no run, or a part of it is missing, damaged, or of another vocabulary.
    """
    folder = RunFolder(Path(path))
    config = read_config(folder)
    vocabulary = Vocabulary.load(folder.vocabulary)
    model = build_model(config.model, vocabulary.size)
    if which == "init":
        return Run(config, vocabulary, model, initial_params(model, config.training.seed), START)
    like = {"params": jax.eval_shape(model.init, jax.random.key(0))}
    tree, position = _checkpoints(folder, which).restore(like, vocabulary.content_hash, step)
    return Run(config, vocabulary, model, tree["params"], position)


def kept_steps(path: str | Path, which: str = "last") -> list[int]:
    """The steps that a run keeps checkpoints of, oldest first.

    Raises:
        UserError: if it keeps none.
    """
    steps = _checkpoints(RunFolder(Path(path)), which).steps()
    if not steps:
        raise UserError(f"{path} keeps no checkpoint yet: resume it with rnnlm-jax train --run {path} --resume")
    return steps


def _checkpoints(folder: RunFolder, which: str) -> CheckpointFolder:
    where = folder.checkpoints(which)
    if not where.is_dir():
        raise UserError(
            f"{folder.path} holds no checkpoint yet: resume it with rnnlm-jax train --run {folder.path} --resume"
        )
    return CheckpointFolder(where, read_only=True)


def write_new_run(folder: RunFolder, config: Config, vocabulary: Vocabulary) -> None:
    """Begin a run: vocabulary first, configuration last, so that a folder with a configuration is complete."""
    folder.path.mkdir(parents=True, exist_ok=True)
    vocabulary.save(folder.vocabulary)
    write_text(folder.config, to_json(config))


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs, the whole file or none of it."""
    write_text(path, json_text.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
