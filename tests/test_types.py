"""What a type checker sees of the package: the program of ``docs/inside-jax-programs.md``, and mistakes in it."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "inside-jax-programs.md"

#: Each is an error of its own: another cell's parameters, a field that a state lacks, and an argument that is missing.
MISTAKES = """
unroll(cell, cells.gru(8).init(jax.random.key(0), 3), cell.initial_state((2,)), xs)
state.gate
cell.init(jax.random.key(0))
"""


@pytest.fixture(scope="module")
def program():
    return re.search(r"```python\n(# typed.py\n.*?)```", PAGE.read_text(), re.DOTALL)[1]


def test_a_users_program(program, tmp_path):
    """Outside the project's folder, as a user's is: without an import that is not found, and no type unknown to it."""
    pytest.importorskip("pyright", exc_type=ImportError)
    right, wrong = tmp_path / "typed.py", tmp_path / "mistakes.py"
    right.write_text(program)
    wrong.write_text(program + MISTAKES)
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    found = json.loads(done.stdout)["generalDiagnostics"]
    places = [(Path(entry["file"]).name, entry["range"]["start"]["line"], entry["rule"]) for entry in found]
    first = program.count("\n") + 1
    assert places == [
        ("mistakes.py", first, "reportArgumentType"),
        ("mistakes.py", first + 1, "reportAttributeAccessIssue"),
        ("mistakes.py", first + 2, "reportCallIssue"),
    ], found


def test_it_runs(program, tmp_path):
    (tmp_path / "typed.py").write_text(program)
    with jax.enable_x64(False):
        names = runpy.run_path(str(tmp_path / "typed.py"))
    assert names["last"].shape == (2, 8)
    assert names["one"].shape == (1, 16)
