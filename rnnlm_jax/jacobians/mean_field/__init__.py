"""Mean-field theory of wide random networks, to draw over what is measured.

    theory = mean_field.elman(gain=1.5, input_variance=0.1)
    theory.variance, theory.chi, theory.largest_exponent, theory.correlation_length
    mean_field.singular_density(theory, depth=4)

Everything is computed on the host, in NumPy float64, from averages over normal variables.
"""

from rnnlm_jax.jacobians.mean_field.gaussian_averages import gaussian_mean, gaussian_product_mean, normal_rule
from rnnlm_jax.jacobians.mean_field.nonlinearities import NONLINEARITIES, Nonlinearity
from rnnlm_jax.jacobians.mean_field.simple_network import SimpleNetwork, correlation_map, elman, variance_map
from rnnlm_jax.jacobians.mean_field.singular_values import (
    SingularDensity,
    SingularMoments,
    singular_density,
    singular_moments,
)

__all__ = [
    "NONLINEARITIES",
    "Nonlinearity",
    "SimpleNetwork",
    "SingularDensity",
    "SingularMoments",
    "correlation_map",
    "elman",
    "gaussian_mean",
    "gaussian_product_mean",
    "normal_rule",
    "singular_density",
    "singular_moments",
    "variance_map",
]
