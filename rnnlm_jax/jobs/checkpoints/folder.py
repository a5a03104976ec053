"""A folder of checkpoints of one kind: begun without waiting, committed whole, verified when read.

Orbax writes and reads the arrays. Beside them go a digest of each, because Orbax does not notice a flipped bit, and
what the run needs besides arrays.
"""

import contextlib
import functools
import shutil
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.checkpoints import about as texts
from rnnlm_jax.jobs.checkpoints.about import About, Position
from rnnlm_jax.jobs.checkpoints.digests import digests, is_spread, named_leaves, on_host
from rnnlm_jax.jobs.checkpoints.orbax_logging import first_line, hush_orbax, hush_other_parts
from rnnlm_jax.jobs.distributed import any_process
from rnnlm_jax.jobs.run_identity import RunIdentity, require_own


class Damaged(UserError):
    """A checkpoint that is not as it was written; an earlier one may be."""

    def __init__(self, where: Path, reason: str):
        """Say which checkpoint, and what was found."""
        self.what = f"the checkpoint {where} is damaged ({reason})"
        super().__init__(f"{self.what}: restore the folder from a copy, or delete it and train again")


class CheckpointFolder:
    """The checkpoints of one kind (last, or best) of a run: at most ``keep``, the newest."""

    def __init__(self, folder: Path, keep: int = 1):
        """Open a folder, which need not exist yet and is not touched before something is saved in it."""
        self.folder, self.keep = folder.absolute(), keep
        self._saving: int | None = None

    @functools.cached_property
    def _writer(self) -> Any:
        """Makes the folder, clears away what a killed process has not finished, and keeps the newest."""
        return _manager(self.folder, max_to_keep=self.keep, cleanup_tmp_directories=True)

    def steps(self) -> list[int]:
        """The steps there are committed checkpoints of, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit() and path.is_dir())

    def prepare(self) -> None:
        """Make the folder ready to be written: clear away what a killed process has not finished."""
        _ = self._writer

    def save(self, items: dict[str, Tree], position: Position, identity: RunIdentity, background: bool = False) -> None:
        """Write a checkpoint of several trees; one of the same step is left as it is.

        It counts once its arrays and their digests are both on disk; a process that dies before leaves the earlier
        checkpoints. With ``background`` the call returns when what is saved has been copied, so that training may go
        on and overwrite it; ``wait``, or the next save, tells what came of it.

        Raises:
            UserError: if it, or the one before it, cannot be written (a full disk); the earlier checkpoints stand.
        """
        import orbax.checkpoint as ocp

        from rnnlm_jax.jobs.checkpoints.late_text import LateText

        self.wait()
        if position.step in self.steps():
            return
        leaves = {name: on_host(named_leaves(tree)) for name, tree in items.items()}

        # Gathering takes all processes, so it cannot wait for a thread; everything else can.
        known = {name: digests({k: v for k, v in of.items() if is_spread(v)}) for name, of in leaves.items()}

        def about() -> str:
            found = {
                name: known[name] | digests({k: v for k, v in of.items() if not is_spread(v)})
                for name, of in leaves.items()
            }
            return texts.to_text(About(position, identity, found))

        arguments = {name: ocp.args.StandardSave(arrays) for name, arrays in leaves.items()}
        self._saving = position.step
        try:
            self._writer.save(position.step, args=ocp.args.Composite(about=LateText(about), **arguments))
        except Exception as error:
            raise self._failed(error) from error
        if not background:
            self.wait()

    def wait(self) -> None:
        """Wait until the checkpoint being written is committed.

        Raises:
            UserError: if it could not be written.
        """
        if self._saving is None:
            return
        try:
            self._writer.wait_until_finished()
        except Exception as error:
            raise self._failed(error) from error
        self._saving = None

    def _failed(self, error: Exception) -> UserError:
        hush_other_parts()
        step, self._saving = self._saving, None
        return UserError(
            f"cannot save the checkpoint of step {step} in {self.folder} ({first_line(error)}): "
            "make room or choose another --run; the earlier checkpoint stands"
        )

    def discard(self, *steps: int) -> None:
        """Remove checkpoints, whole or not, so that they can be written again."""
        if not steps:
            return
        if jax.process_index() == 0:
            for step in set(steps) & set(self.steps()):
                shutil.rmtree(self.folder / str(step))
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"discarded from {self.folder}")
        self.__dict__.pop("_writer", None)  # it would believe them to be there still

    def about(self, step: int, identity: RunIdentity) -> About:
        """What a checkpoint holds besides arrays.

        Raises:
            Damaged: if it cannot be read.
            UserError: if it is of another run than ``identity``.
        """
        where = self.folder / str(step)
        try:
            found = texts.from_text((where / "about" / "metadata").read_bytes())
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Damaged(where, first_line(error)) from error
        require_own(found.identity, identity, f"the checkpoint {where}")
        return found

    def require_own(self, identity: RunIdentity) -> None:
        """Check that every checkpoint that can be read is of a run.

        Raises:
            UserError: naming the first that is of another.
        """
        for step in self.steps():
            with contextlib.suppress(Damaged):  # an earlier one may be whole
                self.about(step, identity)

    def restore(self, like: dict[str, Tree], identity: RunIdentity, step: int) -> tuple[dict[str, Tree], Position]:
        """Trees of a checkpoint, every leaf verified.

        Args:
            like: the trees to read, each of the same structure, shapes and dtypes as was saved.
            identity: of the run that it must belong to.
            step: which of ``steps()``.

        Raises:
            Damaged: if it is not as it was written.
            UserError: if it is of another run or model.
        """
        about = self.about(step, identity)
        trees = {}
        for name, tree in like.items():
            abstract = named_leaves(jax.tree.map(_to_read, tree))
            arrays = self._restore_arrays(step, name, abstract, about.digests.get(name, {}))
            trees[name] = jax.tree.unflatten(jax.tree.structure(tree), arrays.values())
        return trees, about.position

    def _restore_arrays(
        self, step: int, name: str, abstract: dict[str, Any], written: dict[str, str]
    ) -> dict[str, Array]:
        import orbax.checkpoint as ocp

        where = self.folder / str(step)
        if set(written) != set(abstract):
            raise UserError(f"the checkpoint {where} is of another model or optimiser: check config.json of the run")
        cause: Exception | None = None
        try:
            arrays = _manager(self.folder, read_only=True, create=False, save_interval_steps=0).restore(
                step, args=ocp.args.Composite(**{name: ocp.args.StandardRestore(abstract)})
            )[name]
        except Exception as error:
            hush_other_parts()
            arrays, cause = {}, error
        if any_process(cause is not None):  # or else the others would wait for this one, in the digests
            raise Damaged(where, "another process cannot read it" if cause is None else first_line(cause)) from cause
        for leaf, found in digests(arrays).items():
            if written[leaf] != found:
                raise Damaged(where, f"wrong digest of {leaf}")
        return {leaf: arrays[leaf] for leaf in abstract}


def _manager(folder: Path, **options: Any) -> Any:
    import orbax.checkpoint as ocp  # takes a second, and most commands need no checkpoint

    hush_orbax()
    return ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(**options))


def _to_read(leaf: Any) -> jax.ShapeDtypeStruct:
    """What to read: an array of a shape and dtype, placed as the leaf is, or else on the first device."""
    placed = getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placed)
