"""What the tests of training share."""

import pytest

from tests.training.tiny import text


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A text of some forty lines."""
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(text())
    return path
