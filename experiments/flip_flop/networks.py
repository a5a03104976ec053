"""Train a network on the 3-bit flip-flop, and find the fixed and slow points of its dynamics without input."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, jacobians, tasks
from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Cell
from rnnlm_jax.compilation import jit
from rnnlm_jax.jacobians.trajectory import trajectory
from rnnlm_jax.sequence_model import SequenceTraining, TaskBatches, model_for, score_task, train_sequence_model
from rnnlm_jax.training.results import environment

#: Networks of the study: a registered cell and its number of units.
NETWORKS = {"elman-tanh": 64, "gru": 32}
#: Length of the trajectories, in steps, and the number of those that the figure shows.
LENGTH, SHOWN = 100, 4


@dataclass(frozen=True)
class Recipe:
    """How networks are trained, and where the search for points begins."""

    steps: int = 4000
    """Steps of Adam, whose learning rate falls to zero along half a cosine."""
    seed: int = 0
    batch_size: int = 32
    train_length: int = 50
    learning_rate: float = 0.003
    clip_norm: float = 1.0
    test_sequences: int = 1000
    sequences: int = 32
    """Sequences whose trajectories the starts are drawn from."""
    starts: int = 300
    """States that the search starts from, drawn from all states of the trajectories."""
    noise: float = 0.1
    """Standard deviation of normal noise added to every number of a start."""
    tolerance: float = 1e-12
    """Largest q of a point."""
    unique: float = 1e-3
    """Points that differ by at most this in every number are one."""

    @property
    def training(self) -> SequenceTraining:
        """The training as the library takes it."""
        return SequenceTraining(
            steps=self.steps,
            seed=self.seed,
            check_every=self.steps,
            learning_rate=self.learning_rate,
            schedule="cosine",
            clip_norm=self.clip_norm,
        )


QUICK = Recipe(steps=300, test_sequences=50, sequences=4, starts=20)


def in_float64(tree: Tree) -> Tree:
    """Return arrays in float64; x64 must be on."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)


def states_over_time(cell: Cell, params: Tree, xs: Any) -> Tree:
    """Return the states after each step from the cell's initial one, leaves ``[T, B, ·]``."""
    return trajectory(cell, params, cell.initial_state(xs.shape[1:-1]), cell.input_projection(params, xs)).after


def measure(network: str, recipe: Recipe, hidden_size: int | None = None) -> dict[str, Any]:
    """Train a network and return its accuracy, the points of its dynamics without input, and their stability."""
    began = time.perf_counter()
    task, size = tasks.flip_flop(), hidden_size or NETWORKS[network]
    model = model_for(task, cells.make(network, size))
    batches = TaskBatches(task, recipe.batch_size, length=recipe.train_length)
    trained = train_sequence_model(model, task, batches, recipe.training, quiet=True)
    scores = score_task(model, task, trained.params, seeds=trained.seeds, length=LENGTH, count=recipe.test_sequences)
    seconds = time.perf_counter() - began
    params = trained.params_of(0)
    key = jax.random.key(recipe.seed + 1)
    sequences = task.sample(key, recipe.sequences, LENGTH)
    with jax.enable_x64(True):
        cell = cells.make(network, size, param_dtype="float64")
        wide, w, b = in_float64((params.cell, params.w, params.b))
        states = jit(states_over_time, static_argnums=0)(cell, wide, in_float64(sequences.inputs))
        return {
            "network": network,
            "hidden_size": size,
            "recipe": asdict(recipe),
            "accuracy": float(scores.accuracy[0]),
            "loss": float(scores.loss[0]),
            "training_seconds": round(seconds, 1),
            **points_of(cell, wide, states, recipe=recipe, readout=(np.asarray(w), np.asarray(b))),
            "seconds": round(time.perf_counter() - began, 1),
            "environment": environment(),
        }


def points_of(
    cell: Cell, params: Tree, states: Tree, *, recipe: Recipe, readout: tuple[np.ndarray, np.ndarray]
) -> dict[str, Any]:
    """Return the points found from states ``[T, B, ·]`` of trajectories, under an input of zeros."""
    rng = np.random.default_rng(recipe.seed)
    visited = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, leaf.shape[-1]), states)
    drawn = rng.choice(len(jax.tree.leaves(visited)[0]), recipe.starts, replace=False)
    starts = jax.tree.map(
        lambda leaf: jnp.asarray(leaf[drawn] + recipe.noise * rng.normal(size=leaf[drawn].shape)), visited
    )
    x = jnp.zeros(tasks.flip_flop().input_size)
    found = jacobians.slow_points(cell, params, x, starts=starts, tolerance=recipe.tolerance, unique=recipe.unique)
    points = jacobians.distinct(found)
    values = jacobians.fixed_point_eigenvalues(cell, params, x, states=points.states)
    refined = jacobians.fixed_points(cell, params, x, starts=points.states)
    rows, all_rows = (np.concatenate(jax.tree.leaves(tree), axis=-1) for tree in (points.states, visited))
    moved = np.abs(np.concatenate(jax.tree.leaves(refined.states), axis=-1) - rows).max(axis=1)
    centre, axes = principal_components(all_rows)
    shown = jax.tree.map(lambda leaf: np.asarray(leaf)[:, :SHOWN], states)
    lines = np.concatenate(jax.tree.leaves(shown), axis=-1)
    zs = cell.input_projection(params, jnp.zeros((len(rows), *x.shape)))
    outputs = np.asarray(cell.output(params, points.states, zs)) @ readout[0] + readout[1]
    return {
        "converged": int(found.converged.sum()),
        "largest_iterations": int(found.iterations.max()),
        "points": [
            {
                "unstable_directions": int((np.abs(values[k]) > 1).sum()),
                "outlier": bool(points.outlier[k]),
                "q": float(points.q[k]),
                "fixed": bool(refined.converged[k] and moved[k] < recipe.unique),
                "outputs": rounded(outputs[k]),
                "moduli": rounded(np.abs(values[k, :4])),
                "components": rounded((rows[k] - centre) @ axes.T),
            }
            for k in range(len(rows))
        ],
        "variance_of_components": rounded(
            np.var((all_rows - centre) @ axes.T, axis=0) / np.var(all_rows, axis=0).sum()
        ),
        "trajectories": [rounded((lines[:, k] - centre) @ axes.T) for k in range(lines.shape[1])],
    }


def principal_components(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of states and their first three principal axes, unit vectors in rows."""
    centre = rows.mean(axis=0)
    return centre, np.linalg.svd(rows - centre, full_matrices=False)[2][:3]


def rounded(values: np.ndarray) -> Any:
    """Return numbers as JSON has them, to four decimals."""
    return np.round(values, 4).tolist()
