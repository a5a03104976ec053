"""All steps of a sequence at once, with masks and resets: states after them, and their Jacobians."""

from dataclasses import dataclass

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_blocks import StateBlocks, state_blocks
from rnnlm_jax.cells.state_jacobian import jacobian_blocks, jacobian_diagonals
from rnnlm_jax.unroll.control import Control, select


@dataclass(frozen=True)
class ControlledStep:
    """The steps ``s_t = f_t(s_{t-1})`` of a sequence, as functions of given states before them.

    A masked step keeps the state, also where it has a reset; a reset replaces the state by the initial one.
    """

    cell: Cell
    control: Control

    @property
    def blocks(self) -> StateBlocks:
        """The blocks of the state."""
        return state_blocks(self.cell)

    def after(self, params: Tree, befores: Tree, zs: Float[Array, "*B GH"]) -> Tree:
        """Return the states after the steps, leaves ``[T, B, ·]`` (any leading axes).

        Args:
            params: the parameters.
            befores: a state before each step.
            zs: the projected inputs.
        """
        after = self.cell.step(params, self.reset(befores), zs)
        return after if self.control.mask is None else select(self.control.mask, after, befores)

    def jacobians(self, params: Tree, befores: Tree, zs: Float[Array, "T B GH"]) -> Float[Array, "T B N m m"]:
        """Return the blocks of ``∂s_t/∂s_{t-1}``: zero at a reset, the identity at a masked step."""
        j = jacobian_blocks(self.cell, params, self.reset(befores), zs)
        return self._controlled(j, jnp.eye(j.shape[-1], dtype=j.dtype))

    def diagonals(self, params: Tree, befores: Tree, zs: Float[Array, "T B GH"]) -> Float[Array, "T B N m"]:
        """Return the diagonals of ``jacobians``."""
        d = jacobian_diagonals(self.cell, params, self.reset(befores), zs)
        return self._controlled(d, jnp.ones((), d.dtype))

    def _controlled(self, derivatives: Array, of_kept: Array) -> Array:
        if self.control.resets is not None:
            derivatives = select(self.control.resets, jnp.zeros_like(derivatives), derivatives)
        if self.control.mask is not None:
            derivatives = select(self.control.mask, derivatives, jnp.broadcast_to(of_kept, derivatives.shape))
        return derivatives

    def reset(self, befores: Tree) -> Tree:
        """Return the states before the steps, the initial one at resets."""
        resets = self.control.resets
        return befores if resets is None else select(resets, self.cell.initial_state(resets.shape), befores)
