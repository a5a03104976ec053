"""torch: ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN``, through cuDNN on a GPU."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from rnnlm_jax.benchmarking.measure.candidate import Candidate, Numbers
from rnnlm_jax.benchmarking.measure.jax_layer import FORWARD
from rnnlm_jax.benchmarking.peers.torch_device import DTYPES, blocking, device, to_numpy, to_torch

CELLS = ("lstm", "gru", "elman-tanh")


class TorchLayer:
    """A layer with our weights: matrices transposed, gates in our order, and two biases.

    The input's bias is ours; the recurrent one is zero, except for the GRU's candidate.
    """

    def __init__(self, cell: str, weights: Mapping[str, np.ndarray], xs: np.ndarray, *, dtype: str):
        inputs, hidden = weights["w_x"].shape[0], weights["w_h"].shape[0]
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "elman-tanh": torch.nn.RNN}[cell]
        self.cell = cell
        self.module = kind(inputs, hidden).to(device(), DTYPES[dtype])
        recurrent_bias = np.zeros_like(weights["b"])
        if cell == "gru":
            recurrent_bias[2 * hidden :] = weights["b_n"]
        with torch.no_grad():
            self.module.weight_ih_l0.copy_(to_torch(weights["w_x"].T))
            self.module.weight_hh_l0.copy_(to_torch(weights["w_h"].T))
            self.module.bias_ih_l0.copy_(to_torch(weights["b"]))
            self.module.bias_hh_l0.copy_(to_torch(recurrent_bias))
        self.xs = to_torch(xs, dtype)

    def candidate(self, job: str) -> Candidate:
        """Return the forward pass in inference mode, or the gradient of ``Σ h²`` by parameters and inputs."""
        if job == FORWARD:
            return Candidate("torch", blocking(self._forward), lambda hs: {"the output": to_numpy(hs)})
        self.xs.requires_grad_()
        return Candidate("torch", blocking(self._gradient), self._named)

    def _forward(self) -> Any:
        with torch.inference_mode():
            return self.module(self.xs)[0]

    def _gradient(self) -> None:
        self.module.zero_grad(set_to_none=True)
        self.xs.grad = None
        self.module(self.xs)[0].float().square().sum().backward()

    def _named(self, result: None) -> Numbers:
        module = self.module
        arrays = {
            "w_x": module.weight_ih_l0.grad.T,
            "w_h": module.weight_hh_l0.grad.T,
            "b": module.bias_ih_l0.grad,
            "the inputs": self.xs.grad,
        }
        if self.cell == "gru":
            arrays["b_n"] = module.bias_hh_l0.grad[2 * module.hidden_size :]
        return {f"the gradient of {name}": to_numpy(array) for name, array in arrays.items()}


def layer(cell: str, weights: Mapping[str, np.ndarray], xs: np.ndarray, *, dtype: str) -> TorchLayer:
    """Return a layer with our weights."""
    return TorchLayer(cell, weights, xs, dtype=dtype)
