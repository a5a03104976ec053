"""Facts that a cell declares about itself, for the executors, the Jacobians and the benchmarks."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell_functions import KernelFn, LogSlopesFn, MaskedKernelFn


class Recurrence(enum.Enum):
    """How a step depends on the state before it."""

    LINEAR = "linear"
    """``s_t = A_t s_{t-1} + b_t``, where ``A_t`` and ``b_t`` do not depend on the state."""
    SEPARABLE = "separable"
    """A linear projection of the state, and an elementwise update."""
    WHOLE_STEP = "whole-step"
    """Any function of the state."""


class JacobianStructure(enum.Enum):
    """Which entries of the step Jacobian ``∂s_t/∂s_{t-1}`` may differ from zero."""

    DIAGONAL = "diagonal"
    """Each number of the state depends on itself only."""
    BLOCK = "block"
    """Numbers of one block depend on each other: the parts of one unit, a row of a matrix, or the units of a head."""
    DENSE = "dense"
    """All of them."""


@dataclass(frozen=True)
class Kernel:
    """A native kernel that runs the cell over time on a CPU, see ``rnnlm_jax.kernels``."""

    params_type: type
    """The NamedTuple of parameters that ``run`` takes."""
    run: KernelFn
    run_masked: MaskedKernelFn | None = None
    """The same with factors of the state that the recurrent product reads; None: it has no such kernel."""


@dataclass(frozen=True)
class LogDeterminant:
    """A closed form of ``log|det ∂s_t/∂s_{t-1}|`` in nats: ``Σ_units log_slopes(…) + log|det recurrent_block|``."""

    log_slopes: LogSlopesFn
    """One term a unit. Of a ``JacobianStructure.DIAGONAL`` with one number a unit, they are ``ln|∂s_k/∂s_k|``."""
    recurrent_block: Callable[[Tree], Float[Array, "H H"]] | None = None
    """Parameters to the matrix whose determinant is a factor; None: without such a factor."""
    null_directions: int = 0
    """How many directions the step maps to zero whatever the parameters; if any, the determinant is zero."""


@dataclass(frozen=True)
class CellFacts:
    """Facts about a cell; where a cell declares nothing, it takes the general path, which holds for every cell."""

    is_linear: bool = False
    """Whether the recurrence is ``Recurrence.LINEAR``."""
    jacobian: JacobianStructure = JacobianStructure.DENSE
    """Structure of the step Jacobian."""
    blocks: int | None = None
    """The number of blocks of a ``JacobianStructure.BLOCK``, as ``StateBlocks`` cuts the state; None: one a unit, H."""
    newton_iterations: int | None = None
    """The number of Newton iterations from any guess that solve a whole sequence exactly; None: it has no bound.

    A linear recurrence needs 1, declared or not. A recurrence that is linear, given states that follow a linear
    recurrence of their own (a convolution over the inputs that feeds gates), needs 2, and so on.
    """
    kernel: Kernel | None = None
    """The native kernel of the whole recurrence."""
    is_cudnn_lstm: bool = False
    """Whether the cell is cuDNN's LSTM: parameters ``w_x, w_h, b`` with gates i, f, g, o, and an ``LSTMState``."""
    log_determinant: LogDeterminant | None = None
    """The closed form of the determinant of the step Jacobian."""
    largest_slope: float | None = None
    """γ, the largest ``|φ'|`` of a simple recurrent network ``s_t = φ(z_t + s_{t-1} w_h)``."""
    token_flops: Callable[[Tree], float] | None = None
    """Parameters, or their shapes, to floating-point operations of one step forward; None: 2 · size of all matrices."""
    recurrent_matrices: tuple[str, ...] | None = None
    """Fields of the parameters with the matrices that only the recurrence reads; (): none; None: not declared."""
