"""Figures to files: PNG, PDF or SVG, whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: "Figure", path: Path) -> None:
    """Write a figure whole or not at all."""
    from matplotlib import rc_context

    temporary = path.with_name(f".{path.stem}.new{path.suffix}")
    with rc_context({"pdf.fonttype": 42}):  # TrueType: publishers refuse the Type 3 that is the default
        figure.savefig(temporary, dpi=150)
    temporary.replace(path)
