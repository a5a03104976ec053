"""torch: an LSTM language model with dropout and tied embeddings, trained as its documentation shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from rnnlm_jax.benchmarking.measure.candidate import Candidate
from rnnlm_jax.benchmarking.peers.torch_device import autocast, blocking, device, to_numpy, to_torch, tokens_to_torch


class Model(torch.nn.Module):
    """Embedding, ``nn.LSTM``, a projection to the embedding's width if that differs, and the transposed embedding."""

    def __init__(self, params: Any, rates: Sequence[float]):
        super().__init__()
        layers = (params.cell,) if hasattr(params.cell, "_fields") else params.cell
        size, width = params.embedding.shape
        hidden = layers[0].w_h.shape[0]
        self.drop_input, self.drop_output = torch.nn.Dropout(rates[0]), torch.nn.Dropout(rates[2])
        self.embedding = torch.nn.Embedding(size, width)
        self.lstm = torch.nn.LSTM(width, hidden, num_layers=len(layers), dropout=rates[1] if len(layers) > 1 else 0.0)
        self.projection = torch.nn.Linear(hidden, width, bias=False) if hasattr(params.output, "projection") else None
        self.output = torch.nn.Linear(width, size)
        self.output.weight = self.embedding.weight
        with torch.no_grad():
            self.embedding.weight.copy_(to_torch(params.embedding))
            self.output.bias.copy_(to_torch(params.output.b))
            if self.projection is not None:
                self.projection.weight.copy_(to_torch(params.output.projection.T))
            for k, layer in enumerate(layers):
                getattr(self.lstm, f"weight_ih_l{k}").copy_(to_torch(layer.w_x.T))
                getattr(self.lstm, f"weight_hh_l{k}").copy_(to_torch(layer.w_h.T))
                getattr(self.lstm, f"bias_ih_l{k}").copy_(to_torch(layer.b))
                getattr(self.lstm, f"bias_hh_l{k}").zero_()
        for k in range(len(layers)):
            # The second bias is redundant: with two, their sum would learn at twice the rate.
            getattr(self.lstm, f"bias_hh_l{k}").requires_grad_(False)

    def forward(self, tokens: Any, state: Any = None) -> tuple[Any, Any]:
        """Return logits ``[T, B, V]`` and the state after the tokens."""
        hs, state = self.lstm(self.drop_input(self.embedding(tokens)), state)
        hs = self.drop_output(hs)
        return self.output(hs if self.projection is None else self.projection(hs)), state

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the gradients by name, in our layout."""
        named = {"embedding": self.embedding.weight.grad.T, "the output bias": self.output.bias.grad}
        if self.projection is not None:
            named["the projection"] = self.projection.weight.grad
        for k in range(self.lstm.num_layers):
            ours = {"w_x": "weight_ih", "w_h": "weight_hh", "b": "bias_ih"}
            for name, theirs in ours.items():
                named[f"{name} of layer {k + 1}"] = getattr(self.lstm, f"{theirs}_l{k}").grad
        return {f"the gradient of {name}": to_numpy(array).T for name, array in named.items()}


def regularized_training_step(
    params: Any, rates: Sequence[float], tokens: np.ndarray, *, rate: float, clip_norm: float, dtype: str
) -> Candidate:
    """Train: forward with dropout, backward, clip and update, with the state kept from step to step.

    Args:
        params: our parameters.
        rates: dropout rates of the input, between layers, and of the output.
        tokens: ids ``[T + 1, B]``.
        rate: the learning rate of SGD.
        clip_norm: the norm that gradients are clipped to.
        dtype: dtype of the matrix products.
    """
    model = Model(params, rates).to(device())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate)
    inputs, targets = tokens_to_torch(tokens[:-1]), tokens_to_torch(tokens[1:])
    state: list[Any] = [None]

    def mean_loss(model: Model, before: Any) -> tuple[Any, Any]:
        with autocast(dtype):
            logits, after = model(inputs, before)
            return functional.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1)), after

    def call() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss, after = mean_loss(model, state[0])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, clip_norm)
        optimizer.step()
        state[0] = tuple(part.detach() for part in after)
        return loss.detach()

    def numbers(result: Any) -> dict[str, np.ndarray]:
        del result  # other masks than ours
        unchanged = Model(params, rates).to(device()).eval()
        loss, _ = mean_loss(unchanged, None)
        loss.backward()
        return unchanged.gradients() | {"the loss": to_numpy(loss)}

    return Candidate("torch", blocking(call), numbers)
