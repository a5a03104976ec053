"""Sizes of the study, in full and for a quick trial."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """What is measured and how networks are trained."""

    seed: int = 0
    seeds: int = 5
    """Networks of each kind, before and after training."""
    width: int = 64
    """N, units of a layer and numbers of an input."""
    depths: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    """Depths of the trained networks, and of the products of Jacobians within the deepest network."""
    initial_points: int = 64
    """Inputs over which gradients are averaged at initialisation."""
    steps: int = 600
    """Steps of stochastic gradient descent; every batch has new points."""
    batch_size: int = 64
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Initial learning rates, which fall to zero along half a cosine. The first seed is trained with each; the other
    seeds with the one that gave the best accuracy on a validation set."""
    momentum: float = 0.9
    clip_norm: float = 1.0
    """Gradients with a larger global norm are rescaled to it."""
    test_points: int = 2000
    """Points of each of the validation set, the test set, and the set that linear probes are fitted on."""

    def recorded(self) -> dict[str, Any]:
        """Return the recipe as JSON has it."""
        return json.loads(json.dumps(asdict(self)))


FULL = Recipe()
QUICK = Recipe(
    seeds=2, width=16, depths=(1, 8), initial_points=8, steps=60, batch_size=16, rates=(0.3,), test_points=300
)
