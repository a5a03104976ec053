"""Zoneout: units of the state that keep their previous value at random steps."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_rate
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.errors import ArgumentError

#: Zoneout rate of each part of a state, by the name of its field.
Rates = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Zoneout(Cell[Any, Any]):
    """A cell with zoneout as it is evaluated, by its expectation; ``sampled`` is the cell that is trained.

    Both have the parameters and the state of the cell without zoneout.
    """

    sampled: Cell = field(kw_only=True)
    """The cell with masks. Its inputs are ``add_masks(xs, masks)``, so that a step draws no random numbers."""
    rates: Rates = field(kw_only=True)
    """The zoneout rate of each part of the state that has one."""

    def draw_masks(self, key: Key, batch_shape: tuple[int, ...]) -> Bool[Array, "*B M"]:
        """Draw which units keep their previous value, for M units of all parts with a rate.

        Args:
            key: random key.
            batch_shape: axes of the inputs before the features, ``(T, B)``.
        """
        widths = _widths(self, self.rates)
        # Always float32: the same key draws the same mask with and without JAX_ENABLE_X64.
        rates = np.repeat(np.array([rate for _, rate in self.rates], np.float32), widths)
        draws = jax.random.uniform(key, (*batch_shape, sum(widths)), jnp.float32)
        return draws < jnp.broadcast_to(jnp.asarray(rates), draws.shape)


def add_masks(xs: Float[Array, "*B D"], masks: Bool[Array, "*B M"]) -> Float[Array, "*B D+M"]:
    """Return the inputs of ``Zoneout.sampled``: features, then masks as numbers, 1 where a unit keeps its value."""
    return jnp.concatenate([xs, masks.astype(xs.dtype)], axis=-1)


def zoneout(cell: Cell, /, **rates: float) -> Zoneout:
    """Return a cell with zoneout (Krueger et al. 2017, eqs. 2-4).

    With ``s̃_t`` the state that the cell computes from ``s_{t-1}``, each part of the state with a rate p is

        s_t = m_t s_{t-1} + (1 - m_t) s̃_t,   m_t ~ Bernoulli(p) for each unit and step,    in ``sampled``,
        s_t = p s_{t-1} + (1 - p) s̃_t,                                                 in the cell itself.

    All of ``s̃_t`` is computed before any part is mixed, so that an LSTM's h̃_t reads c̃_t, as in the paper. Draw masks
    for a whole sequence, and give them to the sampled cell beside the inputs:

        masks = cell.draw_masks(key, xs.shape[:-1])
        state, hs = unroll(cell.sampled, params, state, add_masks(xs, masks))

    Args:
        cell: one layer; give the layers of a stack one by one.
        **rates: zoneout rate of each part of the state by its name, ``hidden=0.05, cell=0.5`` for an LSTM; a part that
            is not named is not zoned out.

    Raises:
        ArgumentError: if the state has no part of that name, or a rate is not in [0, 1).
    """
    return _zoneout(cell, tuple(sorted(rates.items())))


@cell_factory
def _zoneout(cell: Cell, rates: Rates) -> Zoneout:
    _widths(cell, rates)
    for name, rate in rates:
        check_rate(name, rate)
    rates = tuple((name, float(rate)) for name, rate in rates if rate > 0)

    def mixed(before: Tree, after: Tree) -> Tree:
        """Return the expectation of the state over masks."""
        parts = {name: rate * getattr(before, name) + (1.0 - rate) * getattr(after, name) for name, rate in rates}
        return after._replace(**parts)

    def update(params: Tree, state: Tree, z: Array, r: Array) -> Tree:
        assert cell.update is not None
        return mixed(state, cell.update(params, state, z, r))

    def whole_step(params: Tree, state: Tree, z: Array) -> Tree:
        return mixed(state, cell.step(params, state, z))

    return Zoneout(
        spec=_spec(cell, "zoneout", rates),
        init=cell.init,
        initial_state=cell.initial_state,
        input_projection=cell.input_projection,
        readout=cell.readout,
        gated_readout=cell.gated_readout,
        prepare_params=cell.prepare_params,
        recurrent_projection=cell.recurrent_projection,
        update=update if cell.splits else None,
        whole_step=None if cell.splits else whole_step,
        additive=cell.additive,
        sampled=sampled_zoneout(cell, rates),
        rates=rates,
    ).with_facts(_facts(cell))


@cell_factory
def sampled_zoneout(cell: Cell, rates: Rates) -> Cell[Any, Any]:
    """Return ``zoneout(cell, **rates).sampled``, whose inputs hold masks in their last M columns.

    Its ``init`` takes the width of these inputs, D + M.

    Args:
        cell: the cell without zoneout.
        rates: pairs of a part's name and its rate, in the order of their masks.
    """
    widths = _widths(cell, rates)
    columns = sum(widths)

    def split(a: Array) -> tuple[Array, Array]:
        features, masks = jnp.split(a, [a.shape[-1] - columns], axis=-1)
        return features, masks

    def init(key: Key, input_size: int) -> Tree:
        if input_size <= columns:
            raise ArgumentError(f"`input_size` must be above {columns}, the number of columns with masks")
        return cell.init(key, input_size - columns)

    def input_projection(params: Tree, x: Array) -> Array:
        x, masks = split(x)
        z = cell.input_projection(params, x)
        return jnp.concatenate([z, masks.astype(z.dtype)], axis=-1)

    def mixed(before: Tree, after: Tree, masks: Array) -> Tree:
        keep = jnp.split(masks > 0.5, np.cumsum(widths)[:-1].tolist(), axis=-1)
        parts = {
            name: jnp.where(kept.reshape(getattr(after, name).shape), getattr(before, name), getattr(after, name))
            for (name, _), kept in zip(rates, keep, strict=bool(rates))
        }
        return after._replace(**parts)

    def update(params: Tree, state: Tree, z: Array, r: Array) -> Tree:
        assert cell.update is not None
        z, masks = split(z)
        return mixed(state, cell.update(params, state, z, r), masks)

    def whole_step(params: Tree, state: Tree, z: Array) -> Tree:
        z, masks = split(z)
        return mixed(state, cell.step(params, state, z), masks)

    def gated_readout(params: Tree, state: Tree, z: Array) -> Array:
        return cell.output(params, state, split(z)[0])

    return Cell(
        spec=_spec(cell, "sampled-zoneout", rates),
        init=init,
        initial_state=cell.initial_state,
        input_projection=input_projection,
        readout=cell.readout,
        gated_readout=gated_readout if cell.gated_readout is not None else None,
        prepare_params=cell.prepare_params,
        recurrent_projection=cell.recurrent_projection,
        update=update if cell.splits else None,
        whole_step=None if cell.splits else whole_step,
    ).with_facts(_facts(cell))


def _widths(cell: Cell, rates: Rates) -> list[int]:
    """Return how many numbers each part of the state that has a rate consists of.

    Raises:
        ArgumentError: if the state has no such part.
    """
    state = jax.eval_shape(lambda: cell.initial_state(()))
    if not hasattr(state, "_asdict"):
        raise ArgumentError(f"zoneout takes one layer, not a {cell.spec.kind} cell: give it to each layer on its own")
    parts = {name: math.prod(part.shape) for name, part in state._asdict().items() if hasattr(part, "shape")}
    for name, _ in rates:
        if name not in parts:
            raise ArgumentError(
                f"the state of this {cell.spec.kind} cell has no part {name!r} for zoneout: it has {', '.join(parts)}"
            )
    return [parts[name] for name, _ in rates]


def _spec(cell: Cell, suffix: str, rates: Rates) -> CellSpec:
    spec = cell.spec
    variant = (*spec.variant, *((f"zoneout_{name}", rate) for name, rate in rates))
    kind = f"{spec.kind}+{suffix}"
    return CellSpec(kind, spec.hidden_size, spec.output_size, spec.dtype, spec.param_dtype, variant)


def _facts(cell: Cell) -> CellFacts:
    """Return the facts that still hold: each unit also depends on its own previous value, linearly."""
    facts = cell.facts
    return CellFacts(
        is_linear=facts.is_linear,
        jacobian=facts.jacobian,
        blocks=facts.blocks,
        newton_iterations=facts.newton_iterations,
        token_flops=facts.token_flops,
        recurrent_matrices=facts.recurrent_matrices,
    )
