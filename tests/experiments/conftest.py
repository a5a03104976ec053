"""Fixtures of the tests of experiments."""

import pytest

from tests.training.tiny import no_learning_curves


@pytest.fixture(scope="package", autouse=True)
def _no_learning_curves():
    with no_learning_curves():
        yield
