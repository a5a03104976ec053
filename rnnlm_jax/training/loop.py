"""The training loop: epochs of compiled steps, validation, checkpoints and metrics; resumable at any step."""

import collections
import contextlib
import dataclasses
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from tqdm import tqdm

from rnnlm_jax.array_types import Array
from rnnlm_jax.config import Config
from rnnlm_jax.data import Batch, Batches
from rnnlm_jax.errors import CheckpointError, TrainingError
from rnnlm_jax.evaluation.perplexity import Evaluation, evaluate
from rnnlm_jax.jobs.checkpoints import CheckpointFolder, Position
from rnnlm_jax.jobs.distributed import AgreedError, from_primary, is_primary, on_primary
from rnnlm_jax.jobs.run_folder import START, RunFolder
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.jobs.sharding.placement import batch_sharding, own_columns, placed_batch, placed_model_state
from rnnlm_jax.jobs.stopping import Stopped, StopRequest
from rnnlm_jax.jobs.watchdog import Watchdog
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.epoch_report import EpochReport
from rnnlm_jax.training.initialize_from import InitialParameters
from rnnlm_jax.training.interval_metrics import Capacity, IntervalMetrics
from rnnlm_jax.training.jacobian_log import jacobian_figures, make_jacobian_log
from rnnlm_jax.training.metrics import JsonLines, Writer
from rnnlm_jax.training.metrics_writers import open_writers
from rnnlm_jax.training.optimizer import learning_rate_at
from rnnlm_jax.training.profiling import Profiler
from rnnlm_jax.training.resuming import discard_later_checkpoints, require_best_checkpoint, restore_training
from rnnlm_jax.training.step import StepInfo, make_train_step
from rnnlm_jax.training.step_clock import StepClock
from rnnlm_jax.training.texts import Texts, make_batches
from rnnlm_jax.training.time_use import WORDS, TimeUse, last_seconds_running
from rnnlm_jax.training.train_state import TrainState, initial_train_state, join_state, split_state

#: Most steps that are dispatched before their figures are read, so that the device need not wait for the host; fewer if
#: these take more than the given seconds, since a run that is asked to stop must wait for them.
IN_FLIGHT, SECONDS_IN_FLIGHT = 8, 0.5


class NotFiniteError(AgreedError, TrainingError):
    """Too many steps in a row had a loss or gradient that was not finite."""


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
            mesh: devices to divide training over; None for one device.
            stop: checked between two steps.
            start: parameters of another model to start from; None: all are drawn.
            time_use: sums of the wall time, begun with the process; None: begun now.

        Raises:
            CheckpointError: if all checkpoints are damaged, or one is of another run or model.
        """
        self.config, self.folder, self.model, self.texts, self.mesh = config, folder, model, texts, mesh
        self.identity = identity
        self.stop = StopRequest() if stop is None else stop
        seed = config.training.seed
        columns = None if mesh is None else own_columns(mesh, config.data.batch_size)
        self.batches: Batches = make_batches(config.data, texts, seed, columns=columns)
        carries_state = self.batches.carries_state
        self.train_step = make_train_step(
            model, config.optimizer, seed, carries_state=carries_state, mesh=mesh, freeze=config.training.freeze
        )
        self.jacobian_log = (
            make_jacobian_log(model, seed, carries_state=carries_state) if config.training.log_jacobian else None
        )
        keep = config.training.keep_last
        self.last = CheckpointFolder(folder.checkpoints("last"), keep)
        # Two at least: a new best checkpoint is committed before the last one, and a crash may lose the last one.
        self.best = CheckpointFolder(folder.checkpoints("best"), max(keep, 2))
        self.validating = CheckpointFolder(folder.checkpoints("validating"))
        self.position: Position = START
        self.state: TrainState = initial_train_state(
            model, config.optimizer, config.data.batch_size, seed=seed, mesh=mesh, start=start
        )
        self.started_from = "" if start is None else start.describe()
        self.time_use = TimeUse() if time_use is None else time_use
        if resume:
            self._resume()
            self.time_use.resume(self.position.seconds_by_use, last_seconds_running(folder.metrics))
        self.records = (
            JsonLines(folder.metrics, identity.run_id, self.position if resume else None) if is_primary() else None
        )
        self.writers: list[Writer] = [] if self.records is None else [self.records]
        if is_primary():
            at = self.position.step if resume else None
            self.writers += open_writers(config, folder, run_id=identity.run_id, resume_step=at)
        awaits_validation = resume and self.position.batch == len(self.batches)
        discard_later_checkpoints(self.position, self.last, self.best, validated=not awaits_validation)
        self.pending: collections.deque[tuple[int, StepInfo, Array | None]] = collections.deque()
        self.clock = StepClock()
        self.interval, self.epoch_interval = IntervalMetrics(**(self.position.interval or {})), IntervalMetrics()
        self.capacity = Capacity(len(self.state.step.sharding.device_set))
        self.profiler: Profiler | None = None
        self.watchdog: Watchdog | None = None
        self.skipped = int(self.state.skipped)
        self.bad_in_row = int(self.state.skipped_in_row)

    def _resume(self) -> None:
        """Restore state and position of the newest intact checkpoint, if there are checkpoints."""
        for folder in (self.last, self.best, self.validating):
            folder.require_same_run(self.identity)
        found = restore_training(self.last, self.validating, split_state(self.state), identity=self.identity)
        if found is None:
            return
        like = {"params": self.state.params}
        self.position = require_best_checkpoint(found.position, self.best, self.last, like=like, identity=self.identity)
        self.state = join_state(found.trees, uncommitted=self.mesh is None)

    def run(self, report: Callable[[EpochReport], None], *, quiet: bool = False) -> None:
        """Train to the last epoch.

        Args:
            report: called with the report on each epoch.
            quiet: whether to hide the progress bar.

        Raises:
            Stopped: if asked to stop; all steps so far are saved.
            CheckpointError: if a checkpoint cannot be written.
            NotFiniteError: if too many steps in a row were not finite.
        """
        epochs, tokens = self.config.training.epochs, len(self.texts.train)
        done = self.position.epoch * tokens + self.position.epoch_tokens
        bar = token_bar("training", epochs * tokens, done, disable=quiet)
        self.watchdog = self._start_watchdog()
        try:
            for epoch in range(self.position.epoch, epochs):
                self._train_epoch(epoch, bar)
                report(self._end_epoch(epoch, bar))
        finally:
            bar.close()
            self.clock.close(wait=jax.process_count() == 1)
            self.batches.close()
            if self.profiler is not None:
                self.profiler.close()
            for writer in self.writers:
                writer.close()
            self._finish_saving()
            self.time_use.close()
            if self.watchdog is not None:
                self.watchdog.close()
        on_primary(lambda: shutil.rmtree(self.validating.folder, ignore_errors=True))  # all epochs are validated

    def _start_watchdog(self) -> Watchdog | None:
        """Start to watch for steps that do not end, unless the configuration switches it off."""
        limit = self.config.training.watchdog
        if limit is None:
            return None
        return Watchdog(
            None if limit == "auto" else float(limit),
            say=self.stop.say,
            doing=lambda: WORDS[self.time_use.activity],
            record=self.folder.watchdog if is_primary() else None,
        )

    def _between_windows(self, *done: object) -> None:
        """Do what is due between two windows of an evaluation.

        Raises:
            Stopped: if asked to stop.
        """
        if self.watchdog is not None:
            self.watchdog.progress()
        self.stop.check(*done)

    def _finish_saving(self) -> None:
        """Wait for the checkpoint that is being written; its error is dropped if another one is being raised."""
        raising = sys.exception() is not None
        try:
            self.last.wait()
        except CheckpointError:
            if not raising:
                raise

    def _train_epoch(self, epoch: int, bar: tqdm) -> None:
        """Make the steps of an epoch from the position on."""
        rate = learning_rate_at(self.config.optimizer, epoch)
        if self.position.batch == 0:
            size = self.config.data.batch_size
            mesh, model = self.mesh, self.model
            initial = model.initial_state((size,)) if mesh is None else placed_model_state(model, size, mesh)
            self.state = self.state._replace(model_state=initial)
        started, before = time.perf_counter(), self.position.seconds
        device_rate = jnp.asarray(rate, jnp.float32)
        every = self.config.training.checkpoint_every
        first = self.position.batch
        self.epoch_interval = IntervalMetrics()
        for number, batch in self.clock.over(self.time_use.inputs(self._batches_from(epoch, first))):
            step = self.position.step + 1
            log_dets = None
            if self.jacobian_log is not None and step % self.config.training.log_every == 0:
                log_dets = self.jacobian_log(self.state, batch)  # with the parameters before the update
            with self._profiled(step, lambda: self._read_all(epoch, rate, bar)):
                self.state, info = self.train_step(self.state, batch, device_rate)
                self.clock.watch(info)
                self.pending.append((step, info, log_dets))
            self.stop.may_exit_at_once = False
            self.position = dataclasses.replace(self.position, step=step, batch=number + 1)
            quick = (time.perf_counter() - started) * IN_FLIGHT < SECONDS_IN_FLIGHT * (number + 1 - first)
            while len(self.pending) > (IN_FLIGHT if quick else 2):
                self._read_oldest(epoch, rate, bar)
            more, stop = number + 1 < len(self.batches), self.stop.before(step + 1)
            if more and (stop or step % every == 0):
                self._read_all(epoch, rate, bar)
                self.position = dataclasses.replace(self.position, seconds=before + time.perf_counter() - started)
                if self.bad_in_row == 0:  # during bad steps, a checkpoint may contain what makes them bad
                    self._save(self.last)
            if more and stop:
                self._stopped(self.last)
        self._read_all(epoch, rate, bar)
        self.position = dataclasses.replace(self.position, seconds=before + time.perf_counter() - started)

    def compiled_step(self) -> Any:
        """Compile the step; later calls of it use this program. Return None if batches have several shapes."""
        if not self.batches.carries_state:
            return None
        data, sharding = self.config.data, None if self.mesh is None else batch_sharding(self.mesh)
        parts: Any = [
            jax.ShapeDtypeStruct((data.bptt, data.batch_size), kind, sharding=sharding)
            for kind in (jnp.int32, jnp.int32, jnp.bool_)
        ]
        step: Any = self.train_step
        return step.lower(self.state, Batch(*parts), jnp.zeros((), jnp.float32)).compile()

    def _profiled(self, step: int, finish: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Return the context in which to dispatch a step: a profiler trace, if the step is to be traced."""
        return contextlib.nullcontext() if self.profiler is None else self.profiler.step(step, finish)

    def _batches_from(self, epoch: int, first: int) -> Iterator[tuple[int, Batch]]:
        # The batch is transferred to the device when its step is dispatched, while earlier steps are running; an
        # earlier transfer by the host takes 5 % of a small model's step.
        for number, batch in enumerate(self.batches.epoch(epoch).after(first), first):
            yield number, batch if self.mesh is None else placed_batch(batch, self.mesh, self.config.data.batch_size)

    def _read_all(self, epoch: int, rate: float, bar: tqdm) -> None:
        while self.pending:
            self._read_oldest(epoch, rate, bar)

    def _read_oldest(self, epoch: int, rate: float, bar: tqdm) -> None:
        """Wait for the oldest dispatched step, and add its figures to the metrics.

        Raises:
            NotFiniteError: if this and enough steps before it were not finite.
        """
        step, info, log_dets = self.pending.popleft()
        info, log_dets = jax.device_get((info, log_dets))  # all figures in one transfer
        nats, tokens, norm = float(info.nats), int(info.tokens), float(info.grad_norm)
        self.skipped, self.bad_in_row = int(info.skipped), int(info.skipped_in_row)
        bar.update(tokens)
        if self.bad_in_row == 0:
            self.position = dataclasses.replace(
                self.position,
                epoch_nats=self.position.epoch_nats + nats,
                epoch_tokens=self.position.epoch_tokens + tokens,
            )
        step_time = self.clock.next_time()
        self.time_use.add_step(step_time)
        if self.watchdog is not None:
            self.watchdog.ended(step, step_time.seconds)
        for interval in (self.interval, self.epoch_interval):
            interval.add(nats=nats, tokens=tokens, norm=norm, time=step_time)
        if step % self.config.training.log_every == 0:
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
            raise NotFiniteError(
                f"training stopped at step {step}: loss or gradient was not finite for {self.bad_in_row} steps "
                f"in a row (learning rate {rate:g}, gradient norm {norm:g}); lower `learning_rate` or `clip_norm`; "
                "the last good checkpoint stands"
            )

    def _end_epoch(self, epoch: int, bar: tqdm) -> EpochReport:
        """Validate, write the epoch's record, save the checkpoints, and move the position to the next epoch."""
        bar.set_postfix_str(f"epoch {epoch + 1}, validating", refresh=False)
        streams = min(self.config.training.valid_streams, len(self.texts.valid))
        valid = self._validate(streams)
        position = self.position
        report = EpochReport(
            epoch=epoch + 1,
            step=position.step,
            learning_rate=learning_rate_at(self.config.optimizer, epoch),
            train_loss=position.epoch_nats / max(position.epoch_tokens, 1),
            train_tokens=position.epoch_tokens,
            sampled=self.model.output.sampled,
            valid=valid,
            tokens_per_second=len(self.texts.train) * (epoch + 1) / max(position.seconds, 1e-9),
            seconds=position.seconds,
            skipped=self.skipped,
            rates=self.epoch_interval.rates(self.capacity),
        )
        valid_nats = float(from_primary(repr(valid.nll / valid.tokens)))  # so that all choose the same best epoch
        finite = math.isfinite(valid_nats)
        improved = position.best_valid_nats is None or valid_nats < position.best_valid_nats
        self.position = dataclasses.replace(
            position,
            epoch=epoch + 1,
            batch=0,
            epoch_nats=0.0,
            epoch_tokens=0,
            best_valid_nats=valid_nats if improved and finite else position.best_valid_nats,
            best_step=position.step if improved else position.best_step,
        )
        self._write(report.record() | self.time_use.figures())
        # Save after writing the record: a resumed run writes the records beyond its checkpoint again.
        with self.time_use.during("checkpoint"):
            self.last.wait()
            if improved:  # before the last checkpoint, whose position refers to the best one
                self.best.save({"params": self.state.params}, self._checkpoint_position(), self.identity)
        if finite:
            self._save(self.last)
        return report

    def _validate(self, streams: int) -> Evaluation:
        """Evaluate the validation text; if asked to stop, save the epoch that is not validated yet."""
        try:
            self.stop.check()
            state, texts = self.state, self.texts
            with self.time_use.during("validation"):
                return evaluate(
                    self.model,
                    state.params,
                    texts.valid,
                    texts.vocabulary,
                    streams=streams,
                    progress=self._between_windows,
                    mesh=self.mesh,
                )
        except Stopped:
            if self.bad_in_row == 0:
                self._save(self.validating)
            self._stopped(self.validating)

    def _stopped(self, folder: CheckpointFolder) -> NoReturn:
        """Raise ``Stopped`` once the checkpoint that is being saved in a folder is committed."""
        with self.time_use.during("checkpoint"):
            folder.wait()
        saved = "which is saved" if self.bad_in_row == 0 else "amid bad ones; the last good checkpoint stands"
        raise Stopped(f"stopped by {self.stop.name} after step {self.position.step}, {saved}")

    def _save(self, folder: CheckpointFolder) -> None:
        """Start to save a checkpoint of the whole state."""
        with self.time_use.during("checkpoint"):
            folder.save(split_state(self.state), self._checkpoint_position(), self.identity, background=True)

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
