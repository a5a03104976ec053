"""Dropout on the state that enters the recurrent product, with one mask for all steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Key, Tree
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_rate
from rnnlm_jax.cells.cell_facts import CellFacts, Kernel
from rnnlm_jax.cells.combinators import NO_INPUT
from rnnlm_jax.errors import ArgumentError


@serialized
class StateDropoutParams(NamedTuple):
    """Parameters of the cell, and the factor of each number of the state, of the state's shapes ``[*B, ·]``."""

    cell: Tree
    masks: Tree


def check_state_dropout(cell: Cell) -> None:
    """Check that a cell, not a stack or a pair, has a recurrent product whose state can be masked.

    Raises:
        ArgumentError: if it has none, or it is not separate from the rest of the step.
    """
    kind = cell.spec.kind
    if cell.facts.recurrent_matrices == ():
        raise ArgumentError(f"a {kind} cell has no recurrent product, so its state cannot be dropped: use another cell")
    if not cell.splits:
        raise ArgumentError(
            f"a {kind} cell does not split into a recurrent product and an update, so its state cannot be dropped "
            "there: use another cell, or drop recurrent weights"
        )


@cell_factory
def state_dropout(cell: Cell, batch_shape: tuple[int, ...] = ()) -> Cell[StateDropoutParams, Any]:
    """Return a cell whose recurrent product reads a masked state (Gal & Ghahramani 2016, eq. 7; Melis et al. 2018).

        r_t = recurrent_projection(m ⊙ s_{t-1}),    s_t = update(s_{t-1}, z_t, r_t)

    The mask m is the same for all steps, and each sequence has its own. The update reads the state without the mask:
    the cell state of an LSTM, or ``u h_{t-1}`` of a GRU, is not dropped. Masks are part of the parameters, not of the
    state: the product stays linear in the state, and no step copies them. They have no gradient. For evaluation use the
    cell itself.

    Args:
        cell: one layer that splits.
        batch_shape: ``*B`` of the states that will be given.

    Raises:
        ArgumentError: if the cell has no separate recurrent product.
    """
    check_state_dropout(cell)
    assert cell.recurrent_projection is not None
    assert cell.update is not None
    project, update_cell = cell.recurrent_projection, cell.update

    of_one_sequence = jax.eval_shape(lambda: cell.initial_state(()))

    def init(key: Key, input_size: int) -> StateDropoutParams:
        masks = jax.tree.map(jnp.ones_like, cell.initial_state(batch_shape))
        return StateDropoutParams(cell.init(key, input_size), masks)

    def masks_of(params: StateDropoutParams, state: Tree) -> Tree:
        masks = jax.lax.stop_gradient(params.masks)
        return jax.tree.map(lambda s, m, one: _over_time(m, s, one.ndim), state, masks, of_one_sequence)

    def recurrent_projection(params: StateDropoutParams, state: Tree) -> Array:
        return project(params.cell, jax.tree.map(jnp.multiply, state, masks_of(params, state)))

    run_masked = None if cell.facts.kernel is None else cell.facts.kernel.run_masked

    def run_kernel(
        params: StateDropoutParams, state: Tree, xs: Array, step_mask: Array, keep_state: Array, *, reverse: bool
    ) -> tuple[Tree, Tree]:
        assert run_masked is not None
        masks = masks_of(params, state)
        return run_masked(params.cell, state, xs, step_mask, keep_state, masks, reverse=reverse)

    spec, facts, gated = cell.spec, cell.facts, cell.gated_readout is not None
    return Cell(
        spec=CellSpec(
            f"{spec.kind}+state-dropout",
            spec.hidden_size,
            spec.output_size,
            spec.dtype,
            spec.param_dtype,
            spec.variant,
        ),
        init=init,
        initial_state=cell.initial_state,
        input_projection=lambda params, x: cell.input_projection(params.cell, x),
        readout=None if gated else lambda params, state: cell.output(params.cell, state, NO_INPUT),
        gated_readout=(lambda params, state, z: cell.output(params.cell, state, z)) if gated else None,
        prepare_params=lambda params: params._replace(cell=cell.prepare(params.cell)),
        recurrent_projection=recurrent_projection,
        update=lambda params, state, z, r: update_cell(params.cell, state, z, r),
        additive=cell.additive,
    ).with_facts(
        CellFacts(
            is_linear=facts.is_linear,
            jacobian=facts.jacobian,
            blocks=facts.blocks,
            kernel=Kernel(StateDropoutParams, run_kernel) if run_masked is not None else None,
            token_flops=lambda params: cell.token_flops(params.cell),
        )
    )


def draw_state_masks(cell: Cell, rate: float, key: Key, batch_shape: tuple[int, ...]) -> Tree:
    """Draw the masks of ``state_dropout``: 0 with probability ``rate``, and ``1 / (1 - rate)`` otherwise.

    Args:
        cell: the cell.
        rate: dropout rate.
        key: random key.
        batch_shape: ``*B``.

    Raises:
        ArgumentError: if the rate is not in [0, 1).
    """
    keep_rate = 1.0 - check_rate("rate", rate)
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: cell.initial_state(())))
    ends = np.cumsum([leaf.size for leaf in leaves]).tolist()
    # Drawn in float32: the same key draws the same mask with and without JAX_ENABLE_X64.
    keep = jax.random.bernoulli(key, jnp.asarray(keep_rate, jnp.float32), (*batch_shape, ends[-1]))
    parts = jnp.split(keep, ends[:-1], axis=-1)
    masks = [
        part.reshape(*batch_shape, *leaf.shape).astype(leaf.dtype) / keep_rate
        for part, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, masks)


def _over_time(mask: Array, state: Array, axes: int) -> Array:
    """Return a mask ``[*B, ·]`` in the shape of a state ``[*B, ·]`` or ``[T, *B, ·]``, whose ``*B`` may be merged.

    Args:
        mask: the mask.
        state: a part of the state.
        axes: number of its axes for one sequence.
    """
    if state.shape[state.ndim - mask.ndim :] != mask.shape:
        mask = mask.reshape(-1, *mask.shape[mask.ndim - axes :])
    return jnp.broadcast_to(mask, state.shape)
