"""The documents are true: their code runs, their tables name what exists, their links lead somewhere."""

import dataclasses
import doctest
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from rnnlm_jax import cells, jacobians, tasks
from rnnlm_jax.cells import Cell, CellSpec
from rnnlm_jax.cells.cell_registry import CELLS
from rnnlm_jax.cli.main import main
from rnnlm_jax.data import Batch
from rnnlm_jax.outputs import OutputLayer
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.presets import PRESETS
from rnnlm_jax.training.learning_rates import KINDS, schedule_options
from rnnlm_jax.training.optimizers import RULES
from tests.training.tiny import text

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("*/*/README.md")),
]
#: Documents whose sessions run in this process, and how many examples each has at least.
SESSIONS = {
    "README.md": 10,
    "docs/course.md": 90,
    "docs/start.md": 4,
    "docs/unroll.md": 8,
    "docs/jacobians.md": 14,
    "docs/mean-field.md": 9,
    "docs/ngrams.md": 9,
    "docs/sequence-models.md": 20,
    "docs/tasks.md": 6,
}
#: Documents with a session that another test runs: on several devices, beside other libraries, or section by section.
SESSIONS_ELSEWHERE = {
    "docs/inside-jax-programs.md",
    "docs/training-loop.md",
    "docs/coming-from.md",
    "docs/any-network.md",
}


@pytest.mark.parametrize("name", SESSIONS)
def test_sessions_run(name):
    with jax.enable_x64(False):
        outcome = doctest.testfile(str(ROOT / name), module_relative=False)
    assert outcome.attempted >= SESSIONS[name]
    assert outcome.failed == 0


def test_every_session_is_run():
    written = {str(path.relative_to(ROOT)) for path in DOCUMENTS if "\n>>> " in path.read_text()}
    assert written == SESSIONS.keys() | SESSIONS_ELSEWHERE


@pytest.mark.parametrize("name", ["inside-jax-programs.md", "training-loop.md"])
def test_sessions_on_several_devices_run(name):
    """In a process of its own, because the number of devices is fixed when jax starts."""
    page = str(ROOT / "docs" / name)
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-m", "doctest", page], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def names_in_table(document, head):
    """The names in backquotes in the first column of the table with that head."""
    table = (ROOT / document).read_text().split(head)[1].split("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def test_the_tables_name_what_exists():
    assert names_in_table("docs/output-layers.md", "| name | training loss | from |\n") == set(OUTPUTS)
    assert names_in_table("docs/jacobians.md", "| function | what it is |\n") <= set(jacobians.__all__)


def test_the_page_on_optimisers_names_what_exists():
    head = "| name | learning rate of update n | options |\n"
    assert names_in_table("docs/optimizers.md", head) == set(KINDS)
    page = (ROOT / "docs" / "optimizers.md").read_text()
    for row in page.split(head)[1].split("\n\n")[0].splitlines()[1:]:
        name, *_, options = [cell.strip() for cell in row.strip("|").split("|")]
        assert re.findall(r"`?(\w+)(?:=[^,` ]+)?`(?: \(needed\))?", options) == list(schedule_options(name.strip("`")))
    named = re.search(
        r"`--optimizer` is the name of a function of optax: (.*?)\sand two\sdozen others", page, re.DOTALL
    )
    assert named is not None
    rules = re.findall(r"`(\w+)`", named[1])
    assert set(rules) <= set(RULES)
    assert 20 <= len(RULES) - len(rules) <= 28


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= 8192


def test_the_page_on_cells_has_every_cell_with_its_facts_and_options():
    page = (ROOT / "docs" / "cells.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\|[^|]*\| ([^|]+), ([^|]+) \| ([^|]*)\|$", page, re.M)
    wanted = []
    for name in cells.names():
        cell = cells.make(name, 4)
        kind = {"separable": "splits", "whole-step": "whole step"}.get(cell.recurrence.value, cell.recurrence.value)
        options = ", ".join(f"`{option}`" for option in CELLS.options(name))
        wanted.append((name, kind, cell.facts.jacobian.value, options))
    assert sorted((*row[:3], row[3].strip()) for row in rows) == sorted(wanted)
    readme = (ROOT / "README.md").read_text()
    assert not [name for name in cells.names() if f"`{name}`" not in readme]


def test_the_page_on_tasks_has_every_task_with_its_figures_and_options():
    page = (ROOT / "docs" / "tasks.md").read_text()
    pattern = r"^\| `([^`]+)` \|[^|]*\|[^|]*" + r"\| ([^|]*) " * 6 + r"\|$"
    rows = {name: cells for name, *cells in re.findall(pattern, page, re.M)}
    assert list(rows) == list(tasks.names())
    for name, (sizes, length, chance, solved, source, options) in rows.items():
        if name == "mnist1d" and importlib.util.find_spec("mnist1d") is None:
            continue
        task = tasks.make(name)
        assert sizes == f"{task.input_size} → {task.output_size}"
        assert length == str(task.default_length)
        assert chance == f"{100 * task.chance_accuracy:.1f} %, {task.chance_loss(task.default_length):.3f}", name
        of_sequences = " of sequences" if task.judged is tasks.Judged.SEQUENCES else ""
        assert solved == f"{100 * task.solved_accuracy:.1f} %{of_sequences}", name
        assert source == task.source
        assert re.findall(r"`(\w+)`", options) == list(inspect.signature(tasks.TASKS[name]).parameters)
    documented = names_in_table("docs/tasks.md", "| field | what it is |\n")
    documented = {re.split(r"\W", name)[0] for name in documented}
    fields = {field.name for field in dataclasses.fields(tasks.Task)}
    assert fields - documented == {"name", "source", "input_size", "output_size"}
    assert all(hasattr(tasks.parity(), name) for name in documented)


def test_the_index_lists_every_page():
    linked = set(re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / "README.md").read_text()))
    assert {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"} <= linked
    decisions = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in decisions.glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d[^)]+)\)", (decisions / "README.md").read_text())
    assert sorted(listed) == records
    assert [name[:3] for name in records] == [f"{number:03d}" for number in range(1, len(records) + 1)]


def anchors(document):
    """The anchors of a document's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_presets_exist(document):
    text = document.read_text()
    for link, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        target = document.parent / link if link else document
        assert link.startswith("http") or target.exists(), link
        assert not anchor or link.startswith("http") or anchor in anchors(target), f"{link}#{anchor}"
    for name in re.findall(r"rnnlm-jax train ([a-z0-9-]+/[a-z0-9-]+)", text):
        assert name in PRESETS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_backquotes_exist(document):
    """Files and folders of the repository, also where the package's name is left out; the changelog is of its time."""
    if document.name == "CHANGELOG.md":
        return
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    for path in re.findall(r"`((?:rnnlm_jax|tests|benchmarks|experiments|docs)/[\w./-]+|[\w/]+/\w+\.py)`", text):
        assert (ROOT / path).exists() or (ROOT / "rnnlm_jax" / path).exists(), path


def test_the_page_on_your_own_cell_runs(tmp_path, monkeypatch, capsys):
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
    # a run refuses a source that was changed or removed
    Path("mine.py").write_text(sources["mine.py"] + "\n# changed\n")
    assert main(["eval", "runs/mine", "--data", "text.txt"]) == 2
    assert "mine.py was changed since the run was begun" in capsys.readouterr().err
    Path("mine.py").unlink()
    assert main(["eval", "runs/mine", "--data", "text.txt"]) == 2
    assert "cannot find the source file" in capsys.readouterr().err
