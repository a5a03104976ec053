"""An experiment from its configuration to its results: the one entry point of training."""

import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from rnnlm_jax.config import Config, check_config, to_sealed_json
from rnnlm_jax.data import EncodedText, Vocabulary, load_corpus
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation import Evaluation, evaluate, perplexity
from rnnlm_jax.language_model import parameter_count
from rnnlm_jax.ngrams import BigramBaseline
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
from rnnlm_jax.stopping import StopRequest
from rnnlm_jax.training.loop import EpochReport, Trainer
from rnnlm_jax.training.metrics import require_tensorboard
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
MAY_CHANGE.add(("data", "data_dir"))


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
    """Test perplexity of the unigram and the bigram baseline."""
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

    Raises:
        Stopped: if asked to stop; what was trained is saved, and resuming goes on from there.
        UserError: for a bad configuration or text, a folder in use, a checkpoint that does not fit, or training that
            does not stay finite.
    """
    check_config(config)
    folder = RunFolder(Path(run))
    if folder.exists() and not resume:
        raise UserError(f"{run} already holds a run: add --resume to go on with it, or give another --run")
    if not resume and (folder.path / "checkpoints").is_dir():
        raise UserError(
            f"{run} holds checkpoints of a run whose config.json is lost: restore it, or give another --run"
        )
    if resume:
        begun = read_config(folder)
        config = settle_as(begun, config)
        check_same_experiment(begun, config)
        corpus = load_corpus(config.data.corpus, data_dir=config.data.data_dir)
        texts = encode_texts(corpus, Vocabulary.load(folder.vocabulary))
    else:
        texts = load_texts(config.data)
    words = read_words(folder, texts.vocabulary) if resume else None
    words = words or Words.counted(texts.vocabulary.tokens, texts.train.tokens)
    config = config if resume else settle(config, words)
    executor = None if config.model.executor == "auto" else config.model.executor
    model = build_model(config.model, texts.vocabulary.size, executor, words)
    describe_executor(model.cell, model.embedding_size, executor)  # refuses here, before anything is written
    if config.training.tensorboard:
        require_tensorboard()
    if not resume:
        write_new_run(folder, config, texts.vocabulary, words)
    stop = StopRequest() if stop is None else stop
    trainer = Trainer(config, folder, model, texts, resume, stop)
    if resume:
        write_text(folder.config, to_sealed_json(config))
    start(trainer)
    trainer.run(report, quiet)
    stop.nothing_to_lose = True  # all is saved, and a resumed run measures it again
    stop.check()
    results = measure(folder, texts, trainer, stop)
    write_json(folder.results, results.summary())
    learning_curve([folder.metrics], [str(run)], folder.learning_curve)
    return results


def measure(folder: RunFolder, texts: Texts, trainer: Trainer, stop: StopRequest) -> Results:
    """Read the best checkpoint back, and evaluate it on one continuous stream of validation and of test text."""
    best = open_run(folder.path, step=trainer.position.best_step)

    def evaluated(text: EncodedText) -> Evaluation:
        return evaluate(best.model, best.params, text, texts.vocabulary, progress=stop.check)

    start = texts.vocabulary.start_id
    bigram = BigramBaseline(texts.train.tokens, texts.vocabulary.size)
    test = texts.test.tokens
    return Results(
        run=str(folder.path),
        steps=trainer.position.step,
        seconds=trainer.position.seconds,
        parameters=parameter_count(best.params),
        valid=evaluated(texts.valid),
        test=evaluated(texts.test),
        baselines={
            "unigram": perplexity(float(bigram.unigram.nats(test).sum()), test.size),
            "bigram": perplexity(float(bigram.nats(test, start).sum()), test.size),
        },
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
