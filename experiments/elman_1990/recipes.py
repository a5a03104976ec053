"""How the networks of each experiment are trained: as published, and as one would today."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Published:
    """Training of 1990: copied context, logistic units, squared error, one step of gradient descent for each input.

    The state before a step is an input like any other, so that gradients reach back through one step.
    """

    hidden_size: int
    stream: int
    """Inputs of the one stream that a seed is trained on."""
    passes: int
    """How often it is read; after its last input follows its first."""
    learning_rate: float
    init_scale: float
    """Weights and biases are drawn uniformly from [-c, c]."""
    seeds: int
    test_length: int
    """Inputs of the new stream of each seed that it is tested on."""

    @property
    def loss(self) -> str:
        """The loss, as the tasks name it."""
        return "logistic"


@dataclass(frozen=True, kw_only=True)
class Today:
    """Training of today: tanh units, cross-entropy, gradients through whole sequences, Adam, endless new data."""

    hidden_size: int
    steps: int
    """Steps of Adam, whose learning rate falls to zero along half a cosine."""
    seeds: int
    test_length: int
    """Inputs of the new stream of each seed that it is tested on."""
    batch_size: int = 32
    length: int = 60
    """Inputs of a sequence, through all of which gradients flow; each begins with the initial state."""
    learning_rate: float = 0.01
    clip_norm: float = 1.0
    """Gradients with a larger global norm are rescaled to it."""

    @property
    def loss(self) -> str:
        """The loss, as the tasks name it."""
        return "nats"


Recipe = Published | Today
#: Experiment -> network -> recipe.
Recipes = Mapping[str, Mapping[str, Recipe]]

#: Experiment -> name of its task.
TASKS = {
    "xor": "temporal-xor",
    "letters": "elman-letters",
    "words": "word-boundaries",
    "sentences": "elman-sentences",
}

#: The names of networks, and what tables and figures call them.
AS_PUBLISHED, TODAY, TODAY_8 = "published", "today", "today-8-units"
LABELS = {AS_PUBLISHED: "published recipe", TODAY: "today", TODAY_8: "today, 8 units"}

RECIPES: Recipes = {
    "xor": {
        AS_PUBLISHED: Published(
            hidden_size=2, stream=3000, passes=600, learning_rate=0.2, init_scale=1.0, seeds=10, test_length=14_412
        ),
        TODAY: Today(hidden_size=2, steps=3000, seeds=10, test_length=14_412),
        TODAY_8: Today(hidden_size=8, steps=3000, seeds=10, test_length=14_412),
    },
    "letters": {
        AS_PUBLISHED: Published(
            hidden_size=20, stream=3000, passes=200, learning_rate=0.2, init_scale=0.5, seeds=10, test_length=3000
        ),
        TODAY: Today(hidden_size=20, steps=1000, seeds=10, test_length=3000),
    },
    "words": {
        AS_PUBLISHED: Published(
            hidden_size=20, stream=4963, passes=10, learning_rate=0.2, init_scale=0.5, seeds=10, test_length=5000
        ),
        TODAY: Today(hidden_size=20, steps=2000, seeds=10, test_length=5000),
    },
    "sentences": {
        AS_PUBLISHED: Published(
            hidden_size=150, stream=27_534, passes=6, learning_rate=0.6, init_scale=0.1, seeds=5, test_length=10_000
        ),
        TODAY: Today(hidden_size=150, steps=1500, seeds=5, test_length=10_000, learning_rate=0.003),
    },
}


def quick(recipes: Recipes = RECIPES) -> Recipes:
    """Return the recipes at sizes that take seconds, and teach little."""

    def small(recipe: Recipe) -> Recipe:
        common: dict[str, Any] = {"hidden_size": min(recipe.hidden_size, 10), "seeds": 2, "test_length": 1000}
        if isinstance(recipe, Published):
            return Published(**asdict(recipe) | common | {"stream": 300, "passes": 2})
        return Today(**asdict(recipe) | common | {"steps": 20, "length": 20})

    return {name: {network: small(recipe) for network, recipe in of.items()} for name, of in recipes.items()}


def recorded(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON has it."""
    return json.loads(json.dumps(asdict(recipe)))
