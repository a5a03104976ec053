"""An experiment from its configuration to its results: the one entry point of training."""

import contextlib
import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from rnnlm_jax.config import Config, check_config, flag_of, from_json, options, to_json
from rnnlm_jax.data import EncodedText, Vocabulary
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.perplexity import Evaluation, evaluate
from rnnlm_jax.jobs.accelerators import peak_flops
from rnnlm_jax.jobs.distributed import from_first, in_all, is_first, on_first, require_same, several
from rnnlm_jax.jobs.run_folder import (
    RunFolder,
    build_model,
    open_run,
    read_begun,
    read_vocabulary,
    read_words,
    write_config,
    write_json,
    write_new_run,
    write_text,
)
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.jobs.sharding.mesh import check_divides, executor_on_mesh, mesh_for
from rnnlm_jax.jobs.stopping import StopRequest
from rnnlm_jax.language_model.flops import training_flops
from rnnlm_jax.language_model.model import LanguageModel, parameter_count
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.plotting import learning_curve
from rnnlm_jax.system.machine_memory import require_memory
from rnnlm_jax.training.epoch_report import EpochReport
from rnnlm_jax.training.interval import Capacity
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.memory import state_bytes
from rnnlm_jax.training.metrics import require_tensorboard
from rnnlm_jax.training.new_run import removed_on_failure
from rnnlm_jax.training.only_trainer import only_trainer
from rnnlm_jax.training.profiling import ProfiledSteps, Profiler
from rnnlm_jax.training.resuming import resumed_config
from rnnlm_jax.training.settle import settle, settle_as
from rnnlm_jax.training.texts import (
    SPLITS,
    Texts,
    absolute_paths,
    corpus_of_run,
    encode_texts,
    load_texts,
    require_same_texts,
    vocabulary_at_hand,
)
from rnnlm_jax.unroll import describe_executor
from rnnlm_jax.version import __version__

#: What a text is given with that lies elsewhere now.
_MOVED = "say with --data where it lies now"


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run came to: the best checkpoint on all texts, beside baselines that only count."""

    run: str
    run_id: str
    """Drawn at random when the run was begun; all its files have it."""
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
    wide = jax.dtypes.canonicalize_dtype("float64") == "float64"
    require_same({"--run": str(run), "--resume": resume, "JAX_ENABLE_X64": wide} | _compared(config))
    config, texts, words, identity = in_all(lambda: _read(config, folder, resume, quiet))
    require_same({"vocabulary": texts.vocabulary.content_hash})
    require_same({f"{SPLITS[split]} text": digest for split, digest in texts.digests.items()})
    mesh = in_all(lambda: mesh_for(config.parallel.mesh))
    if identity is None:  # what is measured is measured alike in no two processes, and what is drawn is drawn by one
        config = from_json(from_first(in_all(lambda: to_json(settle(config, words)))))
        identity = _begin(config, texts, words)
    own = identity
    require_same(_compared(config) | {"run_id": own.run_id})
    model = in_all(lambda: _build(config, texts, words, mesh))
    written = dataclasses.replace(config, data=absolute_paths(config.data))
    if not resume:
        on_first(lambda: write_new_run(folder, written, own, texts.vocabulary, words))
    stop = StopRequest() if stop is None else stop
    with contextlib.ExitStack() as held:
        on_first(lambda: held.enter_context(only_trainer(folder.path)))
        with removed_on_failure(folder) if is_first() and not resume else contextlib.nullcontext():
            trainer = in_all(lambda: Trainer(config, folder, model, texts, own, resume, mesh, stop))
            trainer.capacity = _capacity(config, trainer, words)
            trainer.profiler = None if profile is None else Profiler(profile, folder.path)
            if resume:
                on_first(lambda: _write_resumed(folder, written, own, words))
            start(trainer)
        trainer.run(report, quiet)
        stop.nothing_to_lose = True  # all is saved, and a resumed run measures it again
        stop.check()
        results = measure(folder, texts, trainer, stop)
        on_first(lambda: _write_results(folder, results))
        return results


def _compared(config: Config) -> dict[str, Any]:
    """What all processes must have alike, by option; of a path only what lies there, which is compared by itself."""
    return {flag_of(spec): value for _, spec, value in options(config) if not spec.metadata["path"]}


def _begin(config: Config, texts: Texts, words: Words) -> RunIdentity:
    """The identity of a new run, the same in all processes."""
    mine = RunIdentity.begin(config, texts.vocabulary.content_hash, words.digest, texts.digests)
    return dataclasses.replace(mine, run_id=from_first(mine.run_id))


def _write_resumed(folder: RunFolder, config: Config, identity: RunIdentity, words: Words) -> None:
    """Remember what a resumed run has changed, and write the counts again if they are lost."""
    write_config(folder, config, identity)
    if not folder.counts.exists():
        write_text(folder.counts, words.to_json())


def _read(
    config: Config, folder: RunFolder, resume: bool, quiet: bool
) -> tuple[Config, Texts, Words, RunIdentity | None]:
    """The configuration of the run to go on with, or the one asked for; the texts; their words; the run's identity."""
    check_config(config)
    if not resume:
        if folder.exists():
            raise UserError(f"{folder.path} already holds a run: add --resume to go on with it, or give another --run")
        if (folder.path / "checkpoints").is_dir():
            raise UserError(
                f"{folder.path} holds checkpoints of a run whose config.json is lost: restore it, or give another --run"
            )
        texts = load_texts(config.data, quiet)
        return config, texts, texts.words(), None
    begun, identity = read_begun(folder)
    if folder.imported.exists():
        raise UserError(
            f"{folder.path} was imported, without the state of an optimiser to go on from: evaluate it as it is, or "
            "train a run of its own"
        )
    config = resumed_config(begun, settle_as(begun, config))
    vocabulary = read_vocabulary(folder, identity)
    _require_same_vocabulary(begun, config, vocabulary)
    corpus = corpus_of_run(config.data, _MOVED)
    texts = encode_texts(corpus, vocabulary, config.data.input_workers, quiet)
    require_same_texts(texts.digests, identity.texts, corpus.name, f"restore it, {_MOVED}, or begin another run")
    return config, texts, read_words(folder, identity, vocabulary) or texts.words(), identity


def _require_same_vocabulary(begun: Config, config: Config, vocabulary: Vocabulary) -> None:
    """Check that a vocabulary file that a resumed run is given is the run's own, which it goes on with."""
    before, after = absolute_paths(begun.data), absolute_paths(config.data)
    if (before.vocabulary, before.tokenizer) == (after.vocabulary, after.tokenizer):
        return
    given = vocabulary_at_hand(config.data)
    if given is not None and given.content_hash != vocabulary.content_hash:
        raise UserError(
            f"cannot resume with {config.data.vocabulary or config.data.tokenizer}: it is another vocabulary than the "
            "run was begun with; leave the option out, or begin another run"
        )


def _build(config: Config, texts: Texts, words: Words, mesh: Mesh | None) -> LanguageModel:
    """The model, after whatever speaks against training it here."""
    executor = None if config.model.executor == "auto" else config.model.executor
    if mesh is not None:
        check_divides(mesh, config.data.batch_size)
        executor = executor_on_mesh(executor, mesh)
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
    tokens = config.data.batch_size * config.data.bptt
    flops = None if peak is None else training_flops(trainer.model, words, tokens)
    return Capacity(len(devices), flops, peak)


def measure(folder: RunFolder, texts: Texts, trainer: Trainer, stop: StopRequest) -> Results:
    """Read the best checkpoint back, and evaluate it on one continuous stream of validation and of test text."""
    best, mesh = open_run(folder.path, step=trainer.position.best_step, mesh=trainer.mesh), trainer.mesh

    def evaluated(text: EncodedText) -> Evaluation:
        return evaluate(best.model, best.params, text, texts.vocabulary, progress=stop.check, mesh=mesh)

    return Results(
        run=str(folder.path),
        run_id=trainer.identity.run_id,
        steps=trainer.position.step,
        seconds=trainer.position.seconds,
        parameters=parameter_count(best.params),
        valid=evaluated(texts.valid),
        test=evaluated(texts.test),
        baselines=texts.baselines(),
        facts=dict(texts.corpus.facts),
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
