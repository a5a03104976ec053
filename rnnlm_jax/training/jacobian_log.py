"""The mean log-determinant of the step Jacobians in a training batch, logged with ``log_jacobian``.

``log|det J| / n`` is the mean logarithm, in nats, of the singular values of a step's Jacobian J, with n the size of the
state: the rate at which the volume of the state space shrinks, per dimension and step. Averaged over time it is the
mean of all Lyapunov exponents.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Stack
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jacobians.log_determinant import has_closed_form, step_log_abs_det
from rnnlm_jax.jacobians.trajectory import Trajectory, trajectory
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.training_layers import training_layer
from rnnlm_jax.training.step import step_key
from rnnlm_jax.training.train_state import TrainState

#: Positions of a batch at which a layer's Jacobian is formed and factored, if it has no closed form.
FACTORED = 4


class JacobianLog(Protocol):
    """Measures the step Jacobians in a batch."""

    def __call__(self, state: TrainState, batch: Batch, /) -> Float[Array, " N"]:
        """Return the mean ``log|det ∂s_t/∂s_{t-1}| / n`` of the full state, then of each layer, in nats.

        Args:
            state: the state before the step.
            batch: inputs, targets and mask, ``[T, B]``.
        """
        ...


class LayerRun(NamedTuple):
    """A layer of the model, its inputs, and its states."""

    cell: Cell
    params: Tree
    xs: Float[Array, "T *B D"]
    states: Trajectory
    zs: Float[Array, "T *B GH"]


def make_jacobian_log(model: LanguageModel, seed: int, *, carries_state: bool) -> JacobianLog:
    """Return the compiled measurement of the step Jacobians.

    The mean is over the batch's tokens, with the parameters and the dropout that the step will use. The Jacobian of the
    full state is block triangular by layers, so its log-determinant is the sum of theirs. Layers without a closed form
    are measured at ``FACTORED`` of the tokens, evenly spaced in time.

    Args:
        model: the model.
        seed: seed of dropout.
        carries_state: whether a batch continues the one before, as for the training step.

    Raises:
        ConfigError: if the model has no recurrent part, or has state dropout.
    """
    if not model.cell.spec.output_size:
        raise ConfigError("`log_jacobian` measures the recurrent part, and this model has none: leave it out")
    if model.dropout.state:
        raise ConfigError(
            "`log_jacobian` cannot measure cells with `dropout_state`, which differ between sequences: leave one of "
            "them out"
        )

    @jit
    def means(
        params: LanguageModelParams, before: Tree, step: Array, batch: Batch, positions: Int[Array, "2 P"]
    ) -> Array:
        sizes, values = [], []
        for run in layer_runs(model, params, before, jnp.asarray(batch.inputs), key=step_key(model, seed, step)):
            sizes.append(state_size(run.cell))
            values.append(_mean_log_det(run, jnp.asarray(batch.mask), positions))
        log_dets, n = jnp.stack(values), jnp.asarray(sizes, values[0].dtype)
        return jnp.concatenate([log_dets.sum(keepdims=True) / n.sum(), log_dets / n])

    def jacobian_log(state: TrainState, batch: Batch) -> Array:
        before = state.model_state if carries_state else model.initial_state((batch.inputs.shape[1],))
        return means(state.params, model.cell_state(before), state.step, batch, measured_positions(batch.mask))

    return jacobian_log


def jacobian_figures(log_dets: Float[np.ndarray, " N"]) -> dict[str, float | list[float]]:
    """Return the measurements as fields of a line of metrics, in nats per dimension of the state and step."""
    total, *layers = map(float, log_dets)
    return {"jacobian_log_det": total} | ({"jacobian_log_det_layers": layers} if len(layers) > 1 else {})


def layer_runs(
    model: LanguageModel, params: LanguageModelParams, before: Tree, inputs: Int[Array, "T *B"], *, key: Key | None
) -> list[LayerRun]:
    """Return each layer of the model, the lowest first, with the states that a training step or an evaluation computes.

    Args:
        model: the model.
        params: its parameters.
        before: the recurrent state before the inputs.
        inputs: the token ids.
        key: the key of the step, for dropout; None: no dropout.
    """
    runs: list[LayerRun] = []

    def run(cell: Cell, params: Tree, state: Tree, xs: Array) -> Array:
        if isinstance(cell, Stack):
            passed = None
            for k, layer in enumerate(cell.layers):
                hs = run(layer, params[k], state[k], xs if passed is None else passed.below)
                passed = cell.passed(hs, passed)
            assert passed is not None
            return passed.output
        cell, params, xs = training_layer(model.dropout, len(runs), key, cell, params, xs)
        zs = cell.input_projection(params, xs)
        runs.append(LayerRun(cell, params, xs, trajectory(cell, params, state, zs), zs))
        return cell.output(params, runs[-1].states.after, zs)

    inputs = model.dropout.replace_words(key, inputs)
    xs = model.dropout.embedded(key, model.embed(params, inputs), inputs, model.vocab_size)
    run(model.cell, model.dropout.cell_params(key, model.cell, params.cell), before, xs)
    return runs


def measured_positions(mask: Bool[np.ndarray, "T B"]) -> Int[np.ndarray, "2 P"]:
    """Return times and sequences of ``FACTORED`` unmasked tokens, evenly spaced from the first in time to the last."""
    tokens = np.argwhere(mask)
    if not len(tokens):  # the mean over no tokens is NaN, whatever the positions
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
