"""An item of an Orbax checkpoint: a text that is made while the checkpoint is being written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import future

#: Where the text lies below the item's folder; the name that Orbax gives its own JSON.
FILE = "metadata"


class LateTextHandler(ocp.AsyncCheckpointHandler):
    """Makes and writes the text on a thread of Orbax's, before it commits the checkpoint."""

    async def async_save(self, directory: Any, args: "LateText") -> list[future.Future]:
        """Have the text made and written in the background."""

        async def write() -> None:
            self.save(directory, args)

        return [future.CommitFutureAwaitingContractedSignals(write(), name="text")]

    def save(self, directory: Any, args: "LateText") -> None:
        """Make and write the text, in one of all processes."""
        text = args.make()
        if jax.process_index() == 0:
            (Path(directory) / FILE).write_text(text)

    def restore(self, directory: Any, args: Any = None) -> str:
        """Read the text."""
        return (Path(directory) / FILE).read_text()


@ocp.args.register_with_handler(LateTextHandler, for_save=True, for_restore=True)
@dataclass
class LateText(ocp.args.CheckpointArgs):
    """The text that ``make`` will return."""

    make: Callable[[], str]
