"""Recurrent language models as pure functions in JAX.

>>> import jax, jax.numpy as jnp
>>> from rnnlm_jax import cells, unroll
>>> cell = cells.lstm(hidden_size=8)
>>> params = cell.init(jax.random.key(0), input_size=4)
>>> state = cell.initial_state((2,))
>>> final_state, hs = unroll(cell, params, state, jnp.ones((5, 2, 4)))
>>> hs.shape
(5, 2, 8)
"""

from rnnlm_jax import cells
from rnnlm_jax.compilation import warn_of_faulty_jaxlib
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll import unroll
from rnnlm_jax.version import __version__

__all__ = ["UserError", "__version__", "cells", "unroll"]

warn_of_faulty_jaxlib()
