"""Checkpoints of a training run: written whole or not at all, and never read back wrong.

Orbax writes and reads the arrays. Beside them go a digest of each, because Orbax does not notice a flipped bit, and
what the run needs besides arrays.
"""

import dataclasses
import hashlib
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.errors import UserError
from rnnlm_jax.sharding.gather import host_value


@dataclass(frozen=True)
class Position:
    """Where a run stands: the next batch to train on, and the sums of the running epoch."""

    step: int
    epoch: int
    batch: int
    epoch_nats: float
    epoch_tokens: int
    best_valid_nats: float | None
    """Per token, of the best epoch so far."""
    seconds: float
    """Spent training so far."""
    text: str
    """Digest of the training tokens: a position means something in the same text only."""


class CheckpointFolder:
    """The checkpoints of one kind (last, or best) of a run: at most ``keep``, the newest."""

    def __init__(self, folder: Path, keep: int = 1, read_only: bool = False):
        """Open a folder, which need not exist yet; ``read_only`` leaves alone what a training run may be writing."""
        import orbax.checkpoint as ocp  # takes a second, and most commands need no checkpoint

        # Orbax logs a traceback of whatever it raises; what it raises is told here, in one line.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        _ignore_late_callbacks()
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else keep,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            save_interval_steps=0 if read_only else 1,
            read_only=read_only,
        )
        self._ocp = ocp
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def steps(self) -> list[int]:
        """The steps there are checkpoints of, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, items: dict[str, Tree], position: Position, vocabulary_hash: str) -> None:
        """Write a checkpoint of several trees; one of the same step is left as it is.

        Raises:
            UserError: if it cannot be written (a full disk); the earlier checkpoints stand.
        """
        if position.step in self._manager.all_steps():
            return
        leaves = {name: _named_leaves(tree) for name, tree in items.items()}
        about = {
            "position": dataclasses.asdict(position),
            "vocabulary": vocabulary_hash,
            "digests": {name: _digests(arrays) for name, arrays in leaves.items()},
        }
        arguments = {name: self._ocp.args.StandardSave(arrays) for name, arrays in leaves.items()}
        try:
            self._manager.save(
                position.step, args=self._ocp.args.Composite(about=self._ocp.args.JsonSave(about), **arguments)
            )
        except Exception as error:
            # What its other writes came to is no news: it would be logged as they are collected.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            raise UserError(
                f"cannot save the checkpoint of step {position.step} in {self.folder} ({_first_line(error)}): "
                "make room or choose another --run; the earlier checkpoint stands"
            ) from error

    def restore(
        self, like: dict[str, Tree], vocabulary_hash: str, step: int | None = None
    ) -> tuple[dict[str, Tree], Position]:
        """Trees of a checkpoint, every leaf verified.

        Args:
            like: the trees to read, each of the same structure, shapes and dtypes as was saved; a leaf comes to lie
                where this one does, on the first device if it says nothing of that.
            vocabulary_hash: of the vocabulary that the run is used with.
            step: which of ``steps()``; the newest unless given.

        Raises:
            UserError: if there is none, it is damaged, or it was trained with another vocabulary or model.
        """
        if not self.steps():
            raise UserError(f"{self.folder} holds no checkpoint: train first, or check the path")
        step = self.steps()[-1] if step is None else step
        where = self.folder / str(step)
        try:
            about = json.loads((where / "about" / "metadata").read_text())
            position = Position(**about["position"])
            digests = {name: dict(about["digests"][name]) for name in like}
            saved_vocabulary = str(about["vocabulary"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"the checkpoint {where} is damaged ({_first_line(error)}): {_ADVICE}") from error
        if saved_vocabulary != vocabulary_hash:
            raise UserError(
                f"the checkpoint {where} was trained with another vocabulary ({saved_vocabulary[:12]}… there, "
                f"{vocabulary_hash[:12]}… here): use the vocabulary file it was trained with"
            )
        trees = {}
        for name, tree in like.items():
            abstract = _named_leaves(jax.tree.map(_abstract, tree))
            trees[name] = jax.tree.unflatten(
                jax.tree.structure(tree), self._restore_arrays(where, step, name, abstract, digests[name]).values()
            )
        return trees, position

    def _restore_arrays(
        self, where: Path, step: int, name: str, abstract: dict[str, Any], digests: dict[str, str]
    ) -> dict[str, Array]:
        if set(digests) != set(abstract):
            raise UserError(f"the checkpoint {where} is of another model or optimiser: check config.json of the run")
        try:
            arguments = self._ocp.args.Composite(**{name: self._ocp.args.StandardRestore(abstract)})
            arrays = self._manager.restore(step, args=arguments)[name]
        except Exception as error:
            raise UserError(f"the checkpoint {where} is damaged ({_first_line(error)}): {_ADVICE}") from error
        for leaf, found in _digests(arrays).items():
            if digests[leaf] != found:
                raise UserError(f"the checkpoint {where} is damaged (wrong digest of {leaf}): {_ADVICE}")
        return {leaf: arrays[leaf] for leaf in abstract}


_ADVICE = "restore the folder from a copy, or delete it and train again"


def _ignore_late_callbacks() -> None:
    """Drop one error that nobody can catch: a write that reports to an event loop that Orbax has closed.

    When one write of a checkpoint fails, Orbax closes its loop while the others are still under way, and each of them
    would print a traceback from a thread of its own.
    """
    previous = sys.unraisablehook
    if getattr(previous, "drops_late_callbacks", False):
        return

    def hook(unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == "Event loop is closed":
            return
        previous(unraisable)

    hook.drops_late_callbacks = True  # pyright: ignore[reportFunctionMemberAccess]
    sys.unraisablehook = hook


def _named_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a tree by their paths: what is stored does not depend on the classes that hold it."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    """What Orbax is told of a leaf; left to itself it looks for the devices of the run that saved it."""
    sharding = getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _digests(arrays: dict[str, Any]) -> dict[str, str]:
    return {name: digest(value) for name, value in arrays.items()}


def digest(array: Any) -> str:
    """SHA-256 of the bytes of an array, its dtype and shape included; of the whole, however it is divided."""
    values = np.ascontiguousarray(host_value(array))
    header = f"{values.dtype.str}{np.shape(array)}".encode()
    return hashlib.sha256(header + values.tobytes()).hexdigest()


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__
