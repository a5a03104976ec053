"""What the study measures: networks, lengths, limits of the iterations, training, and what is timed."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from experiments.record import without_folder


@dataclass(frozen=True)
class Recipe:
    """Sizes of the study."""

    seed: int = 0
    units: int = 32
    """Units of the random networks and of the cells on text; of the cells whose memory is measured, too."""
    gains: tuple[float, ...] = (0.4, 0.7, 1.0, 1.3, 1.6, 1.8, 1.9, 2.0, 2.1, 2.2, 2.5, 3.0)
    """g of the random networks ``h_t = tanh(g h_{t-1} G + x_t)``."""
    lengths: tuple[int, ...] = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
    """T of the random networks."""
    most_iterations: int = 500
    """After so many iterations a sequence is given up: it falls back to the sequential scan."""
    most_work: float = 2e11
    """Iterations are fewer where ``iterations · T · n m²``, the multiplications of matrices, would be more."""
    exponent_steps: int = 10_000
    """Steps in the mean of the exponents of the random networks, after a tenth as many for burn-in."""
    corpus: str = "pydoc"
    cells: tuple[str, ...] = ("elman-tanh", "gru", "lstm", "para-gru", "mingru")
    text_lengths: tuple[int, ...] = (100, 1_000, 6_000)
    """T on the test text."""
    training_steps: int = 800
    memory_length: int = 10_000
    """T of the gradients whose memory is measured."""
    timed_lengths: tuple[int, ...] = (1_000, 10_000)
    repeats: int = 15
    """Timed calls of each program, in turn with those of the others."""

    def recorded(self) -> dict[str, Any]:
        """Return the recipe as JSON has it, of a file's path the last part."""
        return json.loads(json.dumps(asdict(self) | {"corpus": without_folder(self.corpus)}))
