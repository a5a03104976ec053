"""Jacobians of a cell through time: step Jacobians, their products, spectra, Lyapunov exponents, gradients by lag.

``s_t`` is the full recurrent state after t steps, as one vector of size n (H for an Elman cell or GRU, 2H for an LSTM:
hidden, then cell); ``J_t = ∂s_t/∂s_{t-1}``, with outputs in rows. A lag is a number of steps ``ℓ = i - j``. Logarithms
are natural, in nats. T is the number of steps. Functions of a sequence take ``(cell, params, state, xs)`` with
``state = s_0``; further arguments are keyword-only.

Costs are of one sequence of T steps, or of one step for the functions of a step.

==============================  ====================================================================  ================
function                        what it returns                                                       cost
==============================  ====================================================================  ================
``step_jacobian``               ``J_t`` as a matrix                                                   O(n H) [1]_
``step_operator``               the products ``J_t v`` and ``J_tᵀ u``                                 a step each
``step_log_abs_det``            ``ln|det J_t|``                                                       O(H) or O(n³) [2]_
``products``                    ``∂s_ℓ/∂s_0`` at every lag                                            O(T n³)
``products_to_end``             ``∂s_T/∂s_{T-ℓ}`` at every lag                                        O(T n³)
``state_product``               ``∂s_i/∂s_j``                                                         O(T n³)
``input_jacobian``              ``∂s_t/∂x_t``                                                         D steps
``output_jacobian``             ``∂h_t/∂s_t``, of outputs or of logits                                K readouts
``input_to_state``              ``∂s_i/∂x_j``                                                         O(T n² D)
``input_to_output``             ``∂h_i/∂x_j``                                                         O(T n² D)
``state_to_output``             ``∂h_i/∂s_j``                                                         O(T n³)
``select``, ``part_of``         a block of a product, such as ``∂h_i/∂c_j``
``spectrum``                    all ``ln σ_k`` of ``∂s_ℓ/∂s_0``, each with an error bound             O(T n³) [2]_
``product_spectrum``            the same for a product of given matrices                              O(T n³)
``top_singular``                the k largest singular values and vectors, without matrices           O(k) passes
``singular_vectors``            leading singular vectors at every lag, and their alignment            O(T n³)
``eigenvalue_moduli``           all ``ln|λ_k|`` of ``∂s_T/∂s_0``                                      O(T n³) a round
``log_eigenvalue_moduli``       the same for a product of given matrices                              O(T n³) a round
``lyapunov_spectrum``           the k largest Lyapunov exponents, with standard errors                O(T n² k) [2]_
``lyapunov_of_matrices``        the same for given matrices                                           O(T n² k)
``finite_time_exponents``       the exponents of each window of time                                  O(T n² k) [2]_
``covariant_vectors``           covariant Lyapunov vectors and their growth                           O(T n² k)
``covariant_of_matrices``       the same for given matrices                                           O(T n² k)
``kaplan_yorke_dimension``      the dimension of the attractor, from Lyapunov exponents
``gradient_flossing``           sum of squared Lyapunov exponents, a regulariser                      O(T n² k)
``gradient_by_lag``             log norms of ``∂E_i/∂s_{i-ℓ}`` and ``∂E_i/∂x_{i-ℓ}``                  O(T H²)
``state_cotangents``            ``∂E/∂s_t`` at every step                                             O(T H²)
``pascanu_omega``               the regulariser of Pascanu et al. (2013)                              O(T H²)
``decay_rates``                 bounds on gradients that follow from the weights alone                O(H³) once
``fixed_points``, ``distinct``  solutions of ``s = step(s, x)``, by Newton's method                   O(n³) a step
``slow_points``                 local minima of the speed ``‖step(s, x) - s‖``, by L-BFGS              O(H²) a step
``fixed_point_eigenvalues``     eigenvalues of ``J`` at them                                          O(n³)
``eigenbasis``, ``power``       powers of the constant Jacobian of a linear recurrence                O(n³)
``log_component_moduli``        the log growth of each component in that basis                        O(n)
``hessian_eigenvalues``         extreme eigenvalues of the Hessian of a loss                          Lanczos
``controlled``                  a cell and inputs with masks, lengths and resets for all of these
``from_step``                   a cell from a plain function ``step(params, state, x)``
``state_size``                  n
==============================  ====================================================================  ================

.. [1] for a cell with ``recurrent_projection`` and ``update``, after O(n H²) once; O(n H²) for any other cell; for one
   that declares blocks of m numbers, m tangents through one step and n² numbers.
.. [2] for a cell that declares a diagonal Jacobian, O(n) a step; for N blocks of m numbers, O(N m³) a step and m
   tangents through it. Stacks, and cells that declare no structure (``facts.jacobian``), have the costs of the table.

Spectra have a bound on the error of each value (``error``, in nats) and say which values have a bound within the
tolerance (``trusted``), see ``ProductSpectrum``.

Modules behind them: ``arithmetic`` (float64, separate exponents, integers of any length), ``graded`` (products that
keep small singular values, and their derivatives), ``certificate`` (error bounds, and which values are trusted).
``mean_field`` is what theory says of wide random networks.
"""

from rnnlm_jax.cells.from_step import from_step
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.jacobians.bounds import DecayRates, decay_rates
from rnnlm_jax.jacobians.certificate.certified_spectrum import ProductSpectrum
from rnnlm_jax.jacobians.controlled import Controlled, controlled
from rnnlm_jax.jacobians.covariant_vectors import CovariantVectors, covariant_of_matrices, covariant_vectors
from rnnlm_jax.jacobians.eigenvalues import EigenvalueModuli, eigenvalue_moduli, log_eigenvalue_moduli
from rnnlm_jax.jacobians.finite_time_exponents import finite_time_exponents
from rnnlm_jax.jacobians.fixed_points import FixedPoints, distinct, fixed_point_eigenvalues, fixed_points
from rnnlm_jax.jacobians.gradient_by_lag import GradientByLag, gradient_by_lag
from rnnlm_jax.jacobians.gradient_flossing import gradient_flossing
from rnnlm_jax.jacobians.hessian_eigenvalues import HessianEigenvalues, hessian_eigenvalues
from rnnlm_jax.jacobians.input_output import (
    input_jacobian,
    input_to_output,
    input_to_state,
    output_jacobian,
    state_to_output,
)
from rnnlm_jax.jacobians.linear_powers import Eigenbasis, eigenbasis, log_component_moduli, power
from rnnlm_jax.jacobians.log_determinant import step_log_abs_det
from rnnlm_jax.jacobians.lyapunov import (
    LyapunovSpectrum,
    kaplan_yorke_dimension,
    lyapunov_of_matrices,
    lyapunov_spectrum,
)
from rnnlm_jax.jacobians.pascanu_regularizer import pascanu_omega
from rnnlm_jax.jacobians.product_spectrum import product_spectrum
from rnnlm_jax.jacobians.products import ScaledMatrix, part_of, products, products_to_end, select, state_product
from rnnlm_jax.jacobians.singular_vectors import SingularVectors, singular_vectors
from rnnlm_jax.jacobians.slow_points import SlowPoints, slow_points
from rnnlm_jax.jacobians.spectrum import spectrum
from rnnlm_jax.jacobians.state_cotangents import state_cotangents
from rnnlm_jax.jacobians.step_jacobian import StepOperator, step_jacobian, step_operator
from rnnlm_jax.jacobians.top_singular import TopSingular, top_singular

__all__ = [
    "Controlled",
    "CovariantVectors",
    "DecayRates",
    "Eigenbasis",
    "EigenvalueModuli",
    "FixedPoints",
    "GradientByLag",
    "HessianEigenvalues",
    "LyapunovSpectrum",
    "ProductSpectrum",
    "ScaledMatrix",
    "SingularVectors",
    "SlowPoints",
    "StepOperator",
    "TopSingular",
    "controlled",
    "covariant_of_matrices",
    "covariant_vectors",
    "decay_rates",
    "distinct",
    "eigenbasis",
    "eigenvalue_moduli",
    "finite_time_exponents",
    "fixed_point_eigenvalues",
    "fixed_points",
    "from_step",
    "gradient_by_lag",
    "gradient_flossing",
    "hessian_eigenvalues",
    "input_jacobian",
    "input_to_output",
    "input_to_state",
    "kaplan_yorke_dimension",
    "log_component_moduli",
    "log_eigenvalue_moduli",
    "lyapunov_of_matrices",
    "lyapunov_spectrum",
    "output_jacobian",
    "part_of",
    "pascanu_omega",
    "power",
    "product_spectrum",
    "products",
    "products_to_end",
    "select",
    "singular_vectors",
    "slow_points",
    "spectrum",
    "state_cotangents",
    "state_product",
    "state_size",
    "state_to_output",
    "step_jacobian",
    "step_log_abs_det",
    "step_operator",
    "top_singular",
]
