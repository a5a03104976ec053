"""The executors by name, and the choice of one for a cell."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell, check_choice
from rnnlm_jax.errors import DeviceError
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.cudnn import cudnn, why_not_cudnn
from rnnlm_jax.unroll.native import native, why_not_native
from rnnlm_jax.unroll.scan import scan
from rnnlm_jax.unroll.structured import structured


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
            params: its parameters.
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


@dataclass(frozen=True)
class Executor:
    """A way to run one cell over time."""

    run: ExecutorFn
    why_not: WhyNotFn = runs_everything


EXECUTORS: dict[str, Executor] = {
    "scan": Executor(scan),
    "structured": Executor(structured),
    "native": Executor(native, why_not_native),
    "cudnn": Executor(cudnn, why_not_cudnn),
}

#: The executor that is tried first on a platform, named as by ``jax.default_backend()``. Not cuDNN: jax's binding of it
#: has neither ``vmap`` nor forward mode, so that it runs only where it is requested.
FASTEST = {"cpu": "native"}

#: The other executors, by whether the cell splits. Forward and backward on two CPU cores, time of structured relative
#: to scan at five shapes: LSTM 0.6 to 0.9, Elman 0.5 to 0.8, GRU 0.7 to 1.1; layer-normalised LSTM 0.8 (batch 1) to
#: 1.2.
OTHERWISE = {True: "structured", False: "scan"}


def choose_executor(
    cell: Cell,
    params: Tree,
    xs: Float[Array, "T B D"],
    control: Control,
    *,
    platform: str,
    executor: str | None = None,
) -> str:
    """Return the name of the executor for a cell: the requested one, or the fastest that the platform has for it.

    Args:
        cell: one cell, not a stack or a pair.
        params: its parameters.
        xs: its inputs; only shapes and dtypes of arrays are read.
        control: masks and resets.
        platform: the platform of the program, such as ``jax.default_backend()``.
        executor: the requested executor, one of ``EXECUTORS``; None: the fastest.

    Raises:
        ArgumentError: if the requested executor is unknown.
        DeviceError: if it cannot run the cell.
    """
    if executor is None:
        fastest = FASTEST.get(platform)
        if fastest is not None and EXECUTORS[fastest].why_not(cell, params, xs, control, platform) is None:
            return fastest
        return OTHERWISE[cell.splits]
    reason = EXECUTORS[check_choice("executor", executor, EXECUTORS)].why_not(cell, params, xs, control, platform)
    if reason is not None:
        raise DeviceError(f"the {executor} executor cannot run this: {reason}; leave `executor` out or choose scan")
    return executor
