"""torch: an LSTM language model as its documentation shows, trained, scored and sampled."""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from rnnlm_jax.benchmarking.measure.candidate import Candidate
from rnnlm_jax.benchmarking.measure.lm_weights import LMWeights, changes
from rnnlm_jax.benchmarking.peers.torch_device import autocast, blocking, device, to_numpy, to_torch, tokens_to_torch
from rnnlm_jax.benchmarking.peers.torch_regularized import regularized_training_step as regularized_training_step


class Model(torch.nn.Module):
    """Embedding, ``nn.LSTM``, and a linear layer whose matrix may be the embedding's."""

    def __init__(self, weights: LMWeights):
        super().__init__()
        size, hidden = weights.embedding.shape
        self.embedding = torch.nn.Embedding(size, hidden)
        self.lstm = torch.nn.LSTM(hidden, hidden, num_layers=len(weights.layers))
        self.output = torch.nn.Linear(hidden, size)
        if weights.output_w is None:
            self.output.weight = self.embedding.weight
        with torch.no_grad():
            self.embedding.weight.copy_(to_torch(weights.embedding))
            if weights.output_w is not None:
                self.output.weight.copy_(to_torch(weights.output_w.T))
            self.output.bias.copy_(to_torch(weights.output_b))
            for k, layer in enumerate(weights.layers):
                getattr(self.lstm, f"weight_ih_l{k}").copy_(to_torch(layer["w_x"].T))
                getattr(self.lstm, f"weight_hh_l{k}").copy_(to_torch(layer["w_h"].T))
                getattr(self.lstm, f"bias_ih_l{k}").copy_(to_torch(layer["b"]))
                getattr(self.lstm, f"bias_hh_l{k}").zero_()
        for k in range(len(weights.layers)):
            # The second bias is redundant: with two, their sum would learn at twice the rate.
            getattr(self.lstm, f"bias_hh_l{k}").requires_grad_(False)

    def forward(self, tokens: Any, state: Any = None) -> tuple[Any, Any]:
        """Return logits ``[T, B, V]`` and the state after the tokens."""
        hs, state = self.lstm(self.embedding(tokens), state)
        return self.output(hs), state

    def weights(self) -> LMWeights:
        """Return the parameters in our layout."""
        lstm = self.lstm
        layers = tuple(
            {
                "w_x": to_numpy(getattr(lstm, f"weight_ih_l{k}")).T,
                "w_h": to_numpy(getattr(lstm, f"weight_hh_l{k}")).T,
                "b": to_numpy(getattr(lstm, f"bias_ih_l{k}")),
            }
            for k in range(lstm.num_layers)
        )
        tied = self.output.weight is self.embedding.weight
        output = None if tied else to_numpy(self.output.weight).T
        return LMWeights(to_numpy(self.embedding.weight), layers, output, to_numpy(self.output.bias))


def training_step(weights: LMWeights, tokens: np.ndarray, *, rate: float, clip_norm: float, dtype: str) -> Candidate:
    """Train: forward, backward, clip and update, with the state kept from step to step."""
    model = Model(weights).to(device())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate)
    inputs, targets = tokens_to_torch(tokens[:-1]), tokens_to_torch(tokens[1:])
    state: list[Any] = [None]

    def call() -> Any:
        optimizer.zero_grad(set_to_none=True)
        with autocast(dtype):
            logits, after = model(inputs, state[0])
            loss = functional.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, clip_norm)
        optimizer.step()
        state[0] = tuple(part.detach() for part in after)
        return loss.detach()

    return Candidate(
        "torch", blocking(call), lambda loss: changes(to_numpy(loss), before=weights, after=model.weights())
    )


def scoring(weights: LMWeights, text: np.ndarray, dtype: str) -> Candidate:
    """Score with one pass over the text."""
    model = Model(weights).to(device())
    inputs, targets = tokens_to_torch(np.append(0, text[:-1])[:, None]), tokens_to_torch(text)

    def call() -> float:
        with torch.inference_mode(), autocast(dtype):
            logits, _ = model(inputs)
            return functional.cross_entropy(logits[:, 0].float(), targets, reduction="sum").item()

    return Candidate("torch", blocking(call), lambda nats: {"the nats": np.asarray(nats)})


def sampling(weights: LMWeights, steps: int, checked: np.ndarray, *, dtype: str) -> Candidate:
    """Sample with a loop over tokens."""
    model = Model(weights).to(device())
    start = tokens_to_torch(np.zeros((1, 1), np.int64))

    def call() -> list[int]:
        token, state, drawn = start, None, []
        with torch.inference_mode(), autocast(dtype):
            for _ in range(steps):
                logits, state = model(token, state)
                token = torch.multinomial(functional.softmax(logits[0].float(), dim=-1), 1)
                drawn.append(token)
            return torch.cat(drawn).flatten().tolist()

    def numbers(drawn: list[int]) -> dict[str, np.ndarray]:
        state, rows = None, []
        with torch.inference_mode(), autocast(dtype):
            for token in checked:
                logits, state = model(start + int(token), state)
                rows.append(functional.log_softmax(logits[0, 0].float(), dim=-1))
            return {"a log-probability": to_numpy(torch.stack(rows))}

    return Candidate("torch", blocking(call), numbers)
