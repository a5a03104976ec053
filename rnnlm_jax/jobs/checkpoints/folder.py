"""A folder of checkpoints of one kind: saved in the background, committed as a whole, verified when read.

Orbax writes and reads the arrays. Beside them is a metadata file with the position, the identity of the run, and
digests of the arrays, since Orbax does not detect flipped bits.
"""

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.errors import CheckpointError
from rnnlm_jax.jobs.checkpoints import metadata as texts
from rnnlm_jax.jobs.checkpoints.array_digests import digests, host_copies, named_leaves, spans_processes
from rnnlm_jax.jobs.checkpoints.metadata import CheckpointMetadata, Position
from rnnlm_jax.jobs.checkpoints.orbax_logging import first_line, quiet_orbax
from rnnlm_jax.jobs.distributed import any_process
from rnnlm_jax.jobs.run_identity import RunIdentity, require_same_run

#: Name of the metadata's item, a folder of each checkpoint.
METADATA = "about"


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is not as it was written; earlier ones may be intact."""

    def __init__(self, path: Path, reason: str):
        """Name the checkpoint and the reason; ``what`` is the message without its remedy."""
        self.what = f"the checkpoint {path} is damaged ({reason})"
        super().__init__(f"{self.what}: restore the folder from a copy, or delete it and train again")


class CheckpointFolder:
    """The checkpoints of one kind (last, best, validating) of a run; the newest ``keep`` are kept."""

    def __init__(self, folder: Path, keep: int = 1):
        """Remember the path; the folder is created by the first ``save`` or ``prepare``."""
        self.folder, self.keep = folder.absolute(), keep
        self._saving: int | None = None  # the step of the checkpoint that is being written
        self._while_saving = contextlib.ExitStack()

    @functools.cached_property
    def _writer(self) -> Any:
        """Orbax's manager; it creates the folder and deletes what a killed process left unfinished."""
        return _manager(self.folder, max_to_keep=self.keep, cleanup_tmp_directories=True)

    def steps(self) -> list[int]:
        """Return the steps of the committed checkpoints in ascending order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit() and path.is_dir())

    def prepare(self) -> None:
        """Create the folder, and delete what a killed process left unfinished."""
        _ = self._writer

    def save(
        self, items: dict[str, Tree], position: Position, identity: RunIdentity, *, background: bool = False
    ) -> None:
        """Write a checkpoint, unless there is one of the same step.

        It is committed when both its arrays and their digests are on disk. A process that dies before leaves the
        earlier checkpoints intact.

        Args:
            items: trees by name.
            position: the position in training, whose ``step`` is the checkpoint's.
            identity: the identity of the run.
            background: whether to return as soon as the arrays are copied, so that training may overwrite them. Errors
                are then raised by ``wait`` or the next ``save``.

        Raises:
            CheckpointError: if this checkpoint or the one before cannot be written, for example on a full disk.
        """
        import orbax.checkpoint as ocp

        from rnnlm_jax.jobs.checkpoints.deferred_text import DeferredText

        self.wait()
        if position.step in self.steps():
            return
        leaves = {name: host_copies(named_leaves(tree)) for name, tree in items.items()}

        # Gathering an array takes all processes at once, so it cannot be done in a background thread; the rest can.
        gathered = {name: digests({k: v for k, v in of.items() if spans_processes(v)}) for name, of in leaves.items()}

        def metadata() -> str:
            found = {
                name: gathered[name] | digests({k: v for k, v in of.items() if not spans_processes(v)})
                for name, of in leaves.items()
            }
            return texts.to_text(CheckpointMetadata(position, identity, found))

        arguments: dict[str, Any] = {name: ocp.args.StandardSave(arrays) for name, arrays in leaves.items()}
        arguments[METADATA] = DeferredText(metadata)
        self._saving = position.step
        with self._reported(), contextlib.ExitStack() as saving:
            saving.enter_context(quiet_orbax())
            self._writer.save(position.step, args=ocp.args.Composite(**arguments))
            self._while_saving = saving.pop_all()
        if not background:
            self.wait()

    def wait(self) -> None:
        """Wait until the checkpoint that is being written is committed.

        Raises:
            CheckpointError: if it cannot be written.
        """
        if self._saving is None:
            return
        with self._reported(), self._while_saving:
            self._writer.wait_until_finished()
        self._saving = None

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Raise any error of the block as a ``CheckpointError``."""
        try:
            yield
        except Exception as error:
            step, self._saving = self._saving, None
            raise CheckpointError(
                f"cannot save the checkpoint of step {step} in {self.folder} ({first_line(error)}): "
                "make room or choose another `run`; the earlier checkpoint stands"
            ) from error

    def discard(self, *steps: int) -> None:
        """Delete checkpoints, damaged or not, so that they can be written again."""
        if not steps:
            return
        if jax.process_index() == 0:
            for step in set(steps) & set(self.steps()):
                shutil.rmtree(self.folder / str(step))
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"discarded from {self.folder}")
        self.__dict__.pop("_writer", None)  # it caches the list of steps

    def metadata(self, step: int, identity: RunIdentity) -> CheckpointMetadata:
        """Return the metadata of a checkpoint.

        Raises:
            DamagedCheckpointError: if it cannot be read.
            CheckpointError: if it is of another run than ``identity``.
        """
        path = self.folder / str(step)
        try:
            found = texts.from_text((path / METADATA / "metadata").read_bytes())
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedCheckpointError(path, first_line(error)) from error
        require_same_run(found.identity, identity, f"the checkpoint {path}")
        return found

    def require_same_run(self, identity: RunIdentity) -> None:
        """Check that every checkpoint that can be read is of a run.

        Raises:
            CheckpointError: naming the first that is of another run.
        """
        for step in self.steps():
            with contextlib.suppress(DamagedCheckpointError):  # an earlier one may be intact
                self.metadata(step, identity)

    def restore(self, like: dict[str, Tree], identity: RunIdentity, step: int) -> tuple[dict[str, Tree], Position]:
        """Read trees of a checkpoint, and verify every leaf.

        Args:
            like: the trees to read, with the structures, shapes and dtypes that were saved.
            identity: the identity of the run that it must belong to.
            step: one of ``steps()``.

        Returns:
            The trees by name, and the position.

        Raises:
            DamagedCheckpointError: if it is not as it was written.
            CheckpointError: if it is of another run or model.
        """
        metadata = self.metadata(step, identity)
        trees = {}
        for name, tree in like.items():
            abstract = named_leaves(jax.tree.map(_to_read, tree))
            arrays = self._restore_arrays(step, name, abstract, written=metadata.digests.get(name, {}))
            trees[name] = jax.tree.unflatten(jax.tree.structure(tree), arrays.values())
        return trees, metadata.position

    def _restore_arrays(
        self, step: int, name: str, abstract: dict[str, Any], *, written: dict[str, str]
    ) -> dict[str, Array]:
        """Read the arrays of one tree, described by ``abstract``, and compare their digests with ``written``."""
        import orbax.checkpoint as ocp

        path = self.folder / str(step)
        if set(written) != set(abstract):
            raise CheckpointError(
                f"the checkpoint {path} is of another model or optimiser: check config.json of the run"
            )
        cause: Exception | None = None
        try:
            with quiet_orbax():
                arrays = _manager(self.folder, read_only=True, create=False, save_interval_steps=0).restore(
                    step, args=ocp.args.Composite(**{name: ocp.args.StandardRestore(abstract)})
                )[name]
        except Exception as error:
            arrays, cause = {}, error
        if any_process(cause is not None):  # otherwise the others would wait for this process to compute the digests
            reason = "another process cannot read it" if cause is None else first_line(cause)
            raise DamagedCheckpointError(path, reason) from cause
        for leaf, found in digests(arrays).items():
            if written[leaf] != found:
                raise DamagedCheckpointError(path, f"wrong digest of {leaf}")
        return {leaf: arrays[leaf] for leaf in abstract}


def _manager(folder: Path, **options: Any) -> Any:
    import orbax.checkpoint as ocp  # takes a second to import, and most commands need no checkpoint

    with quiet_orbax():
        return ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(**options))


def _to_read(leaf: Any) -> jax.ShapeDtypeStruct:
    """Return the description of an array to read, with the leaf's sharding, or else on the first local device."""
    sharding = getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
