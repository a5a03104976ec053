"""The mean log-determinant of the step Jacobians in a window of training, a line of metrics (``--log-jacobian``).

``log|det J| / n`` is the mean logarithm, in nats, of a step's singular values: how much the state's volume shrinks a
dimension and a step. Summed over time it is the mean of all Lyapunov exponents.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Stack
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.log_determinant import has_closed_form, step_log_abs_det
from rnnlm_jax.jacobians.state_vector import state_size
from rnnlm_jax.jacobians.trajectory import Trajectory, trajectory
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams
from rnnlm_jax.training.step import TrainState, step_key

#: Positions of a batch at which a layer's matrix is formed and factored, if it has no closed form.
FACTORED = 4

JacobianLog = Callable[[TrainState, Batch], Float[Array, " 1+layers"]]


class LayerRun(NamedTuple):
    """A single layer on its way through a window."""

    cell: Cell
    params: Tree
    states: Trajectory
    zs: Float[Array, "T B GH"]


def make_jacobian_log(model: LanguageModel, seed: int, carries_state: bool) -> JacobianLog:
    """``(state before the step, batch) -> mean log|det ∂s_t/∂s_{t-1}| / n``: of the full state, then of each layer.

    The mean is over the batch's tokens, with the parameters and the dropout that the step will use. The full state's
    Jacobian is block triangular by layers, so its log-determinant is the sum of theirs. A layer without a closed form
    is measured at ``FACTORED`` of the tokens, spread over the window.

    Args:
        model: the model.
        seed: of dropout.
        carries_state: whether a batch goes on where the last one ended, as for the step.

    Raises:
        UserError: if the model has no recurrent part.
    """
    if not model.cell.spec.output_size:
        raise UserError("--log-jacobian measures the recurrent part, and this model has none: leave it out")

    @jit
    def means(
        params: LanguageModelParams, before: Tree, step: Array, batch: Batch, positions: Int[Array, "2 P"]
    ) -> Array:
        sizes, values = [], []
        for run in layer_runs(model, params, before, jnp.asarray(batch.inputs), step, seed):
            sizes.append(state_size(run.cell))
            values.append(_mean_log_det(run, jnp.asarray(batch.mask), positions))
        log_dets, n = jnp.stack(values), jnp.asarray(sizes, values[0].dtype)
        return jnp.concatenate([log_dets.sum(keepdims=True) / n.sum(), log_dets / n])

    def jacobian_log(state: TrainState, batch: Batch) -> Array:
        before = state.model_state if carries_state else model.initial_state((batch.inputs.shape[1],))
        return means(state.params, model.cell_state(before), state.step, batch, spread(batch.mask))

    return jacobian_log


def jacobian_figures(log_dets: Float[np.ndarray, " 1+layers"]) -> dict[str, float | list[float]]:
    """What a line of metrics says of them, in nats per dimension of the state and step."""
    total, *layers = map(float, log_dets)
    return {"jacobian_log_det": total} | ({"jacobian_log_det_layers": layers} if len(layers) > 1 else {})


def layer_runs(
    model: LanguageModel,
    params: LanguageModelParams,
    before: Tree,
    inputs: Int[Array, "T B"],
    step: Int[Array, ""],
    seed: int,
) -> list[LayerRun]:
    """Each layer of the model, the lowest first, on the way that a step of training will take it."""
    key, runs = step_key(model, seed, step), []

    def run(cell: Cell, params: Tree, state: Tree, xs: Array) -> Array:
        if isinstance(cell, Stack):
            for k, layer in enumerate(cell.layers):
                hs = run(layer, params[k], state[k], xs)
                xs = hs + xs if cell.residual and k > 0 else hs
            return xs
        xs = model.dropout.layer_input(len(runs), key, xs)
        zs = cell.input_projection(params, xs)
        runs.append(LayerRun(cell, params, trajectory(cell, params, state, zs), zs))
        return cell.readout(params, runs[-1].states.after)

    run(model.cell, params.cell, before, model.embed(params, inputs))
    return runs


def spread(mask: Bool[np.ndarray, "T B"]) -> Int[np.ndarray, "2 P"]:
    """Time and sequence of ``FACTORED`` tokens that count, from the first in time to the last."""
    tokens = np.argwhere(mask)
    if not len(tokens):  # a mean over nothing is NaN, whichever positions are taken
        return np.zeros((2, FACTORED), np.int32)
    return tokens[np.linspace(0, len(tokens) - 1, FACTORED).round().astype(int)].T.astype(np.int32)


def _mean_log_det(run: LayerRun, mask: Bool[Array, "T B"], positions: Int[Array, "2 P"]) -> Float[Array, ""]:
    states, zs = run.states.before, run.zs
    if not has_closed_form(run.cell):
        time, sequence = positions
        states, zs, mask = jax.tree.map(lambda a: a[time, sequence], (states, zs, mask))
    values = step_log_abs_det(run.cell, run.params, states, zs)
    counted = jnp.where(mask, values, jnp.zeros((), values.dtype))  # -inf stays -inf
    return counted.sum() / mask.sum(dtype=jnp.int32).astype(values.dtype)
