"""The executors by name, and which of them runs a cell unless its caller says so."""

from collections.abc import Callable
from dataclasses import dataclass

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell, check_choice
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.cudnn import cudnn, cudnn_refuses
from rnnlm_jax.unroll.native import native, native_refuses
from rnnlm_jax.unroll.scan import scan
from rnnlm_jax.unroll.structured import structured

RefusesFn = Callable[[Cell, Tree, Float[Array, "T B D"], Control, str], str | None]


def never(cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str) -> None:
    """The reason of an executor that runs every cell everywhere: none."""


@dataclass(frozen=True)
class Executor:
    """A way to run one cell over time; all of them mean what ``scan`` does.

    ``run`` has the arguments and results of ``scan``. ``refuses(cell, params, xs, control, platform)`` says why it
    cannot run something, as the end of a sentence, or None; it reads shapes and dtypes only.
    """

    run: Callable[..., tuple[Tree, Float[Array, "T B H"]]]
    refuses: RefusesFn = never


EXECUTORS: dict[str, Executor] = {
    "scan": Executor(scan),
    "structured": Executor(structured),
    "native": Executor(native, native_refuses),
    "cudnn": Executor(cudnn, cudnn_refuses),
}

#: What is tried first on a platform, as ``jax.default_backend()`` names it. Not cuDNN: jax's binding of it has neither
#: ``vmap`` nor forward mode, so it runs for those who ask for it.
FASTEST = {"cpu": "native"}

#: The rest, by whether the cell splits. Forward and backward on two CPU cores, structured beside scan at five shapes:
#: LSTM 0.6 to 0.9 of the time, Elman 0.5 to 0.8, GRU 0.7 to 1.1; layer-normalised LSTM 0.8 (batch 1) to 1.2.
OTHERWISE = {True: "structured", False: "scan"}


def choose_executor(
    cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str, asked: str | None = None
) -> str:
    """The name of the executor that runs a cell: the one asked for, or the fastest that the platform has for it.

    Args:
        cell: one cell, not a stack or a pair.
        params: its parameters.
        xs: its inputs; of these arrays only shapes and dtypes are read.
        control: masks and resets.
        platform: what the program will run on, such as ``jax.default_backend()``.
        asked: the executor that a caller wants.

    Raises:
        UserError: if there is no executor of the name that is asked for, or it refuses.
    """
    if asked is None:
        fastest = FASTEST.get(platform)
        if fastest is not None and EXECUTORS[fastest].refuses(cell, params, xs, control, platform) is None:
            return fastest
        return OTHERWISE[cell.splits]
    reason = EXECUTORS[check_choice("executor", asked, EXECUTORS)].refuses(cell, params, xs, control, platform)
    if reason is not None:
        raise UserError(f"the {asked} executor cannot run this: {reason}; leave executor out or choose scan")
    return asked
