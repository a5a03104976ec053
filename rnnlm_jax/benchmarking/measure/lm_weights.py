"""The weights of an LSTM language model as plain arrays, in a layout that the code for every library reads."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.benchmarking.measure.candidate import Numbers


class LMWeights(NamedTuple):
    """Embedding ``[V, H]``; ``w_x``, ``w_h``, ``b`` of each layer, with gates i, f, g, o; and the output layer."""

    embedding: Any
    layers: tuple[Mapping[str, Any], ...]
    output_w: Any | None
    """``[H, V]``; None if it is the embedding, transposed."""
    output_b: Any

    def named(self) -> dict[str, np.ndarray]:
        """Return every array by name."""
        named = {"embedding": self.embedding, "the output bias": self.output_b}
        for k, layer in enumerate(self.layers):
            named |= {f"{name} of layer {k + 1}": array for name, array in layer.items()}
        if self.output_w is not None:
            named["the output matrix"] = self.output_w
        return {name: np.asarray(array) for name, array in named.items()}


def changes(loss: Any, *, before: LMWeights, after: LMWeights) -> Numbers:
    """Return the loss of a training step, and the change of each array.

    The change, not the array itself: that stays nearly equal even if it gets no gradient.
    """
    old = before.named()
    steps = {f"the step of {name}": np.asarray(array, np.float64) - old[name] for name, array in after.named().items()}
    return steps | {"the loss": np.asarray(loss)}
