"""Names of TPU slices, and errors for other names."""

import importlib.util

import pytest

from rnnlm_jax.errors import ConfigError, DeviceError
from rnnlm_jax.jobs.ahead_of_time.topology import open_topology, parse_topology


def test_names_are_parsed():
    assert parse_topology("v5e:4x4") == ("v5e", (4, 4))
    assert str(parse_topology(" V5P:2X2x1 ")) == "v5p:2x2x1"
    assert str(parse_topology("tpu7X:4x4x4")) == "TPU7x:4x4x4"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5e", "as in v5e:4x4"),
        ("", "as in v5e:4x4"),
        ("v9:4x4", "one of v4, v5e"),
        ("v5e:4x4x4", "needs 2 numbers of chips, as in v5e:4x4"),
        ("v5p:4x4", "needs 3 numbers of chips, as in v5p:4x4x4"),
        ("v5e:4xfour", "needs 2 numbers"),
        ("v5p:4x4x0", "needs 3 numbers"),
        ("v5e:3x3", "choose one of v5e:1x1, 2x2"),
        ("v6e:16x32", "choose one of v6e:1x1, 2x2"),
        ("v4:4x4x400", "no axis is longer than 24"),
        ("v4:24x24x24", "no slice above 9216 chips"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(ConfigError, match="topology") as raised:
        parse_topology(name)
    assert message in str(raised.value)


def test_without_libtpu_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"pip install 'rnnlm_jax\[aot\]'"):
        open_topology("v5e:4x4")
