"""Each section of ``docs/any-network.md`` runs by itself, and is short."""

import doctest
import re
from pathlib import Path

import jax
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "any-network.md"
#: Heading -> the module that it needs beside jax; flax is always installed.
NEEDS = {
    "From plain JAX": "jax",
    "From Flax nnx": "flax",
    "From Flax linen": "flax",
    "From Equinox": "equinox",
    "From PyTorch": "torch",
    "Systems without inputs": "jax",
}
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))

#: Lines from one's own network to a certified spectrum.
MOST_LINES = 10


def session(heading):
    return doctest.DocTestParser().get_doctest(SECTIONS[heading], {}, heading, str(PAGE), 0)


def test_every_session_is_run_and_every_way_is_short():
    assert {heading for heading, text in SECTIONS.items() if "\n>>> " in text} == NEEDS.keys()
    for heading in NEEDS:
        if heading.startswith("From"):
            assert sum(example.source.count("\n") for example in session(heading).examples) <= MOST_LINES


@pytest.mark.parametrize(
    "heading",
    [pytest.param(name, marks=[pytest.mark.peers] * (NEEDS[name] in ("equinox", "torch"))) for name in NEEDS],
)
def test_a_section_runs(heading):
    pytest.importorskip(NEEDS[heading])
    with jax.enable_x64(False), jax.numpy_rank_promotion("raise"):
        outcome = doctest.DocTestRunner().run(session(heading))
    assert outcome.attempted >= 7
    assert outcome.failed == 0
