"""Each section of ``docs/coming-from.md`` runs by itself."""

import doctest
import os
import re
from pathlib import Path

import jax
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when keras is imported
PAGE = Path(__file__).parent.parent / "docs" / "coming-from.md"
#: Heading -> the module that it needs; flax is always installed.
NEEDS = {
    "Flax linen": "flax",
    "Flax nnx": "flax",
    "PyTorch": "torch",
    "Haiku": "haiku",
    "Equinox": "equinox",
    "Keras": "keras",
}
SECTIONS = dict(re.findall(r"^## From (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))


def test_every_section_is_run():
    assert SECTIONS.keys() == NEEDS.keys()


@pytest.mark.parametrize(
    "heading", [pytest.param(name, marks=[pytest.mark.peers] * (module != "flax")) for name, module in NEEDS.items()]
)
def test_a_section_runs(heading):
    pytest.importorskip(NEEDS[heading])
    lines = doctest.DocTestParser().get_doctest(SECTIONS[heading], {}, heading, str(PAGE), 0)
    rank = "allow" if heading == "Keras" else "raise"  # its orthogonal initialiser promotes
    with jax.enable_x64(False), jax.numpy_rank_promotion(rank):
        outcome = doctest.DocTestRunner().run(lines)
    assert outcome.attempted >= 10
    assert outcome.failed == 0
