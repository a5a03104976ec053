"""Mean-field theory of wide random networks, to draw over what is measured.

    theory = mean_field.elman(gain=1.5, input_variance=0.1)
    theory.variance, theory.chi, theory.largest_exponent, theory.correlation_length
    mean_field.singular_density(theory, depth=4)

Everything is computed on the host, in NumPy float64, from averages over normal variables.

=============================================  =========================================================================
function                                       what it returns
=============================================  =========================================================================
``elman``                                      q*, χ, c*, correlation length, exponents of an Elman network, with input
``variance_map``, ``correlation_map``          the two maps from one step to the next
``fixed_variance``, ``decay_length``           q* of a given φ; steps over which a factor makes an e-fold change
``singular_moments``, ``singular_density``     of an Elman network's Jacobian, and of products of ℓ of them
``gru``, ``lstm``                              a fixed point: E[h²], stability, moments and singular values of J
``minimalrnn``, ``minimal_correlation_map``    Q*, χ and the correlation map of a minimalRNN
``critical_gain``, ``critical_init``           the g at which χ is 1, and an initialiser with it
``gaussian_mean``, ``gaussian_product_mean``   averages over one normal variable, or two correlated ones
=============================================  =========================================================================
"""

from rnnlm_jax.arrays.gaussian_averages import gaussian_mean, gaussian_product_mean, normal_rule
from rnnlm_jax.jacobians.mean_field.critical_initialization import critical_gain, critical_init
from rnnlm_jax.jacobians.mean_field.gated_networks import GatedFixedPoint, gru, lstm
from rnnlm_jax.jacobians.mean_field.minimal_gate import MinimalNetwork, minimal_correlation_map, minimalrnn
from rnnlm_jax.jacobians.mean_field.nonlinearities import NONLINEARITIES, Nonlinearity
from rnnlm_jax.jacobians.mean_field.simple_network import (
    SimpleNetwork,
    correlation_map,
    decay_length,
    elman,
    fixed_variance,
    variance_map,
)
from rnnlm_jax.jacobians.mean_field.singular_values import (
    SingularDensity,
    SingularMoments,
    singular_density,
    singular_moments,
)
from rnnlm_jax.jacobians.mean_field.step_law import StepLaw

__all__ = [
    "NONLINEARITIES",
    "GatedFixedPoint",
    "MinimalNetwork",
    "Nonlinearity",
    "SimpleNetwork",
    "SingularDensity",
    "SingularMoments",
    "StepLaw",
    "correlation_map",
    "critical_gain",
    "critical_init",
    "decay_length",
    "elman",
    "fixed_variance",
    "gaussian_mean",
    "gaussian_product_mean",
    "gru",
    "lstm",
    "minimal_correlation_map",
    "minimalrnn",
    "normal_rule",
    "singular_density",
    "singular_moments",
    "variance_map",
]
