"""Other libraries doing the same work. Each has files of its own, which alone import it, when it takes part."""

import functools
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from rnnlm_jax.benchmarking.measure.candidate import Candidate
from rnnlm_jax.benchmarking.measure.lm_weights import LMWeights
from rnnlm_jax.errors import ArgumentError

PACKAGE = "rnnlm_jax.benchmarking.peers"


class PeerLayer(Protocol):
    """A layer of a peer with our weights."""

    def candidate(self, job: str) -> Candidate:
        """Return the layer's forward pass, or its gradient, as a candidate."""
        ...


class LayerModule(Protocol):
    """A module with a peer's layers."""

    CELLS: tuple[str, ...]
    """Names of the cells that the peer computes in the same way as this library."""

    def layer(self, cell: str, weights: Mapping[str, np.ndarray], xs: np.ndarray, *, dtype: str) -> PeerLayer:
        """Return a layer.

        Args:
            cell: a name from ``CELLS``.
            weights: parameters of our cell, by name.
            xs: inputs, ``[T, B, D]``.
            dtype: dtype of the matrix products.
        """
        ...


class ModelModule(Protocol):
    """A module with a peer's language model; some lack ``training_step`` or ``regularized_training_step``."""

    def training_step(
        self, weights: LMWeights, tokens: np.ndarray, *, rate: float, clip_norm: float, dtype: str
    ) -> Candidate:
        """Return a step of SGD on ``tokens [T + 1, B]`` with gradients clipped by their global norm."""
        ...

    def regularized_training_step(
        self,
        params: Any,
        rates: Sequence[float],
        tokens: np.ndarray,
        *,
        rate: float,
        clip_norm: float,
        dtype: str,
    ) -> Candidate:
        """Return a step with dropout; its numbers are the loss and the gradients of the first batch without it.

        Args:
            params: our parameters: layers of LSTMs, tied embeddings, perhaps projected.
            rates: dropout rates of the input, between layers, and of the output.
            tokens: ids ``[T + 1, B]``.
            rate: the learning rate of SGD.
            clip_norm: the norm that gradients are clipped to.
            dtype: dtype of the matrix products.
        """
        ...

    def scoring(self, weights: LMWeights, text: np.ndarray, dtype: str) -> Candidate:
        """Return the computation of the nats of ``text [T]``; its first token follows token 0."""
        ...

    def sampling(self, weights: LMWeights, steps: int, checked: np.ndarray, *, dtype: str) -> Candidate:
        """Return the drawing of ``steps`` tokens after token 0; its numbers are log-probabilities after ``checked``."""
        ...


@dataclass(frozen=True)
class Peer:
    """Another library: the module to import, its distribution, and our modules that use it."""

    library: str
    distribution: str
    layer_module: str
    model_module: str | None = None

    @property
    def installed(self) -> bool:
        """Whether the library can be imported."""
        return importlib.util.find_spec(self.library) is not None

    @property
    def layers(self) -> LayerModule:
        """The module with the peer's layers."""
        return cast(LayerModule, importlib.import_module(f"{PACKAGE}.{self.layer_module}"))

    @property
    def models(self) -> ModelModule | None:
        """The module with the peer's language model, if it has one."""
        if self.model_module is None:
            return None
        return cast(ModelModule, importlib.import_module(f"{PACKAGE}.{self.model_module}"))

    def require_models(self) -> ModelModule:
        """Return the module with the peer's language model, which it must have."""
        models = self.models
        assert models is not None
        return models


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
    """Return the peer of that name.

    Raises:
        ArgumentError: for an unknown name.
    """
    if name not in PEERS:
        raise ArgumentError(f"unknown peer {name!r}: choose among {', '.join(PEERS)}, or all or none")
    return PEERS[name]
