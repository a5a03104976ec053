"""Train a model from a configuration to its results: the entry point of training.

The parts: ``texts`` (texts and batches), ``loop`` (steps and validations), ``step`` (one step: loss, gradient,
update), ``make_optimizer`` (clipping, update rule and learning rate), ``results``.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax
from jax.sharding import Mesh

from rnnlm_jax.config import Config, check_config, from_json, options, replace, to_json
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import CheckpointError, ConfigError
from rnnlm_jax.jobs.accelerators import peak_flops
from rnnlm_jax.jobs.distributed import (
    from_primary,
    in_every_process,
    is_multiprocess,
    is_primary,
    on_primary,
    require_same,
)
from rnnlm_jax.jobs.run_folder import (
    RunFolder,
    build_model,
    read_config_and_identity,
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
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.system.machine_memory import require_memory
from rnnlm_jax.training.initial_source import InitialSource, source_to_begin, source_to_resume, with_absolute_source
from rnnlm_jax.training.initialize_from import InitialParameters, plan_initialization
from rnnlm_jax.training.interval_metrics import Capacity
from rnnlm_jax.training.job_length import checkpoint_period, valid_period
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.make_optimizer import GIVEN
from rnnlm_jax.training.memory import state_bytes
from rnnlm_jax.training.metrics_writers import require_writers
from rnnlm_jax.training.profiling import ProfiledSteps, Profiler
from rnnlm_jax.training.resolve_automatic import resolve_as_begun, resolve_automatic
from rnnlm_jax.training.results import Results, measure_results, write_results
from rnnlm_jax.training.resuming import resumed_config
from rnnlm_jax.training.run_lock import removed_on_failure, training_lock
from rnnlm_jax.training.spectrum_log import make_spectrum_log
from rnnlm_jax.training.texts import (
    SPLITS,
    Texts,
    absolute_paths,
    corpus_of_run,
    encode_texts,
    given_vocabulary,
    load_texts,
    random_bptt,
    require_same_texts,
)
from rnnlm_jax.training.time_use import TimeUse
from rnnlm_jax.training.training_program import training_program
from rnnlm_jax.training.validation_report import ValidationReport
from rnnlm_jax.unroll import describe_executor

#: What to do if the text of a run was moved, for errors.
_MOVED = "say with `corpus` where it lies now"


class _Inputs(NamedTuple):
    """What a run starts or resumes from."""

    config: Config
    texts: Texts
    words: WordCounts
    identity: RunIdentity | None
    """None for a new run."""
    source: InitialSource | None
    """The parameters of another model to start from; None if there are none, or a checkpoint has taken their place."""


def train(
    config: Config,
    run: str | Path,
    *,
    resume: bool = False,
    start: Callable[[Trainer], None] = lambda trainer: None,
    report: Callable[[ValidationReport], None] = lambda report: None,
    optimizer: optax.GradientTransformation | None = None,
    quiet: bool = True,
    stop: StopRequest | None = None,
    profile: ProfiledSteps | None = None,
) -> Results:
    """Train a language model, and evaluate its best checkpoint on validation and test text.

    Args:
        config: the experiment.
        run: the run folder to write; unless resuming, it must not contain a run.
        resume: continue from the last checkpoint in ``run``, with the same results as an uninterrupted run.
        start: called with the trainer before the first step.
        report: called with the report on each validation.
        optimizer: a transformation of optax to use as it is, in place of the configuration's clipping, update rule and
            schedule. The run records that it was given; pass it again to resume.
        quiet: whether to hide the progress bar.
        stop: checked between two steps, and between two windows of an evaluation.
        profile: the steps to write a profiler trace of, into the run folder.

    Returns:
        The final figures, which are also in ``results.json``.

    Raises:
        Stopped: if asked to stop; the work so far is saved and can be resumed.
        ConfigError: if the configuration is impossible, or changes options that a resumed run must not change.
        DataError: if a text is missing, or not the one that the run was begun with.
        CheckpointError: if the folder contains a run, or another process trains in it; if a checkpoint is damaged or
            of another run, or cannot be written.
        DeviceError: if the model does not fit the memory.
        TrainingError: if too many steps in a row have a loss or gradient that is not finite.
    """
    time_use = TimeUse()
    folder = RunFolder(Path(run))
    if optimizer is not None:
        config = replace(config, optimizer={"optimizer": GIVEN})
    x64 = jax.dtypes.canonicalize_dtype("float64") == "float64"
    require_same({"`run`": str(run), "`resume`": resume, "JAX_ENABLE_X64": x64} | _shared_options(config))
    config, texts, words, identity, source = in_every_process(
        lambda: _read_inputs(config, folder, resume=resume, quiet=quiet)
    )
    require_same({"vocabulary": texts.vocabulary.content_hash})
    require_same({f"{SPLITS[split]} text": digest for split, digest in texts.digests.items()})
    require_same({"parameters of `init_from`": None if source is None else source.digest})
    mesh = in_every_process(lambda: mesh_for(config.parallel.mesh))
    if identity is None:  # measurements and random numbers differ between processes: take those of process 0
        config = from_json(from_primary(in_every_process(lambda: to_json(resolve_automatic(config, words)))))
        identity = _new_identity(config, texts, words, source)
    own = identity
    require_same(_shared_options(config) | {"run_id": own.run_id})
    model = in_every_process(lambda: _checked_model(config, texts, words, mesh=mesh, optimizer=optimizer))
    begin = in_every_process(lambda: _initial_parameters(config, model, texts, words=words, source=source))
    written = dataclasses.replace(with_absolute_source(config), data=absolute_paths(config.data))
    if not resume:
        on_primary(lambda: write_new_run(folder, written, own, vocabulary=texts.vocabulary, words=words))
    stop = StopRequest() if stop is None else stop
    with contextlib.ExitStack() as held:
        on_primary(lambda: held.enter_context(training_lock(folder.path)))
        with removed_on_failure(folder) if is_primary() and not resume else contextlib.nullcontext():
            parts: dict[str, Any] = {"optimizer": optimizer, "mesh": mesh, "stop": stop}
            parts |= {"start": begin, "time_use": time_use}
            trainer = in_every_process(
                lambda: Trainer(config, folder, model, texts=texts, identity=own, resume=resume, **parts)
            )
            if begin is not None:
                copied = begin.record()
                on_primary(lambda: write_json(folder.initialized, copied))
            source = begin = None  # their arrays may be large, and training may take days
            trainer.capacity = _capacity(config, trainer, words)
            trainer.profiler = None if profile is None else Profiler(profile, folder.path)
            if resume:
                on_primary(lambda: _write_resumed(folder, written, own, words))
            start(trainer)
        trainer.run(report, quiet=quiet)
        stop.may_exit_at_once = True  # everything is saved, and a resumed run measures the results again
        stop.check()
        with time_use.during("validation"):
            results = measure_results(folder, texts, trainer.position, run_id=own.run_id, mesh=mesh, stop=stop)
        results = dataclasses.replace(results, time_use=time_use.figures())
        on_primary(lambda: write_results(folder, results))
        return results


def _shared_options(config: Config) -> dict[str, Any]:
    """Return the options that all processes must have in common, by name; paths are compared by their contents."""
    return {f"`{spec.name}`": value for _, spec, value in options(config) if not spec.metadata["path"]}


def _new_identity(config: Config, texts: Texts, words: WordCounts, source: InitialSource | None) -> RunIdentity:
    """Return the identity of a new run, the same in all processes."""
    init = None if source is None else source.digest
    mine = RunIdentity.begin(config, texts.vocabulary.content_hash, counts=words.digest, texts=texts.digests, init=init)
    return dataclasses.replace(mine, run_id=from_primary(mine.run_id))


def _write_resumed(folder: RunFolder, config: Config, identity: RunIdentity, words: WordCounts) -> None:
    """Write the changed configuration of a resumed run, and its word counts if they are missing."""
    write_config(folder, config, identity)
    if not folder.counts.exists():
        write_text(folder.counts, words.to_json())


def _read_inputs(config: Config, folder: RunFolder, *, resume: bool, quiet: bool) -> _Inputs:
    """Check the configuration, and read the texts and, if resuming, the files of the run."""
    check_config(config)
    random_bptt(config.data)  # refuses impossible values
    if not resume:
        if folder.exists():
            raise CheckpointError(
                f"{folder.path} already holds a run: add `resume` to go on with it, or give another `run`"
            )
        if (folder.path / "checkpoints").is_dir():
            raise CheckpointError(
                f"{folder.path} holds checkpoints of a run whose config.json is lost: restore it, or give another `run`"
            )
        texts = load_texts(config.data, quiet=quiet)
        return _Inputs(config, texts, texts.words(), None, source_to_begin(config))
    begun, identity = read_config_and_identity(folder)
    if folder.imported.exists():
        raise CheckpointError(
            f"{folder.path} was imported, without the state of an optimiser to go on from: evaluate it as it is, or "
            "train a run of its own"
        )
    config = resumed_config(begun, resolve_as_begun(begun, config))
    vocabulary = read_vocabulary(folder, identity)
    _require_same_vocabulary(begun, config, vocabulary)
    corpus = corpus_of_run(config.data, _MOVED)
    texts = encode_texts(corpus, vocabulary, config.data.input_workers, quiet=quiet)
    remedy = f"restore it, {_MOVED}, or begin another run"
    require_same_texts(texts.digests, identity.texts, name=corpus.name, remedy=remedy)
    source = source_to_resume(config, begun, folder, identity)
    return _Inputs(config, texts, read_words(folder, identity, vocabulary) or texts.words(), identity, source)


def _require_same_vocabulary(begun: Config, config: Config, vocabulary: Vocabulary) -> None:
    """Check that a vocabulary file given to a resumed run has the run's own vocabulary."""
    before, after = absolute_paths(begun.data), absolute_paths(config.data)
    if (before.vocabulary, before.tokenizer) == (after.vocabulary, after.tokenizer):
        return
    given = given_vocabulary(config.data)
    if given is not None and given.content_hash != vocabulary.content_hash:
        raise ConfigError(
            f"cannot resume with {config.data.vocabulary or config.data.tokenizer}: it is another vocabulary than the "
            "run was begun with; leave the option out, or begin another run"
        )


def _checked_model(
    config: Config,
    texts: Texts,
    words: WordCounts,
    *,
    mesh: Mesh | None,
    optimizer: optax.GradientTransformation | None,
) -> LanguageModel:
    """Build the model, and check before anything is written that it can be trained here."""
    executor = None if config.model.executor == "auto" else config.model.executor
    if mesh is not None:
        check_divides(mesh, config.data.batch_size, config.optimizer.accumulate)
        executor = executor_on_mesh(executor, mesh)
    for name in ("log_jacobian", "log_spectrum"):
        if getattr(config.training, name) and is_multiprocess():
            raise ConfigError(f"`{name}` measures in one process, and this job has several: leave it out")
    model = build_model(config.model, texts.vocabulary.size, executor, words=words, unknown_id=texts.vocabulary.unk_id)
    # Raises if the executor cannot run the cell.
    describe_executor(model.trained_cell, model.embedding_size, executor, masked=bool(config.data.bptt_random))
    if is_primary():
        require_writers(config)
    make_spectrum_log(model, config.training, texts)  # raises if it cannot measure
    valid_period(config.training)  # raises if it is not one
    checkpoint_period(config.training)
    needed = state_bytes(config.data, training_program(model, config, given=optimizer), mesh=mesh)
    require_memory(needed, "this model, without gradients and activations,")
    return model


def _initial_parameters(
    config: Config, model: LanguageModel, texts: Texts, *, words: WordCounts, source: InitialSource | None
) -> InitialParameters | None:
    """Return the part of another model to start from, after checking that it fits."""
    if source is None:
        return None
    parts = config.training.init_parts
    return plan_initialization(model, texts.vocabulary, words, source=source, parts=parts)


def _capacity(config: Config, trainer: Trainer, words: WordCounts) -> Capacity:
    """Return the run's devices, with their peak and the model's operations if both are known."""
    devices = trainer.state.step.sharding.device_set
    peak = peak_flops(next(iter(devices)).device_kind, config.model.dtype)
    tokens = config.data.batch_size * config.data.bptt
    flops = None if peak is None else training_flops(trainer.model, words, tokens)
    return Capacity(len(devices), flops, peak)
