"""The training loop: compiled steps, validation, checkpoints and metrics; resumable at any step."""

import collections
import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import jax
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.config import Config
from rnnlm_jax.data import Batch, Batches
from rnnlm_jax.errors import TrainingError
from rnnlm_jax.evaluation.perplexity import Evaluation, evaluate
from rnnlm_jax.jobs.checkpoints import START, CheckpointFolder, Position
from rnnlm_jax.jobs.distributed import AgreedError, from_primary, is_primary
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.jobs.sharding.placement import own_columns, placed_batch, placed_model_state
from rnnlm_jax.jobs.stopping import Stopped, StopRequest
from rnnlm_jax.jobs.watchdog import Watchdog
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.regularizers import Reads, reads
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.initialize_from import InitialParameters
from rnnlm_jax.training.interval_metrics import Capacity, IntervalMetrics
from rnnlm_jax.training.jacobian_log import jacobian_figures, make_jacobian_log
from rnnlm_jax.training.job_length import CheckpointTimer, JobLength, checkpoint_period
from rnnlm_jax.training.metrics import JsonLines, Writer
from rnnlm_jax.training.metrics_writers import open_writers
from rnnlm_jax.training.profiling import Profiler
from rnnlm_jax.training.run_checkpoints import RunCheckpoints
from rnnlm_jax.training.spectrum_log import make_spectrum_log
from rnnlm_jax.training.step import StepInfo
from rnnlm_jax.training.step_clock import StepClock
from rnnlm_jax.training.texts import Texts, make_batches
from rnnlm_jax.training.time_use import TimeUse, last_seconds_running
from rnnlm_jax.training.train_state import TrainState
from rnnlm_jax.training.training_program import compile_step, training_program
from rnnlm_jax.training.validation_report import ValidationReport
from rnnlm_jax.training.validation_results import ValidationResults

#: Most steps that are dispatched before their figures are read, so that the device need not wait for the host; fewer if
#: these take more than the given seconds, since a run that is asked to stop must wait for them.
IN_FLIGHT, SECONDS_IN_FLIGHT = 8, 0.5


class NotFiniteError(AgreedError, TrainingError):
    """Too many steps in a row had a loss or gradient that was not finite."""


class _Dispatched(NamedTuple):
    """A step whose figures are not read yet."""

    step: int
    epoch: int
    info: StepInfo
    log_dets: Array | None


class Trainer:
    """A run in progress: the state of training, its position in the data, and the files that it writes."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        model: LanguageModel,
        *,
        texts: Texts,
        identity: RunIdentity,
        resume: bool,
        optimizer: optax.GradientTransformation | None = None,
        mesh: Mesh | None = None,
        stop: StopRequest | None = None,
        start: InitialParameters | None = None,
        time_use: TimeUse | None = None,
    ):
        """Create the initial state, or restore that of the last intact checkpoint.

        Args:
            config: the experiment.
            folder: the run folder.
            model: the model.
            texts: the texts.
            identity: the identity of the run.
            resume: whether to restore a checkpoint.
            optimizer: a transformation in place of the configuration's optimiser, whose name is then "given".
            mesh: devices to divide training over; None for one device.
            stop: checked between two steps.
            start: parameters of another model to start from; None: all are drawn.
            time_use: sums of the wall time, begun with the process; None: begun now.

        Raises:
            CheckpointError: if all checkpoints are damaged, or one is of another run or model.
            ConfigError: if the schedule is longer than the job.
        """
        self.config, self.folder, self.model, self.texts, self.mesh = config, folder, model, texts, mesh
        self.stop = StopRequest() if stop is None else stop
        seed = config.training.seed
        columns = None if mesh is None else own_columns(mesh, config.data.batch_size)
        self.batches: Batches = make_batches(config.data, texts, seed, columns=columns)
        carries_state = self.batches.carries_state
        self.length = JobLength(config.training, self.batches.batch_count)
        program = training_program(model, config, length=self.length.total, given=optimizer, mesh=mesh)
        self.train_step = program.step
        self.observes_states = reads(program.regularizers) > Reads.OUTPUTS
        self.jacobian_log = (
            make_jacobian_log(model, seed, carries_state=carries_state) if config.training.log_jacobian else None
        )
        self.spectrum_log = make_spectrum_log(model, config.training, texts)
        self.checkpoints = RunCheckpoints(folder, identity, config.training.keep_last)
        self.position: Position = START
        self.state: TrainState = program.initial_state(start=start)
        self.started_from = "" if start is None else start.describe()
        self.time_use = TimeUse() if time_use is None else time_use
        if resume:
            self.state, self.position = self.checkpoints.restore(self.state, uncommitted=mesh is None)
            self.time_use.resume(self.position.seconds_by_use, last_seconds_running(folder.metrics))
        self.records = (
            JsonLines(folder.metrics, identity.run_id, self.position if resume else None) if is_primary() else None
        )
        self.writers: list[Writer] = [] if self.records is None else [self.records]
        if is_primary():
            at = self.position.step if resume else None
            self.writers += open_writers(config, folder, run_id=identity.run_id, resume_step=at)
        self.checkpoints.discard_later(self.position)
        self.pending: collections.deque[_Dispatched] = collections.deque()
        self.clock = StepClock()
        self.interval, self.since_validation = IntervalMetrics(**(self.position.interval or {})), IntervalMetrics()
        self.capacity = Capacity(len(self.state.step.sharding.device_set))
        self.profiler: Profiler | None = None
        self.timer = CheckpointTimer(checkpoint_period(config.training), self.position.step)
        self.results = ValidationResults(config.training, program.optimizer, program.average)
        self.results.read(self.state)
        self.watchdog: Watchdog | None = None
        self.skipped, self.bad_in_row = int(self.state.skipped), int(self.state.skipped_in_row)

    def run(self, report: Callable[[ValidationReport], None], *, quiet: bool = False) -> None:
        """Train to the end of the job.

        Args:
            report: called with the report on each validation.
            quiet: whether to hide the progress bar.

        Raises:
            Stopped: if asked to stop; all steps so far are saved.
            CheckpointError: if a checkpoint cannot be written.
            NotFiniteError: if too many steps in a row were not finite.
        """
        length, done = self.length.total, self.position.step
        tokens = len(self.texts.train) / length.epoch_ends[0]  # of a step
        bar = token_bar("training", round(length.steps * tokens), round(done * tokens), disable=quiet)
        batches = self.clock.over(self.time_use.inputs(self._all_batches()))
        limit, record = self.config.training.watchdog, self.folder.watchdog if is_primary() else None
        if limit is not None:
            options: Any = {"say": self.stop.say, "doing": self.time_use.describe, "record": record}
            self.watchdog = Watchdog(None if limit == "auto" else float(limit), **options)
        try:
            if done == 0:
                self._log_spectrum(self.state.params)
            while not self.is_over():
                if self.position.validated:
                    self._train(batches, bar)
                report(self._validate_and_save(bar))
        finally:
            bar.close()
            batches.close()
            self.clock.close(wait=jax.process_count() == 1)
            self.batches.close()
            if self.profiler is not None:
                self.profiler.close()
            for writer in self.writers:
                writer.close()
            self.checkpoints.finish()
            self.time_use.close()
            if self.watchdog is not None:
                self.watchdog.close()
        if not any(map(math.isfinite, self.position.valid_nats)):
            raise NotFiniteError(
                f"training ended after step {self.position.step} without a validation whose loss is finite "
                f"({self.skipped} steps were skipped): lower `learning_rate` or `clip_norm`, or choose another "
                "`optimizer`"
            )
        self.checkpoints.forget_validating()

    def is_over(self) -> bool:
        """Return whether the job has come to its end, or stopped improving."""
        return self.position.validated and (
            self.length.is_reached(self.position) or bool(self.results.reason_to_end(self.position))
        )

    def _between_windows(self, *done: object) -> None:
        """Do what is due between two windows of an evaluation.

        Raises:
            Stopped: if asked to stop.
        """
        if self.watchdog is not None:
            self.watchdog.progress()
        self.stop.check(*done)

    def _train(self, batches: Iterator[tuple[int, int, Batch]], bar: tqdm) -> None:
        """Make the steps up to the next validation."""
        started, before, first = time.perf_counter(), self.position.seconds, self.position.step
        self.since_validation = IntervalMetrics()
        for epoch, number, batch in batches:
            if number == 0:
                self.state = self.state._replace(model_state=self._initial_model_state())
            step = self.position.step + 1
            log_dets = None
            if self.jacobian_log is not None and step % self.config.training.log_every == 0:
                log_dets = self.jacobian_log(self.state, batch)  # with the parameters before the update
            with self._profiled(step, lambda: self._read_all(bar)):
                self.state, info = self.train_step(self.state, batch)
                self.clock.watch(info)
                self.pending.append(_Dispatched(step, epoch, info, log_dets))
            self.stop.may_exit_at_once = False
            ends_epoch = number + 1 == self.length.batches(epoch)
            following = (epoch + 1, 0) if ends_epoch else (epoch, number + 1)
            self.position = dataclasses.replace(self.position, step=step, epoch=following[0], batch=following[1])
            quick = (time.perf_counter() - started) * IN_FLIGHT < SECONDS_IN_FLIGHT * (step - first)
            while len(self.pending) > (IN_FLIGHT if quick else 2):
                self._read_oldest(bar)
            validate, stop = self.length.wants_validation(self.position), self.stop.before(step + 1)
            save = self.timer.is_due(step)
            if validate or stop or save:
                self._read_all(bar)
                self.position = dataclasses.replace(self.position, seconds=before + time.perf_counter() - started)
            if validate:
                self.position = dataclasses.replace(self.position, validated=False)
                return
            if (stop or save) and self.bad_in_row == 0:  # a checkpoint amid bad steps may contain what makes them bad
                self._save(self.checkpoints.last)
            if stop:
                self._stopped(self.checkpoints.last)

    def _initial_model_state(self) -> Tree:
        """Return the recurrent state at the beginning of the text."""
        size, mesh, model = self.config.data.batch_size, self.mesh, self.model
        return model.initial_state((size,)) if mesh is None else placed_model_state(model, size, mesh)

    def compiled_step(self) -> Any:
        """Compile the step; later calls of it use this program. Return None if sentences have several lengths.

        Of windows of several lengths, the longest is compiled.
        """
        if not self.batches.carries_state:
            return None
        return compile_step(self.train_step, self.state, self.config.data, mesh=self.mesh)

    def _profiled(self, step: int, finish: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Return the context in which to dispatch a step: a profiler trace, if the step is to be traced."""
        return contextlib.nullcontext() if self.profiler is None else self.profiler.step(step, finish)

    def _all_batches(self) -> Iterator[tuple[int, int, Batch]]:
        """Yield epoch, number and batch from the position on, epoch after epoch without end."""
        # The batch is transferred to the device when its step is dispatched, while earlier steps are running; an
        # earlier transfer by the host takes 5 % of a small model's step.
        epoch, first, size = self.position.epoch, self.position.batch, self.config.data.batch_size
        while True:
            for number, batch in enumerate(self.batches.epoch(epoch).after(first), first):
                yield epoch, number, batch if self.mesh is None else placed_batch(batch, self.mesh, size)
            epoch, first = epoch + 1, 0

    def _read_all(self, bar: tqdm) -> None:
        while self.pending:
            self._read_oldest(bar)

    def _read_oldest(self, bar: tqdm) -> None:
        """Wait for the oldest dispatched step, and add its figures to the metrics.

        Raises:
            NotFiniteError: if this and enough steps before it were not finite.
        """
        step, epoch, *device_values = self.pending.popleft()
        info, log_dets = jax.device_get(device_values)  # all figures in one transfer
        nats, tokens, norm = float(info.nats), int(info.tokens), float(info.grad_norm)
        penalties = {name: float(value) for name, value in info.penalties.items()}
        self.skipped, self.bad_in_row = int(info.skipped), int(info.skipped_in_row)
        bar.update(tokens)
        position = dataclasses.replace(self.position, all_tokens=self.position.all_tokens + tokens)
        if self.bad_in_row == 0:
            position = dataclasses.replace(position, nats=position.nats + nats, tokens=position.tokens + tokens)
        self.position = position
        step_time = self.clock.next_time()
        self.time_use.add_step(step_time)
        if self.watchdog is not None:
            self.watchdog.ended(step, step_time.seconds)
        for interval in (self.interval, self.since_validation):
            interval.add(nats=nats, tokens=tokens, norm=norm, time=step_time, penalties=penalties)
        if step % self.config.training.log_every == 0:
            rate = self.results.learning_rate(step, self.skipped)
            record = {"kind": "step", "step": step, "epoch": epoch, "learning_rate": rate, "skipped": self.skipped}
            record |= self.interval.figures(self.model.output.sampled) | self.interval.rates(self.capacity)
            record["seconds_running"] = self.time_use.seconds_running
            if log_dets is not None:
                record |= jacobian_figures(log_dets)
            self._write(record)
            loss = "sampled loss" if self.model.output.sampled else "loss"
            shown = f"epoch {epoch + 1}, {loss} {self.interval.loss:.3f}, norm {norm:.2f}"
            bar.set_postfix_str(shown, refresh=False)
            self.interval = IntervalMetrics()
        if self.bad_in_row >= self.config.training.max_bad_steps:
            self._write({"kind": "stop", "step": step, "epoch": epoch, "grad_norm": norm, "skipped": self.skipped})
            rate = self.results.learning_rate(step, self.skipped)
            shown = "" if rate is None else f"learning rate {rate:g}, "
            raise NotFiniteError(
                f"training stopped at step {step}: loss or gradient was not finite for {self.bad_in_row} steps "
                f"in a row ({shown}gradient norm {norm:g}); lower `learning_rate` or `clip_norm`; "
                "the last good checkpoint stands"
            )

    def _validate_and_save(self, bar: tqdm) -> ValidationReport:
        """Validate, adapt the learning rate, write the record, and save the checkpoints."""
        epochs = self.length.epochs_done(self.position)
        bar.set_postfix_str(f"epoch {math.ceil(epochs)}, validating", refresh=False)
        averaged, params = self.results.evaluated_params(self.state)
        valid = self._validate(params)
        nats = float(from_primary(repr(valid.nll / valid.tokens)))  # so that all choose the same best one
        position, rate = self.position, self.results.learning_rate(self.position.step, self.skipped)
        self.position, improved = self.results.after(position, nats)
        self.state = self.results.adapted(self.state, self.position)
        report = ValidationReport(
            epochs=epochs,
            step=position.step,
            learning_rate=rate,
            train_loss=position.nats / max(position.tokens, 1),
            train_tokens=position.tokens,
            sampled=self.model.output.sampled,
            valid=valid,
            averaged=averaged,
            tokens_per_second=position.all_tokens / max(position.seconds, 1e-9),
            seconds=position.seconds,
            skipped=self.skipped,
            rates=self.since_validation.rates(self.capacity),
            ends="" if self.length.is_reached(position) else self.results.reason_to_end(self.position),
        )
        self._write(report.record() | self.time_use.figures())
        self._log_spectrum(params)
        # Save after writing the record: a resumed run writes the records beyond its checkpoint again.
        with self.time_use.during("checkpoint"):
            self.checkpoints.last.wait()
            if improved:  # before the last checkpoint, whose position refers to the best one
                self.checkpoints.save_best(params, self._checkpoint_position())
        if math.isfinite(nats):
            self._save(self.checkpoints.last)
        return report

    def _log_spectrum(self, params: Tree) -> None:
        """Write the spectra of the recurrent Jacobians, if they are due after the validations so far."""
        if self.spectrum_log is None or not self.spectrum_log.is_due(len(self.position.valid_nats)):
            return
        options = {} if self.watchdog is None else {"progress": self.watchdog.progress}
        with self.time_use.during("spectra"):
            found = self.spectrum_log.record(params, **options)
        self._write({"kind": "spectrum", "step": self.position.step} | found)

    def _validate(self, params: Tree) -> Evaluation:
        """Evaluate the validation text; if asked to stop, save the state that is not validated yet."""
        try:
            self.stop.check()
            texts = self.texts
            with self.time_use.during("validation"):
                return evaluate(
                    self.model,
                    params,
                    texts.valid,
                    texts.vocabulary,
                    streams=min(self.config.training.valid_streams, len(texts.valid)),
                    progress=self._between_windows,
                    mesh=self.mesh,
                )
        except Stopped:
            if self.bad_in_row == 0:
                self._save(self.checkpoints.validating)
            self._stopped(self.checkpoints.validating)

    def _stopped(self, folder: CheckpointFolder) -> NoReturn:
        """Raise ``Stopped`` once the checkpoint that is being saved in a folder is committed."""
        with self.time_use.during("checkpoint"):
            folder.wait()
        saved = "which is saved" if self.bad_in_row == 0 else "amid bad ones; the last good checkpoint stands"
        raise Stopped(f"stopped by {self.stop.name} after step {self.position.step}, {saved}")

    def _save(self, folder: CheckpointFolder) -> None:
        """Start to save a checkpoint of the whole state."""
        with self.time_use.during("checkpoint"):
            self.checkpoints.save(folder, self.state, self._checkpoint_position())
        self.timer.saved(self.position.step)

    def _checkpoint_position(self) -> Position:
        """Return the position with the number and digest of the metrics written; only process 0 knows these."""
        if self.records is None:
            return self.position
        self.position = dataclasses.replace(
            self.position,
            records=self.records.lines,
            records_digest=self.records.digest,
            interval=self.interval.sums(),
            seconds_by_use=self.time_use.sums(),
        )
        return self.position

    def _write(self, record: dict[str, Any]) -> None:
        with self.time_use.during("metrics"):
            for writer in self.writers:
                writer.write(record)
