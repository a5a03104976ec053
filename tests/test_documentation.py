"""What the documents say is so: their code runs, their tables are complete, their links lead somewhere."""

import doctest
import re
from pathlib import Path

import jax
import pytest

from rnnlm_jax.cells import zoo
from rnnlm_jax.presets import PRESETS

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


def test_the_readme_lists_the_whole_zoo():
    rows = [line.split("|")[1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert listed == set(zoo.CELLS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_presets_exist(document):
    text = document.read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (document.parent / link).exists(), link
    for name in re.findall(r"rnnlm-jax train ([a-z]+/[a-z]+)", text):
        assert name in PRESETS
