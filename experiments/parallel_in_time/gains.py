"""Random tanh networks ``h_t = tanh(g h_{t-1} G + x_t)``, ``G_ij ~ N(0, 1/n)``, ``x_t ~ N(0, 1)``."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.parallel_in_time.iterations import BLOCKS, DIAGONAL, Advance, iterations_by_length, largest_exponent
from experiments.parallel_in_time.recipe import Recipe
from rnnlm_jax import cells
from rnnlm_jax.cells import ElmanParams
from rnnlm_jax.training.results import environment


def of_gain(gain: float, recipe: Recipe, *, advance: Advance) -> dict[str, Any]:
    """Return the largest exponent and the iterations by length of the network of one gain.

    All gains have the same G and the same inputs.
    """
    n, rng = recipe.units, np.random.default_rng(recipe.seed)
    matrix = rng.normal(size=(n, n)) / math.sqrt(n)
    burn_in = recipe.exponent_steps // 10
    steps = max(max(recipe.lengths), recipe.exponent_steps + burn_in)
    xs = jnp.asarray(rng.normal(size=(steps, n)), jnp.float32)
    cell = cells.elman(n, bias=False)
    params = ElmanParams(jnp.eye(n, dtype=jnp.float32), jnp.asarray(gain * matrix, jnp.float32), None)
    found = {
        jacobian: iterations_by_length(
            cell, params, xs, recipe.lengths, recipe=recipe, jacobian=jacobian, advance=advance
        )
        for jacobian in (BLOCKS, DIAGONAL)
    }
    exponent = largest_exponent(cell, params, xs[: recipe.exponent_steps + burn_in], burn_in=burn_in)
    return {"gain": gain} | exponent | found | {"recipe": recipe.recorded(), "environment": environment()}
