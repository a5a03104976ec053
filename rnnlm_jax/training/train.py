"""An experiment from its configuration to its results: the one entry point of training."""

import contextlib
import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from rnnlm_jax.accelerators import peak_flops
from rnnlm_jax.config import Config, check_config, from_json, to_json, to_sealed_json
from rnnlm_jax.data import EncodedText, Vocabulary, load_corpus
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation import Evaluation, evaluate
from rnnlm_jax.flops import token_flops
from rnnlm_jax.language_model import LanguageModel, parameter_count
from rnnlm_jax.machine_memory import require_memory
from rnnlm_jax.plotting import learning_curve
from rnnlm_jax.runs import (
    RunFolder,
    build_model,
    open_run,
    read_config,
    read_words,
    write_json,
    write_new_run,
    write_text,
)
from rnnlm_jax.sharding.distributed import from_first, in_all, is_first, on_first, require_equal, several
from rnnlm_jax.sharding.mesh import check_divides, divided_executor, mesh_for
from rnnlm_jax.stopping import StopRequest
from rnnlm_jax.training.epoch_report import EpochReport
from rnnlm_jax.training.interval import Capacity
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.memory import state_bytes
from rnnlm_jax.training.metrics import require_tensorboard
from rnnlm_jax.training.new_run import removed_on_failure
from rnnlm_jax.training.only_trainer import only_trainer
from rnnlm_jax.training.profiling import ProfiledSteps, Profiler
from rnnlm_jax.training.settle import settle, settle_as
from rnnlm_jax.training.texts import Texts, encode_texts, load_texts
from rnnlm_jax.unroll import describe_executor
from rnnlm_jax.version import __version__
from rnnlm_jax.words import Words

#: What a resumed run may change: none of it touches the numbers of the steps that both have.
MAY_CHANGE = {
    ("training", name)
    for name in (
        *("epochs", "log_every", "checkpoint_every", "keep_last"),
        *("max_bad_steps", "log_jacobian", "tensorboard"),
    )
}
MAY_CHANGE |= {("data", "data_dir"), ("data", "input_workers"), ("parallel", "mesh")}


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run came to: the best checkpoint on all texts, beside baselines that only count."""

    run: str
    steps: int
    seconds: float
    parameters: int
    valid: Evaluation
    test: Evaluation
    baselines: dict[str, float]
    """Test perplexity of the unigram and the bigram baseline; of the unigram alone where text is not in memory."""
    facts: dict[str, float]
    """What is known of the corpus, such as its exact entropy rate."""

    def summary(self) -> dict[str, Any]:
        """The figures by name, as in ``results.json``."""
        return {
            "run": self.run,
            "test_perplexity": self.test.perplexity,
            "valid_perplexity": self.valid.perplexity,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "parameters": self.parameters,
            "test": self.test.summary(),
            "valid": self.valid.summary(),
            "baselines": self.baselines,
            "corpus_facts": self.facts,
            "environment": environment(),
        }


def train(
    config: Config,
    run: str | Path,
    *,
    resume: bool = False,
    start: Callable[[Trainer], None] = lambda trainer: None,
    report: Callable[[EpochReport], None] = lambda report: None,
    quiet: bool = True,
    stop: StopRequest | None = None,
    profile: ProfiledSteps | None = None,
) -> Results:
    """Train a language model and measure its best checkpoint on validation and test text.

    Args:
        config: the experiment.
        run: the folder to write; it must not hold a run yet, unless resuming.
        resume: go on from the last checkpoint there, to the same numbers as an uninterrupted run.
        start: told of the trainer before its first step.
        report: told of each epoch.
        quiet: without a progress bar.
        stop: asked between two steps, and between two windows of an evaluation.
        profile: steps to write a trace of, into the run's folder.

    Raises:
        Stopped: if asked to stop; what was trained is saved, and resuming goes on from there.
        UserError: for a bad configuration or text, a folder that holds a run or that another process trains in, a
            checkpoint that does not fit, or training that does not stay finite.
    """
    folder = RunFolder(Path(run))
    config, texts, words = in_all(lambda: _read(config, folder, resume, quiet))
    mesh = in_all(lambda: mesh_for(config.parallel.mesh))
    if not resume:  # what is measured is measured alike in no two processes
        config = from_json(from_first(in_all(lambda: to_json(settle(config, words)))))
    require_equal(to_json(config) + texts.digest, "their options or their text")
    model = in_all(lambda: _build(config, texts, words, mesh))
    if not resume:
        on_first(lambda: write_new_run(folder, config, texts.vocabulary, words))
    stop = StopRequest() if stop is None else stop
    with contextlib.ExitStack() as held:
        on_first(lambda: held.enter_context(only_trainer(folder.path)))
        with removed_on_failure(folder) if is_first() and not resume else contextlib.nullcontext():
            trainer = in_all(lambda: Trainer(config, folder, model, texts, resume, mesh, stop))
            trainer.capacity = _capacity(config, trainer, words)
            trainer.profiler = None if profile is None else Profiler(profile, folder.path)
            if resume:
                on_first(lambda: write_text(folder.config, to_sealed_json(config)))
            start(trainer)
        trainer.run(report, quiet)
        stop.nothing_to_lose = True  # all is saved, and a resumed run measures it again
        stop.check()
        results = measure(folder, texts, trainer, stop)
        on_first(lambda: _write_results(folder, results))
        return results


def _read(config: Config, folder: RunFolder, resume: bool, quiet: bool) -> tuple[Config, Texts, Words]:
    """The configuration of the run to go on with, or the one asked for; the texts; their words."""
    check_config(config)
    if not resume:
        if folder.exists():
            raise UserError(f"{folder.path} already holds a run: add --resume to go on with it, or give another --run")
        if (folder.path / "checkpoints").is_dir():
            raise UserError(
                f"{folder.path} holds checkpoints of a run whose config.json is lost: restore it, or give another --run"
            )
        texts = load_texts(config.data, quiet)
        return config, texts, texts.words()
    begun = read_config(folder)
    if folder.imported.exists():
        raise UserError(
            f"{folder.path} was imported, without the state of an optimiser to go on from: evaluate it as it is, or "
            "train a run of its own"
        )
    config = settle_as(begun, config)
    check_same_experiment(begun, config)
    corpus = load_corpus(config.data.corpus, data_dir=config.data.data_dir)
    texts = encode_texts(corpus, Vocabulary.load(folder.vocabulary), config.data.input_workers, quiet)
    return config, texts, read_words(folder, texts.vocabulary) or texts.words()


def _build(config: Config, texts: Texts, words: Words, mesh: Mesh | None) -> LanguageModel:
    """The model, after whatever speaks against training it here."""
    executor = None if config.model.executor == "auto" else config.model.executor
    if mesh is not None:
        check_divides(mesh, config.data.batch_size)
        executor = divided_executor(executor, mesh)
    if config.training.log_jacobian and several():
        raise UserError("--log-jacobian measures in one process, and this job has several: leave it out")
    model = build_model(config.model, texts.vocabulary.size, executor, words)
    describe_executor(model.cell, model.embedding_size, executor)  # refuses here, before anything is written
    if config.training.tensorboard:
        require_tensorboard()
    require_memory(state_bytes(model, config, mesh), "this model, without gradients and activations,")
    return model


def _write_results(folder: RunFolder, results: Results) -> None:
    write_json(folder.results, results.summary())
    learning_curve([folder.metrics], [str(folder.path)], folder.learning_curve)


def _capacity(config: Config, trainer: Trainer, words: Words) -> Capacity:
    """What the run's rates are held against, where the peak of its devices is known."""
    devices = trainer.state.step.sharding.device_set
    peak = peak_flops(next(iter(devices)).device_kind, config.model.dtype)
    tokens = config.data.batch_size * config.data.window
    flops = None if peak is None else token_flops(trainer.model, config.model, words, tokens).training
    return Capacity(len(devices), flops, peak)


def measure(folder: RunFolder, texts: Texts, trainer: Trainer, stop: StopRequest) -> Results:
    """Read the best checkpoint back, and evaluate it on one continuous stream of validation and of test text."""
    best, mesh = open_run(folder.path, step=trainer.position.best_step, mesh=trainer.mesh), trainer.mesh

    def evaluated(text: EncodedText) -> Evaluation:
        return evaluate(best.model, best.params, text, texts.vocabulary, progress=stop.check, mesh=mesh)

    return Results(
        run=str(folder.path),
        steps=trainer.position.step,
        seconds=trainer.position.seconds,
        parameters=parameter_count(best.params),
        valid=evaluated(texts.valid),
        test=evaluated(texts.test),
        baselines=texts.baselines(),
        facts=dict(texts.corpus.facts),
    )


def check_same_experiment(saved: Config, asked: Config) -> None:
    """Check that a configuration only changes what a resumed run may change.

    Raises:
        UserError: naming the first option that differs.
    """
    for group in dataclasses.fields(Config):
        old, new = getattr(saved, group.name), getattr(asked, group.name)
        for spec in dataclasses.fields(old):
            before, after = getattr(old, spec.name), getattr(new, spec.name)
            if spec.name == "input_workers" and (before is None) != (after is None):
                raise UserError(
                    f"cannot resume with input workers {after}: the run was begun with {before}, and text in memory "
                    "cannot become text on disk, or the other way; leave the option out, or begin another run"
                )
            if before != after and (group.name, spec.name) not in MAY_CHANGE:
                raise UserError(
                    f"cannot resume with {spec.name.replace('_', ' ')} {after}: the run was begun with {before}; "
                    "leave the option out, or begin another run"
                )


def environment() -> dict[str, str | int]:
    """Versions and devices, to stand beside any figure."""
    device = jax.devices()[0]
    return {
        "rnnlm_jax": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "platform": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
    }
