"""Train one cell on one task, all steps of a block in one compiled program, and measure its accuracy by length."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.every_cell import count, group
from rnnlm_jax import cells, tasks
from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.cells import Cell
from rnnlm_jax.compilation import jit
from rnnlm_jax.tasks import Task
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.row_updates import with_promotion
from rnnlm_jax.unroll import unroll


@dataclass(frozen=True)
class Recipe:
    """How each cell is trained and tested."""

    steps: int = 10_000
    """Steps of Adam, whose learning rate falls to zero along half a cosine."""
    seed: int = 0
    batch_size: int = 32
    train_length: int = 40
    """The longest sequences of training; every shorter length is asked, too, as a prefix."""
    test_length: int = 256
    """The longest sequences of the test."""
    test_sequences: int = 512
    hidden_size: int = 64
    learning_rate: float = 0.003
    clip_norm: float = 1.0
    """Gradients with a larger global norm are rescaled to it."""

    @property
    def block(self) -> int:
        """The number of steps in a compiled program: the largest divisor of ``steps`` up to 250."""
        return max(size for size in range(1, 251) if self.steps % size == 0)


class Params(NamedTuple):
    """Parameters of a cell, and of the map ``max(h, 0) W + b`` from its outputs to the answers."""

    cell: Tree
    w: Float[Array, "H K"]
    b: Float[Array, " K"]


class Program(NamedTuple):
    """A cell on a task."""

    init: Callable[[], tuple[Params, Any]]
    """Returns initial parameters and the state of the optimiser."""
    train: Callable[[Params, Any, Int[Array, " N"]], tuple[Params, Any, Float[Array, " N"]]]
    """Makes the steps with these numbers; returns their losses, too."""
    test: Callable[[Params], tuple[Float[Array, " T"], Int[Array, " T"]]]
    """Returns the accuracy at each length from 1 on, and the number of answers that were asked."""


def program(cell: Cell, task: Task, recipe: Recipe) -> Program:
    """Return the functions that train and test a cell on a task."""
    k_cell, k_output, k_train, k_test = jax.random.split(jax.random.key(recipe.seed), 4)
    schedule = optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps)
    rule = optax.chain(optax.clip_by_global_norm(recipe.clip_norm), optax.adam(schedule))
    optimizer = with_promotion(optax.apply_if_finite(rule, max_consecutive_errors=recipe.steps))
    sizes = (cell.spec.output_size, task.output_size)

    def init() -> tuple[Params, Any]:
        w = jax.nn.initializers.glorot_uniform()(k_output, sizes, jnp.float32)
        params = Params(cell.init(k_cell, task.input_size), w, jnp.zeros((task.output_size,), jnp.float32))
        return params, optimizer.init(params)

    def answers(params: Params, xs: Float[Array, "T B D"]) -> Float[Array, "T B K"]:
        _, hs = unroll(cell, params.cell, cell.initial_state((xs.shape[1],)), xs)
        return jax.nn.relu(hs) @ params.w + params.b[None, None]

    def step(carry: tuple[Params, Any], number: Array) -> tuple[tuple[Params, Any], Array]:
        params, state = carry
        sequences = task.sample(jax.random.fold_in(k_train, number), recipe.batch_size, recipe.train_length)
        loss, gradient = jax.value_and_grad(lambda p: task.mean_loss(answers(p, sequences.inputs), sequences))(params)
        updates, state = optimizer.update(gradient, state, params)
        updated: Any = optax.apply_updates(params, updates)
        return (updated, state), loss

    def train(params: Params, state: Any, numbers: Int[Array, " N"]) -> tuple[Params, Any, Float[Array, " N"]]:
        (params, state), losses = jax.lax.scan(step, (params, state), numbers)
        return params, state, losses

    def test(params: Params) -> tuple[Float[Array, " T"], Int[Array, " T"]]:
        sequences = task.sample(k_test, recipe.test_sequences, recipe.test_length)
        return task.accuracy_by_step(answers(params, sequences.inputs), sequences)

    return Program(init=jit(init), train=jit(train, donate_argnums=(0, 1)), test=jit(test))


def train_and_test(
    cell_name: str, task_name: str, recipe: Recipe, *, progress: Callable[[int], object] = lambda steps: None
) -> dict[str, Any]:
    """Return the result of one cell on one task.

    Args:
        cell_name: a registered cell, which is made with its default options.
        task_name: a registered task.
        recipe: how to train and test.
        progress: called with the number of steps made since its last call.
    """
    cell, task = cells.make(cell_name, recipe.hidden_size), tasks.make(task_name)
    run = program(cell, task, recipe)
    began = time.perf_counter()
    params, state = run.init()
    losses: list[np.ndarray] = []
    for first in range(0, recipe.steps, recipe.block):
        numbers = jnp.arange(first, first + recipe.block, dtype=jnp.int32)
        params, state, found = run.train(params, state, numbers)
        losses.append(np.asarray(found))
        progress(recipe.block)
    accuracy, asked = jax.device_get(run.test(params))
    by_length = {length: float(accuracy[length - 1]) for length in range(1, len(asked) + 1) if asked[length - 1]}
    up_to, beyond = (
        float(np.mean([right for length, right in by_length.items() if (length > recipe.train_length) == longer]))
        for longer in (False, True)
    )
    return {
        "cell": cell_name,
        "task": task_name,
        "group": group(cell),
        "parameters": count(params),
        "recipe": asdict(recipe),
        "loss": float(losses[-1].mean()),
        "accuracy_up_to_train_length": up_to,
        "accuracy_beyond": beyond,
        "scaled_accuracy_beyond": task.scaled_accuracy(beyond),
        "solved": beyond >= task.solved_accuracy,
        "accuracy_by_length": by_length,
        "skipped_steps": int(state.total_notfinite),
        "seconds": round(time.perf_counter() - began, 1),
        "environment": environment(),
    }
