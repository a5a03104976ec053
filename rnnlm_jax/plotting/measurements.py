"""Read the results of ``rnnlm-jax jacobians`` for one run."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.errors import DataError


class Measurement(NamedTuple):
    """Arrays and facts of one folder of results. Logarithms are natural; arrays that were not measured are missing."""

    folder: Path
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the run in figures."""
        return str(self.facts.get("name", self.folder.name))

    def horizons(self, part: str) -> dict[str, int | None]:
        """Return the lag of each threshold, ``{"1/e": 7, "1%": None}``; None means beyond the largest lag."""
        return self.facts.get("horizons", {}).get(part) or {}

    def context_horizons(self) -> dict[str, int | None]:
        """Return the context from which on perplexity is within 1 % and 5 % of the full context's."""
        return self.facts.get("context_horizon") or {}


def read_measurement(folder: Path) -> Measurement:
    """Read ``jacobians.npz`` and ``jacobians.json``.

    Raises:
        DataError: if one of them is missing.
    """
    try:
        with np.load(folder / "jacobians.npz") as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads((folder / "jacobians.json").read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"there is no {error.filename}: measure the run first, rnnlm-jax jacobians") from error
    return Measurement(folder, arrays, facts)
