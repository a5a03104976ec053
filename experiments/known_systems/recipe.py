"""How long the systems are measured, and how the networks are trained."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Sizes and times; times are in units of a system's own time."""

    time_step: float = 0.01
    """Of the Lorenz system, and of the networks."""
    burn_in: float = 20.0
    """Time before a mean over the Lorenz system or a network, and before training data."""
    starts: int = 64
    """Trajectories of a system, side by side."""
    rounds: int = 2
    """Sets of such trajectories, from other starts."""
    henon_steps: int = 50_000
    lorenz_time: float = 1000.0
    """Time of each trajectory in the means."""
    hidden_size: int = 64
    streams: int = 64
    """Trajectories to learn from, side by side; the batch size."""
    stream_steps: int = 10_000
    bptt: int = 50
    steps: int = 12_000
    """Steps of Adam, whose learning rate falls to zero along half a cosine."""
    learning_rate: float = 0.003
    clip_norm: float = 1.0
    network_starts: int = 8
    network_time: float = 1000.0
    network_count: int = 3
    """Exponents of a network that are measured."""
    network_qr_interval: int = 10
    shown_time: float = 25.0
    """Time in the figure, and in the mean and deviation of a network's third variable."""

    @property
    def burn_in_steps(self) -> int:
        """The burn-in in steps of the Lorenz system."""
        return round(self.burn_in / self.time_step)

    def as_record(self) -> dict[str, Any]:
        """Return the recipe as JSON has it."""
        return asdict(self)


#: A short trial: the exponents of the systems to two digits, one small network that has hardly learned.
QUICK = Recipe(starts=32, rounds=1, henon_steps=1000, lorenz_time=20.0, hidden_size=16, steps=300, network_time=50.0)
