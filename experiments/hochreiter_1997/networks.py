"""The networks of both recipes, with their initial weights and what trains them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.hochreiter_1997.conditions import METHODS, PRESENT_DAY, PUBLISHED, Blocks, Elman, Experiment, Lag
from experiments.hochreiter_1997.memory_blocks import lag_cell, memory_blocks, with_inputs
from experiments.hochreiter_1997.task_variants import by_number, summed
from rnnlm_jax import cells
from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.cells import Cell
from rnnlm_jax.sequence_model import SequenceModel, SequenceParams, model_for
from rnnlm_jax.tasks import Task
from rnnlm_jax.training.frozen_parameters import frozen, without_frozen

#: The networks: an LSTM, and simple recurrent units where the paper has them.
LSTM, ELMAN = "lstm", "elman"


@dataclass(frozen=True)
class PresentDay:
    """The recipe of today, one for all experiments."""

    hidden_size: int = 16
    horizon: int = 1000
    """T of the initial biases of gates: of forget gates ln U(1, T), of input gates the negatives of those."""
    embedding_size: int = 16
    """The width of the vectors of symbols where there are many; elsewhere symbols are one-hot vectors."""
    batch_size: int = 32
    learning_rate: float = 0.01
    clip_norm: float = 1.0
    most: int = 200_000
    """Sequences of training, at most."""
    every: int = 50
    """Steps between two measurements."""


class Network(NamedTuple):
    """A model of an experiment, and what trains it."""

    model: SequenceModel
    task: Task
    """The task with the loss and the inputs that the model takes."""
    init: Callable[[Key], SequenceParams]
    optimizer: optax.GradientTransformation
    learning_rate: float
    batch_size: int
    every: int
    """Steps between two measurements."""
    fixed: str | None = None
    """Patterns of the parameters that are not trained."""

    def count_weights(self) -> int:
        """Return the number of weights that are trained."""
        shapes = jax.eval_shape(self.init, jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(without_frozen(shapes, self.fixed)))


def networks_of(experiment: Experiment) -> list[tuple[str, str]]:
    """Return the methods and networks of an experiment."""
    kinds = (LSTM,) if experiment.elman is None else (LSTM, ELMAN)
    return [(method, kind) for method in METHODS for kind in kinds]


def make_network(experiment: Experiment, method: str, kind: str, present_day: PresentDay) -> Network:
    """Return a network of an experiment, see ``networks_of``."""
    if method == PUBLISHED:
        return _published(experiment, kind)
    return _present_day(experiment, kind, present_day)


def _present_day(experiment: Experiment, kind: str, recipe: PresentDay) -> Network:
    """Return an LSTM whose forget gates are open, or an Elman network, trained by Adam."""
    task = experiment.make_task(PRESENT_DAY)
    cell = cells.elman(recipe.hidden_size)
    if kind == LSTM:
        cell = cells.lstm(recipe.hidden_size)
    embedding_size = None
    if experiment.many_symbols:
        task, embedding_size = by_number(task), recipe.embedding_size
    model = model_for(task, cell, embedding_size=embedding_size)

    def init(key: Key) -> SequenceParams:
        k_model, k_biases = jax.random.split(key)
        params = model.init(k_model)
        if kind == ELMAN:
            return params
        b = chrono_biases(k_biases, params.cell.b, recipe.horizon)
        return params._replace(cell=params.cell._replace(b=b))

    return Network(
        model=model,
        task=task,
        init=init,
        optimizer=optax.chain(optax.clip_by_global_norm(recipe.clip_norm), optax.adam(recipe.learning_rate)),
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        every=recipe.every,
    )


def chrono_biases(key: Key, b: Float[Array, " 4*H"], horizon: int) -> Float[Array, " 4*H"]:
    """Return initial biases of an LSTM's gates i, f, g, o whose units remember from 1 to ``horizon`` steps.

    Forget gates have ``ln u`` with u uniform in [1, horizon), input gates ``-ln u``: Tallec & Ollivier (2018), "Can
    recurrent neural networks warp time?", section 3.
    """
    i, f, g, o = jnp.split(b, 4)
    remembered = jnp.log(jax.random.uniform(key, f.shape, f.dtype, 1.0, horizon))
    return jnp.concatenate([i - remembered, jnp.zeros_like(f) + remembered, g, o])


def _published(experiment: Experiment, kind: str) -> Network:
    """Return the network of the paper, trained by plain gradient descent, one sequence at a time."""
    conditions: Blocks | Lag | Elman = experiment.lstm
    if kind == ELMAN:
        assert experiment.elman is not None
        conditions = experiment.elman
    task = experiment.make_task(PUBLISHED)
    has_biases = isinstance(conditions, Blocks) and conditions.output_biases
    embedding_size, fixed = None, [] if has_biases else ["b"]
    if experiment.many_symbols:
        # W_x is the identity, so that the vectors of symbols are what its rows would be.
        assert isinstance(conditions, Blocks)
        task, embedding_size = by_number(task), conditions.units
        fixed.append("cell.w_x")
    cell = published_cell(conditions, task.input_size)
    model = model_for(summed(task), cell, embedding_size=embedding_size, init_scale=conditions.scale, executor="scan")

    def init(key: Key) -> SequenceParams:
        params = model.init(key)
        own, w = params.cell, params.w
        if isinstance(conditions, Blocks):
            own = own._replace(b=with_gate_biases(own.b, conditions))
        if isinstance(conditions, Lag):
            w = w.at[0].set(0)
        if embedding_size is not None:
            own = own._replace(w_x=jnp.eye(embedding_size, dtype=own.w_x.dtype))
        return params._replace(cell=own, w=w, b=params.b if has_biases else jnp.zeros_like(params.b))

    rule = optax.sgd(conditions.learning_rate)
    if isinstance(conditions, Lag):
        factor = conditions.cell_learning_rate / conditions.learning_rate
        rule = optax.chain(rule, memory_cell_from(conditions.added_after, factor))
    patterns = ",".join(fixed) or None
    return Network(
        model=model,
        task=summed(task),
        init=init,
        optimizer=rule if patterns is None else frozen(rule, patterns),
        learning_rate=conditions.learning_rate,
        batch_size=1,
        every=experiment.every,
        fixed=patterns,
    )


def published_cell(conditions: Blocks | Lag | Elman, input_size: int) -> Cell:
    """Return the recurrent layer of the paper."""
    if isinstance(conditions, Blocks):
        return memory_blocks(conditions.blocks, conditions.size, conditions.biases)
    if isinstance(conditions, Lag):
        return with_inputs(lag_cell(conditions.gate_bias), input_size)
    cell = cells.elman(conditions.units, "sigmoid", bias=False)
    return with_inputs(cell, input_size) if conditions.reads_inputs else cell


def with_gate_biases(b: Array | None, conditions: Blocks) -> Array | None:
    """Return the biases with those of the gates, which are the last ones, as the paper gives them."""
    gates = conditions.blocks
    for first, values in ((-2 * gates, conditions.input_gates), (-gates, conditions.output_gates)):
        if values is not None:
            assert b is not None
            b = b.at[jnp.arange(first, first + gates)].set(jnp.asarray(values, b.dtype))
    return b


def memory_cell_from(step: int, factor: float) -> optax.GradientTransformation:
    """Return the transformation of the updates of a memory cell and of its row of the output weights.

    Args:
        step: up to here they are left alone.
        factor: multiplies them afterwards.
    """

    def init(params: Any) -> Array:
        del params
        return jnp.zeros((), jnp.int32)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Array]:
        del params
        scale = jnp.where(state >= step, factor, 0).astype(updates.w.dtype)
        own = jax.tree.map(lambda u: u * scale, updates.cell)
        return updates._replace(cell=own, w=updates.w.at[0].multiply(scale)), state + 1

    return optax.GradientTransformation(init, update)
