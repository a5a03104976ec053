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

import importlib
from typing import TYPE_CHECKING, Any

from rnnlm_jax import cells
from rnnlm_jax.compilation import warn_of_faulty_jaxlib
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll import unroll
from rnnlm_jax.version import __version__

__all__ = ["UserError", "__version__", "cells", "unroll"]

#: Public modules that are imported on first use, such as ``rnnlm_jax.jacobians``.
_MODULES = (
    "benchmarking",
    "config",
    "data",
    "evaluation",
    "inputs",
    "interop",
    "jacobians",
    "jobs",
    "kernels",
    "language_model",
    "ngrams",
    "outputs",
    "plotting",
    "presets",
    "training",
)


def __dir__() -> list[str]:
    """Return the public names, those of modules that are not yet imported included."""
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})


if not TYPE_CHECKING:  # for type checkers write: from rnnlm_jax import jacobians

    def __getattr__(name: str) -> Any:
        """Import a public module on first use."""
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


warn_of_faulty_jaxlib()
