"""Figures to files: PNG, PDF or SVG, whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING

from rnnlm_jax.system.atomic_write import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: "Figure", path: Path) -> None:
    """Write a figure whole or not at all."""
    from matplotlib import rc_context

    with atomic_write(path) as temporary, rc_context({"pdf.fonttype": 42}):  # publishers refuse the default, Type 3
        figure.savefig(temporary, dpi=150, format=path.suffix[1:])
