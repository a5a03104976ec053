"""Fixtures of the tests of training."""

import pytest

from tests.training.tiny import no_learning_curves, text


@pytest.fixture(scope="package", autouse=True)
def _no_learning_curves():
    with no_learning_curves():
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A file with about forty lines of text."""
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(text())
    return path
