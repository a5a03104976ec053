"""A comparison, and its candidates: different programs that do the same work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

#: Arrays by name, such as "the gradient of w_x".
Numbers = Mapping[str, np.ndarray]

#: Names of the candidates that every comparison has: this library's default, and the matrix products alone.
OURS, FLOOR = "ours", "floor"


class WriteLine(Protocol):
    """A function that prints one line, such as ``tqdm.write``."""

    def __call__(self, line: str, /) -> object:
        """Print ``line``."""
        ...


@dataclass(frozen=True)
class Candidate:
    """One program that does the work of a comparison."""

    name: str
    call: Callable[[], Any]
    numbers: Callable[[Any], Numbers] | None
    """Arrays of a first call's result, in this library's layout, to compare; None if nothing is comparable."""
    compile_seconds: float | None = None
    """None if nothing is compiled, or not apart from the first call."""
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Comparison:
    """The same work done by several candidates; the numbers of all are compared with those of the first, ours."""

    group: str
    cell: str
    job: str
    sizes: Mapping[str, int]
    """Sizes by letter: T, B, H and others."""
    tokens: int
    flops: float
    """Floating-point operations of the matrix products that every candidate needs."""
    tolerance: float
    build: Callable[[WriteLine], list[Candidate]]
    """Makes the candidates when they are measured, and prints which are left out."""
    torch_memory: Callable[[], int | None] | None = None
    """Measures the peak memory of torch in bytes, in a process of its own."""

    @property
    def where(self) -> str:
        """The sizes as text."""
        return ", ".join(f"{name} {value:,}" for name, value in self.sizes.items())

    @property
    def title(self) -> str:
        """The cell and the job, without the sizes."""
        return f"{self.cell} {self.job}"
