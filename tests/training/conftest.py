"""What the tests of training share."""

import pytest

from tests.training.tiny import compilation_cache, text


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory):
    with compilation_cache(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A text of some forty lines."""
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(text())
    return path
