"""The environment of a record: device, versions, threads."""

import importlib.metadata
import os
from collections.abc import Sequence
from typing import Any

from rnnlm_jax.benchmarking import peers
from rnnlm_jax.system.cores import usable_cores
from rnnlm_jax.training.results import environment


def record_environment(names: Sequence[str], dtype: str, repeats: int) -> dict[str, Any]:
    """Return the environment to write into a record, with the versions of the peers of these names."""
    distributions = dict.fromkeys(peers.load(name).distribution for name in names)
    found: dict[str, Any] = environment() | {"jaxlib": importlib.metadata.version("jaxlib")}
    found |= {name: importlib.metadata.version(name) for name in distributions}
    found |= {"cores": usable_cores(), "dtype": dtype, "repeats": repeats}
    if "torch" in names:
        from rnnlm_jax.benchmarking.peers import torch_device

        found |= torch_device.describe()
    return found | ({"XLA_FLAGS": os.environ["XLA_FLAGS"]} if os.environ.get("XLA_FLAGS") else {})
