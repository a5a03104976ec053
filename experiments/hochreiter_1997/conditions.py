"""The experiments of the paper: task, published conditions and results, and the sequences that ours may take."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rnnlm_jax import tasks
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.tasks import Task

#: The two methods: the recipe of the paper, and one of today.
METHODS = PUBLISHED, PRESENT_DAY = "published", "present-day"


@dataclass(frozen=True)
class Blocks:
    """The LSTM of an experiment, and its training: table 10 of the paper and the text."""

    blocks: int
    size: int
    """Memory cells in a block."""
    learning_rate: float
    weights: int
    """The published number of weights."""
    biases: str = "all"
    """The hidden units with a bias, see ``memory_blocks``."""
    output_biases: bool = False
    input_gates: tuple[float, ...] | None = None
    """The initial bias of the input gate of each block; None: as other weights."""
    output_gates: tuple[float, ...] | None = None
    scale: float = 0.1
    """Weights are drawn uniformly from minus this to this."""

    @property
    def units(self) -> int:
        """The number of hidden units, gates among them."""
        return self.blocks * (self.size + 2)


@dataclass(frozen=True)
class Lag:
    """The LSTM of experiments 2a and 2b: one memory cell, and an output layer that reads the inputs, too."""

    learning_rate: float = 1.0
    cell_learning_rate: float = 3.0
    """Of the weights from and to the memory cell; the paper has one rate for all, with which some seeds take more than
    60,000 sequences."""
    weights: int = 10504
    gate_bias: float = -6.0
    """Not in the paper."""
    added_after: int = 1000
    """Sequences after which the memory cell is added, since the error falls no longer without it."""
    scale: float = 0.2


@dataclass(frozen=True)
class Elman:
    """A network with simple hidden units that the paper compares, and its training."""

    units: int
    learning_rate: float
    weights: int
    reads_inputs: bool = False
    """Whether the output layer reads the inputs, too."""
    scale: float = 0.2


@dataclass(frozen=True)
class Published:
    """Published results of the LSTM."""

    sequences: int
    """Sequences until solved, the mean over trials."""
    trials: int
    wrong: float | None = None
    """Wrong answers among 2560 new sequences, the mean over trials."""
    success: float = 1.0
    """The share of trials."""


@dataclass(frozen=True)
class Experiment:
    """One row of the study."""

    name: str
    title: str
    task: str
    options: tuple[tuple[str, Any], ...]
    length: int
    lstm: Blocks | Lag
    published: Published
    most: int
    """Sequences of training by the published recipe, at most."""
    every: int
    """Sequences between two measurements of it."""
    elman: Elman | None = None
    """The network with simple units beside it."""
    stop_accuracy: float | None = None
    """The share of right answers from which it counts as solved; None: that of the task."""
    many_symbols: bool = False
    """Whether symbols are fed as numbers, for speed."""

    def make_task(self, method: str, **options: Any) -> Task:
        """Return the task with the loss of a method.

        Args:
            method: "published": logistic outputs, squared error; "present-day": the default loss of the task, which is
                the cross-entropy where classes are asked.
            **options: options of the task in place of the experiment's.
        """
        loss = {"loss": "logistic"} if method == PUBLISHED else {}
        return tasks.make(self.task, **dict(self.options) | options | loss)


_ADDING = Blocks(2, 2, 0.5, 93, output_biases=True, input_gates=(-3, -6))
_MULTIPLICATION = Blocks(2, 2, 0.1, 93, output_biases=True)


def _two_sequence(learning_rate: float = 1.0) -> Blocks:
    return Blocks(3, 1, learning_rate, 102, input_gates=(-1, -3, -5), output_gates=(-2, -4, -6))


def _very_long(symbols: int, weights: int, published: int, most: int) -> Experiment:
    return Experiment(
        name=f"2c-{symbols}",
        title=f"2c: lag {symbols}, {symbols} distractors",
        task="very-long-lag",
        options=(("symbols", symbols),),
        length=symbols,
        lstm=Blocks(2, 1, 0.01, weights, biases="none", scale=0.2),
        published=Published(published, trials=20),
        most=most,
        every=1000,
        many_symbols=True,
    )


#: The experiments in the order of the paper.
EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        name="1",
        title="1: embedded Reber grammar",
        task="embedded-reber",
        options=(("strings", 256),),
        length=40,
        lstm=Blocks(3, 2, 0.5, 276, biases="gates", output_gates=(-1, -2, -3), scale=0.2),
        published=Published(8_440, trials=30),
        most=100_000,
        every=250,
        elman=Elman(15, 0.5, 435),
    ),
    Experiment(
        name="2a",
        title="2a: noise-free, lag 100",
        task="noise-free-lag",
        options=(("symbols", 100),),
        length=100,
        lstm=Lag(),
        published=Published(5_040, trials=18),
        most=60_000,
        every=250,
        elman=Elman(1, 1.0, 10404, reads_inputs=True),
    ),
    Experiment(
        name="2b",
        title="2b: no regularities, lag 100",
        task="no-regularities",
        options=(("symbols", 100),),
        length=100,
        lstm=Lag(),
        published=Published(5_680, trials=18),
        most=60_000,
        every=250,
    ),
    _very_long(50, 364, 30_000, most=300_000),
    _very_long(100, 664, 31_000, most=300_000),
    _very_long(200, 1264, 33_000, most=300_000),
    _very_long(500, 3064, 38_000, most=300_000),
    _very_long(1000, 6064, 49_000, most=100_000),
    Experiment(
        name="3a",
        title="3a: two classes, T = 100, N = 3",
        task="two-sequence",
        options=(("experiment", "3a"), ("informative", 3)),
        length=100,
        lstm=_two_sequence(),
        published=Published(27_380, trials=10, wrong=0.5),
        most=80_000,
        every=1000,
    ),
    Experiment(
        name="3a-1",
        title="3a: T = 100, N = 1",
        task="two-sequence",
        options=(("experiment", "3a"), ("informative", 1)),
        length=100,
        lstm=_two_sequence(),
        published=Published(58_370, trials=10, wrong=0.3),
        most=180_000,
        every=1000,
    ),
    Experiment(
        name="3a-1000",
        title="3a: T = 1000, N = 3",
        task="two-sequence",
        options=(("experiment", "3a"), ("informative", 3)),
        length=1000,
        lstm=_two_sequence(),
        published=Published(446_850, trials=10, wrong=0.2),
        most=850_000,
        every=5000,
    ),
    Experiment(
        name="3b",
        title="3b: T = 100, N = 3, noise on the signal",
        task="two-sequence",
        options=(("experiment", "3b"), ("informative", 3)),
        length=100,
        lstm=_two_sequence(),
        published=Published(41_740, trials=10, wrong=21.2),
        most=125_000,
        every=1000,
    ),
    Experiment(
        name="3c",
        title="3c: T = 100, N = 3, noise on the targets",
        task="two-sequence",
        options=(("experiment", "3c"), ("informative", 3)),
        length=100,
        lstm=_two_sequence(0.1),
        published=Published(269_650, trials=10, wrong=14.3),
        most=800_000,
        every=1000,
    ),
    Experiment(
        name="4-100",
        title="4: adding, T = 100",
        task="adding",
        options=(),
        length=100,
        lstm=_ADDING,
        published=Published(74_000, trials=10, wrong=1),
        most=220_000,
        every=1000,
    ),
    Experiment(
        name="4-500",
        title="4: adding, T = 500",
        task="adding",
        options=(),
        length=500,
        lstm=_ADDING,
        published=Published(209_000, trials=10, wrong=0),
        most=630_000,
        every=2000,
    ),
    Experiment(
        name="4-1000",
        title="4: adding, T = 1000",
        task="adding",
        options=(),
        length=1000,
        lstm=_ADDING,
        published=Published(853_000, trials=10, wrong=1),
        most=1_700_000,
        every=5000,
    ),
    Experiment(
        name="5",
        title="5: multiplication, 93 % right",
        task="multiplication",
        options=(),
        length=100,
        lstm=_MULTIPLICATION,
        published=Published(482_000, trials=10, wrong=139),
        most=1_500_000,
        every=2000,
    ),
    Experiment(
        name="5-fine",
        title="5: multiplication, 99.35 % right",
        task="multiplication",
        options=(),
        length=100,
        lstm=_MULTIPLICATION,
        published=Published(1_273_000, trials=10, wrong=14),
        most=2_500_000,
        every=5000,
        stop_accuracy=1 - 13 / 2000,
    ),
    Experiment(
        name="6a",
        title="6a: order of two symbols",
        task="temporal-order",
        options=(),
        length=100,
        lstm=Blocks(2, 2, 0.5, 156, output_biases=True, input_gates=(-2, -4)),
        published=Published(31_390, trials=20, wrong=1),
        most=100_000,
        every=1000,
    ),
    Experiment(
        name="6b",
        title="6b: order of three symbols",
        task="temporal-order-3",
        options=(),
        length=100,
        lstm=Blocks(3, 2, 0.1, 308, output_biases=True, input_gates=(-2, -4, -6)),
        published=Published(571_100, trials=10, wrong=2),
        most=1_700_000,
        every=2000,
    ),
)


def names() -> tuple[str, ...]:
    """Return the names of all experiments."""
    return tuple(experiment.name for experiment in EXPERIMENTS)


def find(wanted: Iterable[str]) -> list[Experiment]:
    """Return the experiments of some names.

    Raises:
        ConfigError: if one is unknown.
    """
    by_name = {experiment.name: experiment for experiment in EXPERIMENTS}
    for name in wanted:
        if name not in by_name:
            raise ConfigError(f"unknown experiment {name!r}: choose among {', '.join(by_name)}")
    return [by_name[name] for name in wanted]
