"""The training loop: epochs of compiled steps, validation, checkpoints, metrics; resumable at any step."""

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
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.perplexity import Evaluation, evaluate
from rnnlm_jax.jobs.checkpoints import CheckpointFolder, Position
from rnnlm_jax.jobs.distributed import AgreedError, from_first, is_first, on_first
from rnnlm_jax.jobs.run_folder import START, RunFolder
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.jobs.sharding.placement import batch_sharding, own_columns, placed_batch, placed_model_state
from rnnlm_jax.jobs.stopping import Stopped, StopRequest
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.training.epoch_report import EpochReport
from rnnlm_jax.training.interval import Capacity, Interval
from rnnlm_jax.training.jacobian_log import jacobian_figures, make_jacobian_log
from rnnlm_jax.training.metrics import JsonLines, TensorBoard, Writer
from rnnlm_jax.training.optimizer import learning_rate_at
from rnnlm_jax.training.profiling import Profiler
from rnnlm_jax.training.resuming import discard_later, newest_training, with_best
from rnnlm_jax.training.step import StepInfo, TrainState, initial_train_state, make_train_step
from rnnlm_jax.training.step_clock import StepClock
from rnnlm_jax.training.texts import Texts, make_batches
from rnnlm_jax.training.trees import join_state, split_state

#: Steps that may be under way before their figures are read, so that the device never waits for the host; and for how
#: many seconds, since whoever stops a run waits for them.
IN_FLIGHT, SECONDS_IN_FLIGHT = 8, 0.5


class Trainer:
    """A run under way: the state of training, where it stands in the data, and where it writes."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        model: LanguageModel,
        texts: Texts,
        identity: RunIdentity,
        resume: bool,
        mesh: Mesh | None = None,
        stop: StopRequest | None = None,
    ):
        """Set up fresh state, or that of the last checkpoint that is whole; on a mesh, unless that is none.

        ``stop`` is asked between two steps.

        Raises:
            UserError: if no checkpoint to resume from is whole, or one is of another run or model.
        """
        self.config, self.folder, self.model, self.texts, self.mesh = config, folder, model, texts, mesh
        self.identity = identity
        self.stop = StopRequest() if stop is None else stop
        columns = None if mesh is None else own_columns(mesh, config.data.batch_size)
        self.batches: Batches = make_batches(config.data, texts, config.training.seed, columns)
        self.train_step = make_train_step(
            model, config.optimizer, config.training.seed, self.batches.carries_state, mesh
        )
        self.jacobian_log = (
            make_jacobian_log(model, config.training.seed, self.batches.carries_state)
            if config.training.log_jacobian
            else None
        )
        keep = config.training.keep_last
        self.last = CheckpointFolder(folder.checkpoints("last"), keep)
        # Two at least: a new best one is committed before the last checkpoint, which may be lost, as may be its commit.
        self.best = CheckpointFolder(folder.checkpoints("best"), max(keep, 2))
        self.validating = CheckpointFolder(folder.checkpoints("validating"))
        self.position: Position = START
        self.state: TrainState = initial_train_state(
            model, config.optimizer, config.data.batch_size, config.training.seed, mesh
        )
        if resume:
            self._resume()
        # Of several processes the first one writes for all.
        self.records = (
            JsonLines(folder.metrics, identity.run_id, self.position if resume else None) if is_first() else None
        )
        self.writers: list[Writer] = [] if self.records is None else [self.records]
        if config.training.tensorboard and is_first():
            self.writers.append(TensorBoard(folder.path / "tensorboard", self.position.step if resume else None))
        awaits_validation = resume and self.position.batch == len(self.batches)
        discard_later(self.position, not awaits_validation, self.last, self.best)
        self.pending: collections.deque[tuple[int, StepInfo, Array | None]] = collections.deque()
        self.clock = StepClock()
        self.interval, self.epoch_interval = Interval(**(self.position.interval or {})), Interval()
        self.capacity = Capacity(len(self.state.step.sharding.device_set))
        self.profiler: Profiler | None = None
        self.skipped = int(self.state.skipped)
        self.bad_in_row = int(self.state.skipped_in_row)

    def _resume(self) -> None:
        """Take state and position of the newest checkpoint that is whole, if there is any."""
        for folder in (self.last, self.best, self.validating):
            folder.require_own(self.identity)
        found = newest_training(self.last, self.validating, split_state(self.state), self.identity)
        if found is None:
            return
        like = {"params": self.state.params}
        self.position = with_best(found.position, self.best, self.last, like, self.identity)
        self.state = join_state(found.trees, fresh=self.mesh is None)

    def run(self, report: Callable[[EpochReport], None], quiet: bool = False) -> None:
        """Train to the last epoch, telling ``report`` of each.

        Raises:
            Stopped: if asked to stop; all steps so far are saved.
            UserError: if a checkpoint cannot be written, or too many steps in a row were not finite.
        """
        epochs, tokens = self.config.training.epochs, len(self.texts.train)
        done = self.position.epoch * tokens + self.position.epoch_tokens
        bar = token_bar("training", epochs * tokens, done, quiet)
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
        on_first(lambda: shutil.rmtree(self.validating.folder, ignore_errors=True))  # all is validated

    def _finish_saving(self) -> None:
        """Wait for the checkpoint being written; an error of it is not told if there is another to tell."""
        another = sys.exception() is not None
        try:
            self.last.wait()
        except UserError:
            if not another:
                raise

    def _train_epoch(self, epoch: int, bar: tqdm) -> None:
        """The rest of an epoch, from the position on."""
        rate = learning_rate_at(self.config.optimizer, epoch)
        if self.position.batch == 0:
            size = self.config.data.batch_size
            mesh, model = self.mesh, self.model
            fresh = model.initial_state((size,)) if mesh is None else placed_model_state(model, size, mesh)
            self.state = self.state._replace(model_state=fresh)
        started, before = time.perf_counter(), self.position.seconds
        device_rate = jnp.asarray(rate, jnp.float32)
        every = self.config.training.checkpoint_every
        first = self.position.batch
        self.epoch_interval = Interval()
        for number, batch in self.clock.over(self._batches_from(epoch, first)):
            step = self.position.step + 1
            log_dets = None
            if self.jacobian_log is not None and step % self.config.training.log_every == 0:
                log_dets = self.jacobian_log(self.state, batch)  # of the parameters before the update
            with self._profiled(step, lambda: self._read_all(epoch, rate, bar)):
                self.state, info = self.train_step(self.state, batch, device_rate)
                self.clock.watch(info)
                self.pending.append((step, info, log_dets))
            self.stop.nothing_to_lose = False
            self.position = dataclasses.replace(self.position, step=step, batch=number + 1)
            quick = (time.perf_counter() - started) * IN_FLIGHT < SECONDS_IN_FLIGHT * (number + 1 - first)
            while len(self.pending) > (IN_FLIGHT if quick else 2):
                self._read_oldest(epoch, rate, bar)
            more, stop = number + 1 < len(self.batches), self.stop.before(step + 1)
            if more and (stop or step % every == 0):
                self._read_all(epoch, rate, bar)
                self.position = dataclasses.replace(self.position, seconds=before + time.perf_counter() - started)
                if self.bad_in_row == 0:  # a checkpoint amid bad steps may hold what made them bad
                    self._save(self.last)
            if more and stop:
                self._stopped(self.last)
        self._read_all(epoch, rate, bar)
        self.position = dataclasses.replace(self.position, seconds=before + time.perf_counter() - started)

    def compiled_step(self) -> Any:
        """The step, compiled; jit runs this program, and compiles none. None for batches of many shapes."""
        if not self.batches.carries_state:
            return None
        data, where = self.config.data, None if self.mesh is None else batch_sharding(self.mesh)
        parts: Any = [
            jax.ShapeDtypeStruct((data.bptt, data.batch_size), kind, sharding=where)
            for kind in (jnp.int32, jnp.int32, jnp.bool_)
        ]
        step: Any = self.train_step
        return step.lower(self.state, Batch(*parts), jnp.zeros((), jnp.float32)).compile()

    def _profiled(self, step: int, finish: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Around a step's dispatch: a trace of it, if it was asked for."""
        return contextlib.nullcontext() if self.profiler is None else self.profiler.step(step, finish)

    def _batches_from(self, epoch: int, first: int) -> Iterator[tuple[int, Batch]]:
        # Several steps are always under way, and meanwhile this batch goes to the device, at the latest as its own step
        # is dispatched; to send it before that costs a small model 5 % of a step.
        for number, batch in enumerate(self.batches.epoch(epoch).after(first), first):
            yield number, batch if self.mesh is None else placed_batch(batch, self.mesh, self.config.data.batch_size)

    def _read_all(self, epoch: int, rate: float, bar: tqdm) -> None:
        while self.pending:
            self._read_oldest(epoch, rate, bar)

    def _read_oldest(self, epoch: int, rate: float, bar: tqdm) -> None:
        """Wait for the oldest step under way, and account for it."""
        step, info, log_dets = self.pending.popleft()
        info, log_dets = jax.device_get((info, log_dets))  # all its figures in one transfer
        nats, tokens, norm = float(info.nats), int(info.tokens), float(info.grad_norm)
        self.skipped, self.bad_in_row = int(info.skipped), int(info.skipped_in_row)
        bar.update(tokens)
        if self.bad_in_row == 0:
            self.position = dataclasses.replace(
                self.position,
                epoch_nats=self.position.epoch_nats + nats,
                epoch_tokens=self.position.epoch_tokens + tokens,
            )
        time_taken = self.clock.next_time()
        for interval in (self.interval, self.epoch_interval):
            interval.add(nats, tokens, norm, time_taken)
        if step % self.config.training.log_every == 0:
            record = {"kind": "step", "step": step, "epoch": epoch, "learning_rate": rate, "skipped": self.skipped}
            record |= self.interval.figures(self.model.output.sampled) | self.interval.rates(self.capacity)
            if log_dets is not None:
                record |= jacobian_figures(log_dets)
            self._write(record)
            loss = "sampled loss" if self.model.output.sampled else "loss"
            shown = f"epoch {epoch + 1}, {loss} {self.interval.loss:.3f}, norm {norm:.2f}"
            bar.set_postfix_str(shown, refresh=False)
            self.interval = Interval()
        if self.bad_in_row >= self.config.training.max_bad_steps:
            self._write({"kind": "stop", "step": step, "epoch": epoch, "grad_norm": norm, "skipped": self.skipped})
            raise AgreedError(
                f"training stopped at step {step}: loss or gradient was not finite for {self.bad_in_row} steps "
                f"in a row (learning rate {rate:g}, gradient norm {norm:g}); lower --learning-rate or --clip-norm; "
                "the last good checkpoint stands"
            )

    def _end_epoch(self, epoch: int, bar: tqdm) -> EpochReport:
        """Validate, keep the checkpoints, and begin the next epoch's position."""
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
        valid_nats = float(from_first(repr(valid.nll / valid.tokens)))  # all keep the same checkpoints
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
        self._write(report.record())
        # After the record: what is written beyond the last checkpoint is written again by a resumed run.
        self.last.wait()
        if improved:  # committed before the last one, which counts on it
            self.best.save({"params": self.state.params}, self._mark(), self.identity)
        if finite:
            self._save(self.last)
        return report

    def _validate(self, streams: int) -> Evaluation:
        """Measure the validation text; if asked to stop, keep the epoch that awaits it."""
        try:
            self.stop.check()
            state, texts = self.state, self.texts
            return evaluate(
                self.model,
                state.params,
                texts.valid,
                texts.vocabulary,
                streams=streams,
                progress=self.stop.check,
                mesh=self.mesh,
            )
        except Stopped:
            if self.bad_in_row == 0:
                self._save(self.validating)
            self._stopped(self.validating)

    def _stopped(self, folder: CheckpointFolder) -> NoReturn:
        """Leave training, once what is being saved in a folder is committed."""
        folder.wait()
        saved = "which is saved" if self.bad_in_row == 0 else "amid bad ones; the last good checkpoint stands"
        raise Stopped(f"stopped by {self.stop.name} after step {self.position.step}, {saved}")

    def _save(self, folder: CheckpointFolder) -> None:
        """Begin to write a checkpoint of everything."""
        folder.save(split_state(self.state), self._mark(), self.identity, background=True)

    def _mark(self) -> Position:
        """The position, with the records of metrics that are behind it; the first process's is the one that is kept."""
        if self.records is None:
            return self.position
        self.position = dataclasses.replace(
            self.position,
            records=self.records.lines,
            records_digest=self.records.digest,
            interval=self.interval.sums(),
        )
        return self.position

    def _write(self, record: dict[str, Any]) -> None:
        for writer in self.writers:
            writer.write(record)
