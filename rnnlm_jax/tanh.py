"""The hyperbolic tangent, with a derivative that saturation leaves exact in reverse mode too."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array


@jax.custom_jvp
def tanh(x: Array) -> Array:
    """``tanh x``, elementwise, with the derivative ``(1 - tanh x)(1 + tanh x) dx``.

    The rule of ``jnp.tanh`` is ``(dx + dx tanh x)(1 - tanh x)``. Where ``tanh x`` rounds to -1, its transpose adds
    ``2 g`` to the cotangent of x and takes it off again, and what else was in there is lost below ``2 ε |g|``
    (jax-ml/jax#40315): an LSTM's cell that is saturated passes no small gradient on in the scan, and second derivatives
    may come out as 0. Here the factor of ``dx`` is one number, which is 0 there.
    """
    return jnp.tanh(x)


@tanh.defjvp
def _tanh_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value = tanh(primals[0])
    return value, tangents[0] * ((1 - value) * (1 + value))
