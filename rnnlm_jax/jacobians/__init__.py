"""Jacobians of a cell through time: exact step Jacobians, their products, and what gradients do along the way."""

from rnnlm_jax.jacobians.bounds import DecayRates, decay_rates
from rnnlm_jax.jacobians.controlled import Controlled, controlled
from rnnlm_jax.jacobians.eigenvalues import EigenvalueModuli, eigenvalue_moduli, log_eigenvalue_moduli
from rnnlm_jax.jacobians.fixed_points import FixedPoints, distinct, fixed_point_eigenvalues, fixed_points
from rnnlm_jax.jacobians.flossing import gradient_flossing
from rnnlm_jax.jacobians.gradient_by_lag import GradientByLag, gradient_by_lag
from rnnlm_jax.jacobians.linear_powers import Eigenbasis, eigenbasis, log_component_moduli, power
from rnnlm_jax.jacobians.log_determinant import step_log_abs_det
from rnnlm_jax.jacobians.lyapunov import (
    LyapunovSpectrum,
    kaplan_yorke_dimension,
    lyapunov_of_matrices,
    lyapunov_spectrum,
)
from rnnlm_jax.jacobians.pascanu import pascanu_omega
from rnnlm_jax.jacobians.product_spectrum import ProductSpectrum, product_spectrum
from rnnlm_jax.jacobians.products import ScaledMatrix, part_of, products, products_to_end, select, state_product
from rnnlm_jax.jacobians.spectrum import spectrum
from rnnlm_jax.jacobians.state_cotangents import state_cotangents
from rnnlm_jax.jacobians.state_vector import state_size
from rnnlm_jax.jacobians.step_jacobian import StepOperator, step_jacobian, step_operator
from rnnlm_jax.jacobians.top_singular import TopSingular, top_singular

__all__ = [
    "Controlled",
    "DecayRates",
    "Eigenbasis",
    "EigenvalueModuli",
    "FixedPoints",
    "GradientByLag",
    "LyapunovSpectrum",
    "ProductSpectrum",
    "ScaledMatrix",
    "StepOperator",
    "TopSingular",
    "controlled",
    "decay_rates",
    "distinct",
    "eigenbasis",
    "eigenvalue_moduli",
    "fixed_point_eigenvalues",
    "fixed_points",
    "gradient_by_lag",
    "gradient_flossing",
    "kaplan_yorke_dimension",
    "log_component_moduli",
    "log_eigenvalue_moduli",
    "lyapunov_of_matrices",
    "lyapunov_spectrum",
    "part_of",
    "pascanu_omega",
    "power",
    "product_spectrum",
    "products",
    "products_to_end",
    "select",
    "spectrum",
    "state_cotangents",
    "state_product",
    "state_size",
    "step_jacobian",
    "step_log_abs_det",
    "step_operator",
    "top_singular",
]
