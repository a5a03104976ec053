"""The executors by name, and the choice of one for a cell."""

from typing import Any

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell, check_choice
from rnnlm_jax.errors import DeviceError
from rnnlm_jax.unroll.associative import Associative, AssociativeBackward
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.cudnn import cudnn, why_not_cudnn
from rnnlm_jax.unroll.executor import Executor, SimpleExecutor, is_executor
from rnnlm_jax.unroll.native import native, why_not_native
from rnnlm_jax.unroll.newton import Newton
from rnnlm_jax.unroll.scan import scan
from rnnlm_jax.unroll.structured import structured

#: Every executor by name, with its default options.
EXECUTORS: dict[str, Executor] = {
    "scan": SimpleExecutor(scan),
    "structured": SimpleExecutor(structured),
    "native": SimpleExecutor(native, why_not_native),
    "cudnn": SimpleExecutor(cudnn, why_not_cudnn),
    "associative": Associative(),
    "associative-backward": AssociativeBackward(),
    "newton": Newton(),
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
    executor: str | Executor | None = None,
) -> str:
    """Return the name of the executor for a cell: the requested one, or the fastest that the platform has for it.

    Args:
        cell: one cell, not a stack or a pair.
        params: its parameters.
        xs: its inputs; only shapes and dtypes of arrays are read.
        control: masks and resets.
        platform: the platform of the program, such as ``jax.default_backend()``.
        executor: the requested executor, one of ``EXECUTORS``, or one with options; None: the fastest.

    Raises:
        ArgumentError: if the requested executor is unknown.
        DeviceError: if it cannot run the cell.
    """
    if executor is None:
        fastest = FASTEST.get(platform)
        if fastest is not None and EXECUTORS[fastest].why_not(cell, params, xs, control, platform) is None:
            return fastest
        return OTHERWISE[cell.splits]
    name = name_of(executor)
    reason = find_executor(executor).why_not(cell, params, xs, control, platform)
    if reason is not None:
        raise DeviceError(f"the {name} executor cannot run this: {reason}; leave `executor` out or choose scan")
    return name


def find_executor(executor: str | Executor) -> Executor:
    """Return the executor of a name, or the executor itself.

    Raises:
        ArgumentError: if it is neither.
    """
    named: Any = executor
    return executor if is_executor(executor) else EXECUTORS[check_choice("executor", named, EXECUTORS)]


def name_of(executor: str | Executor) -> str:
    """Return the name of an executor, also of one with options.

    Raises:
        ArgumentError: if it is neither.
    """
    found = find_executor(executor)
    if isinstance(executor, str):
        return executor
    return next((name for name, known in EXECUTORS.items() if type(known) is type(found)), type(found).__name__)
