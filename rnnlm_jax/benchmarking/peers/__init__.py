"""Other libraries, each in files of its own that alone import it, and only when it takes part."""

import functools
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from rnnlm_jax.errors import UserError

PACKAGE = "rnnlm_jax.benchmarking.peers"


@dataclass(frozen=True)
class Peer:
    """Where a peer is: what to import, and our files that speak its language."""

    library: str
    distribution: str
    layer_module: str
    model_module: str | None = None

    @property
    def installed(self) -> bool:
        """Whether its library can be imported here."""
        return importlib.util.find_spec(self.library) is not None

    @property
    def layers(self) -> Any:
        """The module with ``CELLS`` and ``layer(cell, weights, xs, dtype)``."""
        return importlib.import_module(f"{PACKAGE}.{self.layer_module}")

    @property
    def models(self) -> Any | None:
        """The module with its language model, if it takes part in that."""
        return None if self.model_module is None else importlib.import_module(f"{PACKAGE}.{self.model_module}")


PEERS = {
    "torch": Peer("torch", "torch", "torch_layers", "torch_models"),
    "flax-linen": Peer("flax", "flax", "linen_layers", "linen_models"),
    "flax-nnx": Peer("flax", "flax", "nnx_layers"),
    "haiku": Peer("haiku", "dm-haiku", "haiku_layers"),
    "equinox": Peer("equinox", "equinox", "equinox_layers", "equinox_models"),
    "keras": Peer("keras", "keras", "keras_layers"),
}


@functools.cache
def load(name: str) -> Peer:
    """The peer of that name.

    Raises:
        UserError: if there is none.
    """
    if name not in PEERS:
        raise UserError(f"unknown peer {name!r}: choose among {', '.join(PEERS)}, or all or none")
    return PEERS[name]
