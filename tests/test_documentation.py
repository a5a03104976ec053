"""What the documents say is so: their code runs, their tables are complete, their links lead somewhere."""

import dataclasses
import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from rnnlm_jax import cells, jacobians
from rnnlm_jax.cells import Cell, CellSpec
from rnnlm_jax.cli.main import main
from rnnlm_jax.data import Batch
from rnnlm_jax.outputs import OutputLayer
from rnnlm_jax.presets import PRESETS
from tests.training.tiny import text

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("*/*/README.md")),
]


def test_the_readme_runs():
    with jax.enable_x64(False):
        outcome = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert outcome.attempted > 10
    assert outcome.failed == 0


def test_inside_jax_programs():
    """On four devices, which a process must ask for before it starts."""
    page = str(ROOT / "docs" / "inside-jax-programs.md")
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-m", "doctest", page], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def names_in_table(head):
    """What stands in backquotes in the first column of the README's table with that head."""
    table = (ROOT / "README.md").read_text().split(head)[1].split("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_the_readme_lists_the_whole_zoo():
    assert names_in_table("| name in the zoo | cell | from |\n") <= set(cells.names())


def test_the_readme_names_functions_that_exist():
    assert names_in_table("| function | what it is |\n") <= set(jacobians.__all__)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_presets_exist(document):
    text = document.read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (document.parent / link).exists(), link
    for name in re.findall(r"rnnlm-jax train ([a-z0-9-]+/[a-z0-9-]+)", text):
        assert name in PRESETS


def test_the_page_on_cells_of_ones_own_runs(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "your-own-cell.md").read_text()
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(text())
    sources = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL))
    for name, source in sources.items():
        Path(name).write_text(source)
    small = ["--batch-size=2", "--bptt=10", "--init-scale=0.3"]
    with jax.enable_x64(False):
        exec(compile(sources["jacobians.py"], "jacobians.py", "exec"), {})
        for command in re.findall(r"^rnnlm-jax (.*)$", page, re.MULTILINE):
            words = command.split()
            assert main([*words, *(small if words[0] == "train" else [])]) == 0, command
        spectra = "jacobians runs/mine --data text.txt --positions 4 --sequences 0 --lags 1,2 --out runs/spectra"
        assert main(spectra.split()) == 0
    capsys.readouterr()
    for cell in (Cell, CellSpec, OutputLayer, Batch):
        fields = getattr(cell, "_fields", None) or [field.name for field in dataclasses.fields(cell)]
        section = page.split(f"## `{cell.__name__}`")[1].split("\n## ")[0]
        assert not [name for name in fields if not re.search(rf"`{name}\b", section)]
    # what a run recorded
    Path("mine.py").write_text(sources["mine.py"] + "\n# changed\n")
    assert main(["eval", "runs/mine", "--data", "text.txt"]) == 2
    assert "mine.py was changed since the run was begun" in capsys.readouterr().err
    Path("mine.py").unlink()
    assert main(["eval", "runs/mine", "--data", "text.txt"]) == 2
    assert "cannot find the source file" in capsys.readouterr().err
