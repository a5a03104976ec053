"""What the tests of jobs share: programs compiled once."""

import pytest

from tests.training.tiny import compilation_cache


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory):
    with compilation_cache(tmp_path_factory.mktemp("compiled")):
        yield
