"""The state of training as the trees of a checkpoint, and back."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.training.step import TrainState


def split_state(state: TrainState) -> dict[str, Any]:
    """The trees of a checkpoint: parameters apart, so that they can be read without the rest."""
    return {"params": state.params, "training": state._replace(params=None)}  # pyright: ignore[reportArgumentType]


def join_state(trees: dict[str, Any], fresh: bool = True) -> TrainState:
    """The state back from the trees of a checkpoint.

    What is read from a checkpoint is bound to a device, and what is made afresh is not: the step would be compiled for
    each. So it is copied to arrays like ``fresh`` ones, but on a mesh, where those are bound too.
    """
    state = trees["training"]._replace(params=trees["params"])
    if not fresh:
        return state
    return jax.tree.map(lambda leaf: jnp.array(np.asarray(leaf)), state)
