"""What takes part in a comparison, and the comparison: the same work, done by several."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = Mapping[str, np.ndarray]
Say = Callable[[str], object]

OURS, FLOOR = "ours", "floor"


@dataclass(frozen=True)
class Subject:
    """One way to do the work."""

    name: str
    call: Callable[[], Any]
    numbers: Callable[[Any], Numbers] | None
    """What the result of a first call says, in our layout and by name, to compare; None: nothing, as for the floor."""
    compile_seconds: float | None = None
    """None where nothing is compiled, or not apart from the first call."""
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Contest:
    """The same work for all subjects; the first of them is ours, to which the others are compared."""

    group: str
    cell: str
    job: str
    sizes: Mapping[str, int]
    """T, B, H and what else there is to say."""
    tokens: int
    flops: float
    """Of the matrix products that the work cannot do without."""
    tolerance: float
    build: Callable[[Say], list[Subject]]
    """Makes the subjects when their turn comes, and says which are left out."""
    torch_memory: Callable[[], int | None] | None = None
    """Peak memory of torch in a process of its own."""

    @property
    def where(self) -> str:
        """The sizes as people read them."""
        return ", ".join(f"{name} {value:,}" for name, value in self.sizes.items())

    @property
    def title(self) -> str:
        """What is done, without the sizes."""
        return f"{self.cell} {self.job}"
