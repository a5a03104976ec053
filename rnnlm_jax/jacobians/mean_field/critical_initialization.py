"""Initialisers at which gradients of a wide Elman network neither vanish nor explode on average."""

import math

from rnnlm_jax.arrays.gaussian_averages import gaussian_mean
from rnnlm_jax.cells.cell import check_choice, check_positive
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.cells.initializers import scaled_gaussian, scaled_orthogonal
from rnnlm_jax.jacobians.mean_field.nonlinearities import NONLINEARITIES
from rnnlm_jax.jacobians.mean_field.singular_values import MATRICES


def critical_gain(activation: str = "tanh", *, bias_variance: float = 0.0, input_variance: float = 0.0) -> float:
    """Return the g at which ``χ = g² ⟨φ'²⟩`` is 1 in the stationary state of an Elman network.

    The stationary variance q is the root of ``(q - σ²) ⟨φ'²⟩ = ⟨φ²⟩``, with the sum σ² of both variances.
    Without them it is ``1/|φ'(0)|`` for tanh, the identity and relu (√2: half of its slopes are 0). With the identity
    and relu q grows without bound as g nears the critical one.

    Args:
        activation: φ: "identity", "sigmoid", "tanh" or "relu".
        bias_variance: σ_b².
        input_variance: σ_x², of ``x_t W_x``.

    Raises:
        ArgumentError: for an unknown activation, or a variance that is negative or not finite.
    """
    phi = NONLINEARITIES[check_choice("activation", activation, NONLINEARITIES)]
    for name, value in {"bias_variance": bias_variance, "input_variance": input_variance}.items():
        check_positive(name, value, or_zero=True)
    fixed = bias_variance + input_variance

    def slopes(q: float) -> float:
        return gaussian_mean(lambda x: phi.slope(x) ** 2, q)

    if activation in ("identity", "relu") or (activation == "tanh" and fixed == 0):
        return 1 / math.sqrt(slopes(0.0))

    def excess(q: float) -> float:
        return (q - fixed) * slopes(q) - gaussian_mean(lambda x: phi.value(x) ** 2, q)

    low, high = fixed, fixed + 1
    while excess(high) < 0:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return 1 / math.sqrt(slopes(high))


def critical_init(
    activation: str = "tanh", matrix: str = "orthogonal", *, bias_variance: float = 0.0, input_variance: float = 0.0
) -> Initializer:
    """Return the initialiser of a critical ``w_h``, for ``cells.elman(…, recurrent_init=…)``.

    The mean squared norm of a gradient then stays the same from step to step; single directions still grow and shrink,
    with a spread of squared singular values that rises with the number of steps, less with an orthogonal matrix.

    Args:
        activation: φ of the cell.
        matrix: "orthogonal", or "gaussian" with independent entries; both times ``critical_gain``.
        bias_variance: σ_b²; 0 for cells that start with biases of 0.
        input_variance: σ_x², the variance of ``x_t W_x`` over units and steps.

    Raises:
        ArgumentError: for another matrix, and as ``critical_gain``.
    """
    check_choice("matrix", matrix, MATRICES)
    gain = critical_gain(activation, bias_variance=bias_variance, input_variance=input_variance)
    return scaled_orthogonal(gain) if matrix == "orthogonal" else scaled_gaussian(gain)
