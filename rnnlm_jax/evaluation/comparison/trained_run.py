"""A trained run as a scorer, with what its folder says about it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import EncodedText, Vocabulary, require_in_vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.comparison.dynamic_evaluation import Dynamic, dynamic_nats
from rnnlm_jax.evaluation.comparison.gradient_scale import gradient_scale
from rnnlm_jax.evaluation.comparison.scorer import About, Progress, silent
from rnnlm_jax.evaluation.perplexity import text_nats
from rnnlm_jax.jobs.run_folder import Run, RunFolder, newest_position, open_run
from rnnlm_jax.jobs.run_identity import RunIdentity, require_run_id
from rnnlm_jax.language_model.finite_parameters import require_finite
from rnnlm_jax.language_model.model import LanguageModelParams, parameter_count
from rnnlm_jax.registry.user_source import shown
from rnnlm_jax.training.metrics import complete_lines, lines_before
from rnnlm_jax.training.texts import corpus_of_run, require_same_texts

#: Where ``rnnlm-jax jacobians`` may have been told to write, below the folder of a run.
HORIZONS = ("jacobians.json", "*/jacobians.json", "*/*/jacobians.json")
#: What a run's training text is given with that lies elsewhere now.
_MOVED = "say with --dynamic-text where it lies now"


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A trained model read as one continuous stream: the state is carried from the first token to the last."""

    name: str
    run: Run
    about: About
    dynamic: Dynamic | None = None
    """How it goes on learning from what it has scored; None: it does not."""
    scale: LanguageModelParams | None = None
    """Of its gradients, for the rule rms."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The run's own."""
        return self.run.vocabulary

    @property
    def policy(self) -> str:
        """Which tokens are scored."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """How many numbers the parameters are."""
        return parameter_count(self.run.params)

    def token_nats(self, text: EncodedText, progress: Progress = silent) -> np.ndarray:
        """``-log P`` of every token, float64 ``[N]``."""
        run = self.run
        if self.dynamic is None:
            return text_nats(run.model, run.params, text, run.vocabulary, 1, progress)
        return dynamic_nats(run.model, run.params, text, run.vocabulary, self.dynamic, self.scale, progress)


def open_trained_run(
    path: str | Path, name: str, checkpoint: str = "best", horizons: str | Path | None = None
) -> TrainedRun:
    """A run's model, and what is known of it.

    Args:
        path: the folder of the run.
        name: how tables call it.
        checkpoint: "best" or "last".
        horizons: a folder that ``rnnlm-jax jacobians`` wrote; without one, or without this run in it, what lies below
            the run's own folder is taken.

    Raises:
        UserError: if there is no run, a part of it is missing or damaged, or its parameters are not finite.
    """
    run = open_run(path, checkpoint)
    require_finite(run.params, name)
    folder = RunFolder(Path(path))
    seconds, rate = (None, None) if run.identity is None else training_speed(folder, run.identity)
    measured = [] if horizons is None else [Path(horizons) / Path(path).resolve().name]
    lag = next(filter(None, (horizon(folder, run) for folder in (*measured, Path(path)))), "")
    about = About(model_kind(run.config.model), seconds, rate, lag)
    return TrainedRun(name, run, about)


def training_text(run: Run, data_dir: str | None = None, data: str | None = None) -> EncodedText:
    """What a run was trained on, in its vocabulary.

    Args:
        run: the run.
        data_dir: in place of the folder of corpora that its configuration names.
        data: in place of the corpus or path that its configuration names, where the text lies elsewhere now.

    Raises:
        UserError: if the corpus is not there, has nothing in the vocabulary, or is another than the run was trained on.
    """
    was = run.config.data
    where = dataclasses.replace(was, corpus=data or was.corpus, data_dir=data_dir or was.data_dir)
    corpus = corpus_of_run(where, _MOVED)
    text = require_in_vocabulary(run.vocabulary.encode(corpus.lines("train")), run.vocabulary, corpus.name)
    if run.identity is not None:
        require_same_texts(
            {"train": text.digest}, run.identity.texts, name=corpus.name, remedy=f"restore it, or {_MOVED}"
        )
    return text


def scale_of(
    run: Run, text: EncodedText, how: Dynamic, most_batches: int | None = None, progress: Progress = silent
) -> LanguageModelParams | None:
    """What the rule of dynamic evaluation divides by: of rms the scale of gradients on a text, of sgd nothing."""
    if how.rule == "sgd":
        return None
    return gradient_scale(run.model, run.params, text, run.vocabulary, how.segment, most_batches, progress)


def model_kind(config: ModelConfig) -> str:
    """A model in a few words: cells, units, and what is unusual about its input and output."""
    layers = f"{config.layers} x " if config.layers > 1 else ""
    words = [f"{layers}{shown(config.cell)} {config.hidden_size}"]
    if config.input != "embedding":
        words.append(config.input)
    if config.output != "softmax":
        words.append(shown(config.output))
    return ", ".join(words)


def training_speed(folder: RunFolder, identity: RunIdentity) -> tuple[float | None, float | None]:
    """Seconds spent training up to the last epoch, and tokens a second over all of them, from ``metrics.jsonl``.

    Raises:
        UserError: if it is damaged, or of another run.
    """
    if not folder.metrics.exists():
        return None, None
    newest = newest_position(folder, identity)
    if newest is not None:
        lines_before(folder.metrics, newest)  # a file that was cut off has the times of an earlier epoch
    remedy = "restore it from a copy, or delete it to compare without training times"
    try:
        records = [json.loads(line) for line in complete_lines(folder.metrics)]
        of = {str(record["run_id"]) for record in records}
        epochs = [(record["seconds"], record["tokens_per_second"]) for record in records if record["kind"] == "epoch"]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{folder.metrics} is damaged ({error}): {remedy}") from error
    for run_id in of:
        require_run_id(run_id, identity, str(folder.metrics), remedy=remedy)
    return epochs[-1] if epochs else (None, None)


def horizon(path: Path, run: Run) -> str:
    """Words back at which the gradient has fallen to 1 %, where a folder holds that of a run and its checkpoint.

    It is of the input words, or of the first part of the state that was measured, which is then named. Of several
    measurements the newest counts.
    """
    found = sorted((file for pattern in HORIZONS for file in path.glob(pattern)), key=lambda file: file.stat().st_mtime)
    for file in reversed(found):
        try:
            summary = json.loads(file.read_text())
            own = run.identity is None or summary["run_id"] == run.identity.run_id
            if not own or summary["step"] != run.position.step:
                continue
            horizons: dict[str, dict[str, int | None]] = summary["horizons"]
            part = "inputs" if "inputs" in horizons else next(iter(horizons))
            lag = horizons[part]["1%"]
            shown = f">{summary['largest_lag']}" if lag is None else str(lag)
        except (ValueError, KeyError, TypeError, StopIteration):
            continue  # no summary of this version
        return shown if part == "inputs" else f"{shown} ({part})"
    return ""
