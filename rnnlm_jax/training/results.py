"""The results of a run: perplexities of its best checkpoint, beside those of unigram and bigram models."""

import dataclasses
import platform
from typing import Any

import jax
from jax.sharding import Mesh

from rnnlm_jax.data import EncodedText
from rnnlm_jax.evaluation.perplexity import Evaluation, evaluate
from rnnlm_jax.jobs.checkpoints import Position
from rnnlm_jax.jobs.run_folder import RunFolder, open_run, write_json
from rnnlm_jax.jobs.stopping import StopRequest
from rnnlm_jax.language_model.parameters import parameter_count
from rnnlm_jax.plotting import learning_curve, spectrum_history
from rnnlm_jax.training.texts import Texts
from rnnlm_jax.version import __version__


@dataclasses.dataclass(frozen=True)
class Results:
    """The final figures of a run."""

    run: str
    """Path of the run folder."""
    run_id: str
    """Random identifier of the run, in all its files."""
    steps: int
    seconds: float
    """Training time."""
    parameters: int
    valid: Evaluation
    test: Evaluation
    baselines: dict[str, float]
    """Test perplexity of the unigram model and, if the training text was in memory, of the bigram model."""
    facts: dict[str, float]
    """Known properties of the corpus, such as its exact entropy rate."""
    time_use: dict[str, float] = dataclasses.field(default_factory=dict)
    """Goodput and the shares of other uses of time, as ``TimeUse.figures`` returns them."""

    def summary(self) -> dict[str, Any]:
        """Return the figures by name, as in ``results.json``."""
        return {
            "run": self.run,
            "run_id": self.run_id,
            "test_perplexity": self.test.perplexity,
            "valid_perplexity": self.valid.perplexity,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "parameters": self.parameters,
            "test": self.test.summary(),
            "valid": self.valid.summary(),
            "baselines": self.baselines,
            "corpus_facts": self.facts,
            "time_use": self.time_use,
            "environment": environment(),
        }


def measure_results(
    folder: RunFolder, texts: Texts, position: Position, *, run_id: str, mesh: Mesh | None, stop: StopRequest
) -> Results:
    """Evaluate the best checkpoint on validation and test text, each as one continuous stream.

    Args:
        folder: the run folder.
        texts: the texts of the run.
        position: the position at the end of training.
        run_id: the ``run_id`` of the run.
        mesh: devices to divide the evaluation over; None for one device.
        stop: checked between two windows of an evaluation.

    Raises:
        Stopped: if asked to stop.
    """
    best = open_run(folder.path, step=position.best_step, mesh=mesh)

    def evaluated(text: EncodedText) -> Evaluation:
        return evaluate(best.model, best.params, text, texts.vocabulary, progress=stop.check, mesh=mesh)

    return Results(
        run=str(folder.path),
        run_id=run_id,
        steps=position.step,
        seconds=position.seconds,
        parameters=parameter_count(best.params),
        valid=evaluated(texts.valid),
        test=evaluated(texts.test),
        baselines=texts.baselines(),
        facts=dict(texts.corpus.facts),
    )


def write_results(folder: RunFolder, results: Results) -> None:
    """Write ``results.json``, the figure of the learning curve, and that of the spectra, if they were logged."""
    write_json(folder.results, results.summary())
    learning_curve([folder.metrics], [str(folder.path)], folder.learning_curve)
    spectrum_history(folder.metrics, folder.spectrum_history)


def environment() -> dict[str, str | int]:
    """Return the versions and devices that a figure was measured with."""
    device = jax.devices()[0]
    return {
        "rnnlm_jax": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "platform": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
    }
