"""What ``rnnlm-jax jacobians`` wrote of one run, read back: arrays and facts."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.errors import UserError


class Measurement(NamedTuple):
    """One folder of results. Logarithms are natural; an array that was not measured is not there."""

    folder: Path
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """What to call the run in a figure."""
        return str(self.facts.get("name", self.folder.name))

    def horizons(self, part: str) -> dict[str, int | None]:
        """The lag of each threshold, ``{"1/e": 7, "1%": None}``; None is beyond the largest lag."""
        return self.facts.get("horizons", {}).get(part) or {}

    def context_horizons(self) -> dict[str, int | None]:
        """The context from which on the perplexity is within 1 %, 5 % of the full one's."""
        return self.facts.get("context_horizon") or {}


def read_measurement(folder: Path) -> Measurement:
    """Read ``jacobians.npz`` and ``jacobians.json``.

    Raises:
        UserError: if one of them is not there.
    """
    try:
        with np.load(folder / "jacobians.npz") as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads((folder / "jacobians.json").read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no {error.filename}: measure the run first, rnnlm-jax jacobians") from error
    return Measurement(folder, arrays, facts)
