"""What an executor is: a way to run one cell over time, and the reason why it cannot run another."""

from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, runtime_checkable

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.unroll.control import Control


@runtime_checkable
class ExecutorFn(Protocol):
    """Run one cell, not a stack or a pair, over time; all executors give the results and gradients of ``scan``."""

    def __call__(
        self,
        cell: Cell,
        params: Tree,
        state: Tree,
        xs: Float[Array, "T B D"],
        control: Control,
        *,
        reverse: bool = False,
        scan_unroll: int = 1,
    ) -> tuple[Tree, Float[Array, "T B H"]]:
        """Return the state after the last step, and the outputs.

        Args:
            cell: the cell.
            params: its parameters, prepared.
            state: the state before the first step, ``[B, ·]``.
            xs: the inputs.
            control: masks and resets.
            reverse: run from the last step to the first.
            scan_unroll: loop iterations compiled as one, see ``jax.lax.scan``.
        """
        ...


@runtime_checkable
class WhyNotFn(Protocol):
    """Say why an executor cannot run something; reads shapes and dtypes of arrays only."""

    def __call__(
        self, cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str, /
    ) -> str | None:
        """Return the reason, as the end of a sentence; None if the executor can run it.

        Args:
            cell: the cell.
            params: its parameters.
            xs: the inputs.
            control: masks and resets.
            platform: the platform of the program, such as ``jax.default_backend()``.
        """
        ...


def runs_everything(cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str) -> None:
    """Return None: the ``WhyNotFn`` of an executor that runs every cell on every platform."""


class Executor(Protocol):
    """A way to run one cell over time: a ``SimpleExecutor``, or one with options such as ``Newton(tolerance=1e-6)``."""

    @property
    def run(self) -> ExecutorFn:
        """Run a cell."""
        ...

    @property
    def why_not(self) -> WhyNotFn:
        """Say why it cannot run a cell."""
        ...


@dataclass(frozen=True)
class SimpleExecutor:
    """An executor without options."""

    run: ExecutorFn
    why_not: WhyNotFn = runs_everything


def is_executor(value: Any) -> TypeGuard[Executor]:
    """Return whether a value is an executor, and not the name of one."""
    return callable(getattr(value, "run", None)) and callable(getattr(value, "why_not", None))
