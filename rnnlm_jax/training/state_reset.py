"""States that streams of training forget at random, so that a model learns to start from its initial state."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Key, Tree
from rnnlm_jax.cells.cell_functions import StateFn
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.unroll.control import select

#: Folded into a step's key for these draws; dropout, losses and regularisers fold other numbers into it.
STATE_RESET = 2**32 - 11


def check_state_reset(probability: float, *, carries_state: bool) -> None:
    """Check the probability of a reset.

    Args:
        probability: the probability.
        carries_state: whether batches carry states on.

    Raises:
        ArgumentError: if it is not in [0, 1], or above 0 where every batch starts from the initial state anyway.
    """
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise ArgumentError(f"`state_reset_probability` must be from 0 to 1, not {probability!r}")
    if probability and not carries_state:
        raise ArgumentError(
            "`state_reset_probability` is for streams, which carry their states on; sentences always start from the "
            "initial state: leave it out"
        )


def with_resets(probability: float, key: Key | None, state: Tree, initial_state: StateFn, sequences: int) -> Tree:
    """Return the state with the initial one in place of that of each sequence, with a probability.

    Melis, Dyer & Blunsom 2018 lose the states of 1 % of the sequences so: a validation or test text begins with the
    initial state, and a model of long streams would see it once an epoch.

    Args:
        probability: the probability; 0: the state as it is.
        key: key of the step; None only if the probability is 0.
        state: states of all sequences, the batch axis first.
        initial_state: ``(batch_shape) -> state``.
        sequences: B.
    """
    if probability == 0:
        return state
    assert key is not None
    # Drawn in float32: the same key resets the same sequences with and without JAX_ENABLE_X64.
    rate = jnp.asarray(probability, jnp.float32)
    is_reset = jax.random.bernoulli(jax.random.fold_in(key, STATE_RESET), rate, (sequences,))
    return select(is_reset, initial_state((sequences,)), state)
