"""What the study trains: the recipe of the paper, the methods that are compared, and the list of all trainings."""

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from experiments.pascanu_2013.networks import BEST, GATED, INITIALISATIONS, OPEN, PRESENT_DAY
from rnnlm_jax.sequence_model import SequenceTraining

SGD, CLIPPED, REGULARIZED, ADAM = "SGD", "SGD-C", "SGD-CR", "Adam"
#: The methods that the paper compares.
PUBLISHED_METHODS = (SGD, CLIPPED, REGULARIZED)
#: Groups of trainings: the paper's figure; one model for a range of lengths; the other tasks; networks of today.
FIGURE, RANGE, TASKS, TODAY = "figure", "range", "tasks", "today"
GROUPS = (FIGURE, RANGE, TASKS, TODAY)
ORDER = "pascanu-temporal-order"


class Budget(NamedTuple):
    """How sequences of some lengths are trained on by SGD; the same for all methods."""

    longest: int
    """The greatest of these lengths."""
    learning_rate: float
    """Constant."""
    steps: int
    """Most updates."""


@dataclass(frozen=True)
class Recipe:
    """How all models are trained and tested."""

    hidden_size: int = 50
    batch_size: int = 20
    seeds: int = 5
    budgets: tuple[Budget, ...] = (
        Budget(50, 0.03, 20_000),
        Budget(100, 0.03, 40_000),
        Budget(150, 0.01, 130_000),
        Budget(200, 0.01, 150_000),
    )
    """Shortest first. The rate at 150 and 200 is the published one; three times it is as good up to 100, and faster."""
    range_steps: int = 200_000
    """Most updates of the model for a range of lengths, at the rate of the longest."""
    task_steps: int = 200_000
    """Most updates of the other tasks, whose learning rates are those of their lengths."""
    sum_learning_rate: float = 0.1
    """Of addition and multiplication by SGD: their gradients are small."""
    sum_steps: int = 60_000
    """Most updates of these two, by SGD or Adam."""
    clip_norm: float = 1.0
    omega: float = 4.0
    """Weight of Ω, by squared norms and as a mean over steps, both as in the authors' code."""
    adam_learning_rate: float = 0.001
    adam_steps: int = 10_000
    lengths: tuple[int, ...] = (50, 100, 150, 200)
    shortest: int = 50
    """The least length of the range; the greatest is the last of ``lengths``."""
    other_lengths: tuple[int, ...] = (50, 100)
    """Lengths of the other tasks, and of the other two initialisations."""
    long_lengths: tuple[int, ...] = (50, 100, 200, 500, 1000, 2000, 5000)
    """Lengths at which the models for a range of lengths are tested."""
    test_sequences: int = 10_000
    check_every: int = 500
    check_sequences: int = 1_000
    stop_accuracy: float = 0.995
    """A training ends at this accuracy on ``test_sequences`` new sequences: a little above 99 %, the paper's criterion,
    so that the test that follows on other new sequences meets that, too."""
    range_stop_accuracy: float = 0.9999

    def recorded(self) -> dict[str, Any]:
        """Return the recipe as JSON has it."""
        return json.loads(json.dumps(asdict(self)))

    def budget(self, length: int) -> Budget:
        """Return how sequences of a length are trained on."""
        return next(budget for budget in self.budgets if length <= budget.longest)


#: A few trainings of a few steps, to try the study.
QUICK = Recipe(
    hidden_size=8,
    seeds=2,
    budgets=(Budget(20, 0.01, 40),),
    range_steps=40,
    task_steps=40,
    sum_steps=40,
    adam_steps=40,
    lengths=(10, 20),
    shortest=10,
    other_lengths=(10,),
    long_lengths=(10, 30),
    test_sequences=100,
    check_every=20,
    check_sequences=100,
)


class Training(NamedTuple):
    """One model, trained from several seeds at once."""

    group: str
    network: str
    method: str
    length: int
    task: str = ORDER
    task_options: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        """A name that is a path, without an ending."""
        options = "".join(f"-{name}-{value}" for name, value in self.task_options)
        task = "" if self.task == ORDER else f"{self.task}-"
        return f"{self.group}/{task}{self.network}-{self.method}{options}-{self.length}"

    def most_steps(self, recipe: Recipe) -> int:
        """Return the most updates."""
        if self.task in SUMS:
            return recipe.sum_steps
        if self.method == ADAM:
            return recipe.adam_steps
        own = {RANGE: recipe.range_steps, TASKS: recipe.task_steps}
        return own.get(self.group, recipe.budget(self.length).steps)

    def learning_rate(self, recipe: Recipe) -> float:
        """Return the learning rate."""
        if self.method == ADAM:
            return recipe.adam_learning_rate
        return recipe.sum_learning_rate if self.task in SUMS else recipe.budget(self.length).learning_rate

    def options(self, recipe: Recipe) -> SequenceTraining:
        """Return how it is trained."""
        return SequenceTraining(
            steps=self.most_steps(recipe),
            seeds=recipe.seeds,
            check_every=recipe.check_every,
            check_sequences=recipe.check_sequences,
            stop_accuracy=recipe.range_stop_accuracy if self.is_range else recipe.stop_accuracy,
            optimizer="adam" if self.method == ADAM else "sgd",
            learning_rate=self.learning_rate(recipe),
            clip_norm=None if self.method == SGD else recipe.clip_norm,
            regularize=(("omega", recipe.omega), ("omega_squared_norms", True)) if self.method == REGULARIZED else (),
        )

    @property
    def is_range(self) -> bool:
        """Whether sequences of training have many lengths."""
        return any(name == "shortest" for name, _ in self.task_options)

    def cost(self, recipe: Recipe) -> float:
        """Return a measure of the time that all updates take."""
        steps = self.most_steps(recipe) * self.length
        return steps * TIMES.get(self.network, 1.0) * (TIMES[REGULARIZED] if self.method == REGULARIZED else 1)


#: Time of an update relative to that of a simple network without Ω.
TIMES = {REGULARIZED: 1.5, "gru": 3.0, "lstm": 4.0, "open-lstm": 4.0}

#: Tasks of numbers.
SUMS = ("pascanu-addition", "pascanu-multiplication")

#: The five other tasks of the authors' code; memorisation is that of 5 bits.
OTHER_TASKS = (
    "pascanu-temporal-order-3",
    *SUMS,
    "random-permutation",
    "noiseless-memorization",
)


def trainings(recipe: Recipe) -> list[Training]:
    """Return all trainings, those that take least time first."""
    whole_range = (("shortest", recipe.shortest),)
    longest = recipe.lengths[-1]
    found = [
        *(
            Training(FIGURE, network, method, length)
            for network in INITIALISATIONS
            for method in PUBLISHED_METHODS
            for length in (recipe.lengths if network == BEST else recipe.other_lengths)
        ),
        Training(RANGE, BEST, REGULARIZED, longest, task_options=whole_range),
        *(Training(TASKS, BEST, REGULARIZED, length, task) for task in OTHER_TASKS for length in recipe.other_lengths),
        *(Training(TODAY, network, ADAM, length) for network in PRESENT_DAY for length in recipe.lengths),
        *(Training(TODAY, GATED, ADAM, length, task) for task in OTHER_TASKS for length in recipe.other_lengths),
        *(Training(TODAY, OPEN, ADAM, length, task) for task in SUMS for length in recipe.other_lengths),
        *(Training(TODAY, network, ADAM, longest, task_options=whole_range) for network in PRESENT_DAY),
    ]
    return sorted(found, key=lambda training: training.cost(recipe))
