"""Figures are written atomically, and matplotlib is imported only to draw."""

import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from rnnlm_jax.plotting import save


def make_figure():
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    return figure


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG\r\n\x1a\n"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_suffix_decides_the_format(tmp_path, suffix, begins):
    path = tmp_path / f"figure.{suffix}"
    save(make_figure(), path)
    assert path.read_bytes().startswith(begins)
    assert list(tmp_path.iterdir()) == [path]


def test_pdf_fonts_are_not_type_3(tmp_path):
    save(make_figure(), tmp_path / "figure.pdf")
    assert b"/Subtype /Type3" not in (tmp_path / "figure.pdf").read_bytes()


def test_a_failed_save_leaves_the_old_figure(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def fail(figure, file, **options):
        file.write_bytes(b"half")
        raise OSError("no room")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no room"):
        save(Figure(), path)
    assert path.read_bytes() == b"old"


def test_importing_the_package_does_not_import_matplotlib():
    code = "import sys, rnnlm_jax.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
