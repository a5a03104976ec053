"""Trained runs as scorers, with the facts that their folders record."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm_jax.array_types import Float
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import EncodedText, Vocabulary, require_in_vocabulary
from rnnlm_jax.errors import CheckpointError
from rnnlm_jax.evaluation.comparison.dynamic_evaluation import DynamicRule, dynamic_nll
from rnnlm_jax.evaluation.comparison.scorer import ModelInfo
from rnnlm_jax.evaluation.perplexity import text_nll
from rnnlm_jax.jobs.run_folder import Run, RunFolder, newest_position, open_run
from rnnlm_jax.jobs.run_identity import RunIdentity, require_run_id
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.language_model.parameters import LanguageModelParams, parameter_count
from rnnlm_jax.registry.user_source import shown
from rnnlm_jax.system.progress import Progress, no_progress
from rnnlm_jax.training.metrics import complete_lines, lines_before
from rnnlm_jax.training.texts import corpus_of_run, require_same_texts

#: Files of ``rnnlm-jax jacobians`` below a run's folder.
HORIZON_FILES = ("jacobians.json", "*/jacobians.json", "*/*/jacobians.json")
#: Advice if a run's training text is not where its configuration says.
MOVED = "give `data`, the path where it lies now"


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """Trained model that reads a text as one continuous stream, with the state carried from token to token."""

    name: str
    run: Run
    info: ModelInfo
    dynamic: DynamicRule | None = None
    """Rule of dynamic evaluation; None for fixed parameters."""
    scale: LanguageModelParams | None = None
    """Result of ``gradient_scale``, for the rule rms."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The run's vocabulary."""
        return self.run.vocabulary

    @property
    def policy(self) -> str:
        """The vocabulary's policy."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """Number of parameters."""
        return parameter_count(self.run.params)

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> Float[np.ndarray, "N"]:
        """Return ``-ln P`` of every token in nats."""
        run = self.run
        if self.dynamic is None:
            return text_nll(run.model, run.params, text, run.vocabulary, progress=progress)
        return dynamic_nll(
            run.model,
            run.params,
            text,
            run.vocabulary,
            rule=self.dynamic,
            scale=self.scale,
            progress=progress,
        )


def open_trained_run(
    path: str | Path, name: str, *, checkpoint: str = "best", horizons: str | Path | None = None
) -> TrainedRun:
    """Open the run in a folder, with its training time and its horizon.

    Args:
        path: folder of the run.
        name: name in tables.
        checkpoint: "best" or "last".
        horizons: folder that ``rnnlm-jax jacobians`` wrote; if it is None or does not contain this run, the run's own
            folder is searched.

    Raises:
        CheckpointError: if the run is missing, incomplete or damaged, or its parameters are not finite.
    """
    run = open_run(path, checkpoint)
    require_finite(run.params, name)
    folder = RunFolder(Path(path))
    seconds, rate = (None, None) if run.identity is None else training_speed(folder, run.identity)
    folders = [] if horizons is None else [Path(horizons) / Path(path).resolve().name]
    horizon = next(filter(None, (recorded_horizon(each, run) for each in (*folders, Path(path)))), "")
    return TrainedRun(name, run, ModelInfo(model_kind(run.config.model), seconds, rate, horizon))


def training_text(
    run: Run, data_dir: str | None = None, data: str | None = None, *, remedy: str = MOVED
) -> EncodedText:
    """Return the training text of a run, encoded by its vocabulary; arguments and errors as of ``text_of_run``."""
    return text_of_run(run, "train", data_dir, data, remedy=remedy)


def text_of_run(
    run: Run, split: str, data_dir: str | None = None, data: str | None = None, *, remedy: str = MOVED
) -> EncodedText:
    """Return the training, validation or test text of a run, encoded by its vocabulary.

    Args:
        run: trained run.
        split: "train", "valid" or "test".
        data_dir: folder of corpora, in place of the one in the run's configuration.
        data: corpus or path, in place of the one in the run's configuration.
        remedy: advice that ends the error message if the corpus is missing.

    Raises:
        DataError: if the corpus is missing, contains no known token, or differs from the one that the run was trained
            on.
    """
    config = run.config.data
    moved = dataclasses.replace(config, corpus=data or config.corpus, data_dir=data_dir or config.data_dir)
    corpus = corpus_of_run(moved, remedy)
    text = require_in_vocabulary(run.vocabulary.encode(corpus.lines(split)), run.vocabulary, corpus.name)
    if run.identity is not None:
        require_same_texts(
            {split: text.digest}, run.identity.texts, name=corpus.name, remedy=f"restore it, or {remedy}"
        )
    return text


def model_kind(config: ModelConfig) -> str:
    """Return a short description of a model: layers, cell, units, and an unusual input or output."""
    layers = f"{config.layers} x " if config.layers > 1 else ""
    last = "" if config.last_hidden_size is None else f" (last {config.last_hidden_size})"
    parts = [f"{layers}{shown(config.cell)} {config.hidden_size}{last}"]
    if config.input != "embedding":
        parts.append(config.input)
    if config.output != "softmax":
        parts.append(shown(config.output))
    return ", ".join(parts)


def training_speed(folder: RunFolder, identity: RunIdentity) -> tuple[float | None, float | None]:
    """Return the seconds of training up to the last epoch, and the tokens per second, from ``metrics.jsonl``.

    Raises:
        CheckpointError: if the file is damaged or belongs to another run.
    """
    if not folder.metrics.exists():
        return None, None
    newest = newest_position(folder, identity)
    if newest is not None:
        lines_before(folder.metrics, newest)  # a truncated file would give the times of an earlier epoch
    remedy = "restore it from a copy, or delete it to compare without training times"
    try:
        records = [json.loads(line) for line in complete_lines(folder.metrics)]
        run_ids = {str(record["run_id"]) for record in records}
        validations = [record for record in records if record["kind"] == "validation"]
        times = [(record["seconds"], record["tokens_per_second"]) for record in validations]
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{folder.metrics} is damaged ({error}): {remedy}") from error
    for run_id in run_ids:
        require_run_id(run_id, identity, str(folder.metrics), remedy=remedy)
    return times[-1] if times else (None, None)


def recorded_horizon(folder: Path, run: Run) -> str:
    """Return the lag at which the gradient has fallen to 1 %, from files of ``rnnlm-jax jacobians``; "" without one.

    Only files of the same run and checkpoint count, the newest first. The horizon is that of the input words, or of the
    first measured part of the state, which is then named.
    """
    files = sorted(
        (file for pattern in HORIZON_FILES for file in folder.glob(pattern)), key=lambda file: file.stat().st_mtime
    )
    for file in reversed(files):
        try:
            summary = json.loads(file.read_text())
            same_run = run.identity is None or summary["run_id"] == run.identity.run_id
            if not same_run or summary["step"] != run.position.step:
                continue
            horizons: dict[str, dict[str, int | None]] = summary["horizons"]
            part = "inputs" if "inputs" in horizons else next(iter(horizons))
            lag = horizons[part]["1%"]
            text = f">{summary['largest_lag']}" if lag is None else str(lag)
        except (ValueError, KeyError, TypeError, StopIteration):
            continue  # not a summary of this version
        return text if part == "inputs" else f"{text} ({part})"
    return ""
