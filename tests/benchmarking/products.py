"""FLOPs of a function's matrix products, counted in its program: an independent check of analytic counts."""

import math

import jax
from jax.extend.core import jaxprs_in_params


def products(function, *arguments):
    """Return the floating-point operations of all matrix products, times the number of steps for those in a scan."""
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr):
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += times * sum(map(_count, jaxprs_in_params(equation.params)))
    return total
