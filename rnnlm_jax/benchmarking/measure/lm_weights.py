"""The weights of an LSTM language model as plain arrays, in a layout that every library's file can read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.benchmarking.measure.subject import Numbers


class LMWeights(NamedTuple):
    """Embedding ``[V, H]``, per layer ``w_x``, ``w_h``, ``b`` with gates i, f, g, o, and the output layer."""

    embedding: Any
    layers: tuple[Mapping[str, Any], ...]
    output_w: Any | None
    """``[H, V]``; None where it is the embedding, transposed."""
    output_b: Any

    def named(self) -> dict[str, np.ndarray]:
        """Every array by name."""
        named = {"embedding": self.embedding, "the output bias": self.output_b}
        for k, layer in enumerate(self.layers):
            named |= {f"{name} of layer {k + 1}": array for name, array in layer.items()}
        if self.output_w is not None:
            named["the output matrix"] = self.output_w
        return {name: np.asarray(array) for name, array in named.items()}


def changes(loss: Any, before: LMWeights, after: LMWeights) -> Numbers:
    """What a training step did: its loss, and by how much each array changed.

    The change, not the array: that stays nearly what it was, even if no gradient arrives.
    """
    old = before.named()
    moved = {f"the step of {name}": np.asarray(array, np.float64) - old[name] for name, array in after.named().items()}
    return moved | {"the loss": np.asarray(loss)}
