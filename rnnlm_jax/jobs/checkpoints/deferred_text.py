"""An item of an Orbax checkpoint: text that is computed while the checkpoint is being written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import future

#: Name of the text's file in the item's folder; Orbax uses it for its own JSON.
FILE = "metadata"


class DeferredTextHandler(ocp.AsyncCheckpointHandler):
    """Computes and writes the text in a thread of Orbax, before the checkpoint is committed."""

    @classmethod
    def typestr(cls) -> str:
        """Return the name of the item's type in Orbax's own metadata; it must not change with this class's name."""
        return "rnnlm_jax.checkpoints.late_text.LateTextHandler"

    async def async_save(self, directory: Any, args: "DeferredText") -> list[future.Future]:
        """Start to compute and write the text in the background."""

        async def write() -> None:
            self.save(directory, args)

        return [future.CommitFutureAwaitingContractedSignals(write(), name="text")]

    def save(self, directory: Any, args: "DeferredText") -> None:
        """Compute the text in every process, and write it in the first."""
        text = args.make()
        if jax.process_index() == 0:
            (Path(directory) / FILE).write_text(text)

    def restore(self, directory: Any, args: Any = None) -> str:
        """Read the text."""
        return (Path(directory) / FILE).read_text()


@ocp.args.register_with_handler(DeferredTextHandler, for_save=True, for_restore=True)
@dataclass
class DeferredText(ocp.args.CheckpointArgs):
    """The text that ``make()`` returns."""

    make: Callable[[], str]
