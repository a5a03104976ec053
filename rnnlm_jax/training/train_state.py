"""The state of training: parameters, optimiser state, recurrent state and counters; and its checkpoint trees."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from rnnlm_jax.array_types import Array, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.jobs.run_folder import initial_params
from rnnlm_jax.jobs.sharding.parameter_sharding import parameter_shardings
from rnnlm_jax.jobs.sharding.placement import model_state_shardings, replicated
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.training.averaging import Average, AverageState
from rnnlm_jax.training.initialize_from import InitialParameters
from rnnlm_jax.training.row_updates import with_promotion


class TrainState(NamedTuple):
    """All that changes from step to step. A checkpoint needs only the position in the data besides."""

    params: LanguageModelParams
    opt_state: Tree
    model_state: Tree
    """Recurrent state, batch axis first."""
    step: Int[Array, ""]
    skipped: Int[Array, ""]
    """Steps skipped so far because loss or gradient was not finite."""
    skipped_in_row: Int[Array, ""]
    """Consecutive steps skipped up to now."""
    average: AverageState | None = None
    """Average of the parameters, if training keeps one."""


def initial_train_state(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    *,
    seed: int = 0,
    average: Average | None = None,
    start: InitialParameters | None = None,
    mesh: Mesh | None = None,
) -> TrainState:
    """Return the state before the first step; on a mesh, each device creates only its own part.

    Args:
        model: the model.
        optimizer: any transformation of optax.
        batch_size: B.
        seed: seed of the initial parameters.
        average: the average of the parameters to keep; None for none.
        mesh: devices to divide the state over; None for one device.
        start: parameters of another model to start from; None: all are drawn.
    """

    def make(arrays: dict[str, Any]) -> TrainState:
        params = initial_params(model, seed)
        params = params if start is None else start.apply(params, arrays)
        return TrainState(
            params=params,
            opt_state=_unshared(with_promotion(optimizer).init(params), params),
            model_state=model.initial_state((batch_size,)),
            step=jnp.zeros((), jnp.int32),
            skipped=jnp.zeros((), jnp.int32),
            skipped_in_row=jnp.zeros((), jnp.int32),
            average=None if average is None else average.start(params),
        )

    arrays: dict[str, Any] = {} if start is None else dict(start.arrays)
    if mesh is None:
        return make(arrays)
    return jit(make, out_shardings=state_shardings(model, optimizer, mesh, averaged=average is not None))(arrays)


def _unshared(opt_state: Tree, params: Tree) -> Tree:
    """Return the state with copies of leaves that are parameters, or occur twice: shared buffers cannot be donated."""
    seen = {id(leaf) for leaf in jax.tree.leaves(params)}

    def own(leaf: Any) -> Any:
        if id(leaf) in seen:
            return jnp.copy(leaf)
        seen.add(id(leaf))
        return leaf

    return jax.tree.map(own, opt_state)


def state_shardings(
    model: LanguageModel, optimizer: optax.GradientTransformation, mesh: Mesh, *, averaged: bool = False
) -> TrainState:
    """Return the shardings of the state's leaves on a mesh.

    Arrays of the optimiser's state that have a parameter's shape, and its average, have that parameter's sharding;
    recurrent state is divided like the batch.
    """
    params, other = parameter_shardings(model, mesh), replicated(mesh)
    shapes = jax.eval_shape(model.init, jax.random.key(0))

    def placed(state: Tree, sharding: Any, parameter: Any) -> Tree:
        """Return the shardings of one parameter's state, which may have other shapes, or no array if it is masked."""
        return jax.tree.map(lambda leaf: sharding if leaf.shape == parameter.shape else other, state)

    opt_state = optax.tree_map_params(
        with_promotion(optimizer),
        placed,
        jax.eval_shape(with_promotion(optimizer).init, shapes),
        params,
        shapes,
        transform_non_params=lambda _: other,
        is_leaf=lambda node: isinstance(node, list | optax.MaskedNode),
    )
    counter: Any = other
    return TrainState(
        params,
        opt_state,
        model_state_shardings(model, mesh),
        counter,
        counter,
        counter,
        AverageState(params, counter, counter) if averaged else None,
    )


def with_shardings(shapes: Any, shardings: Any) -> Any:
    """Return a tree of ``ShapeDtypeStruct`` with the shardings of a tree like it."""
    return jax.tree.map(lambda a, where: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where), shapes, shardings)


def split_state(state: TrainState) -> dict[str, Any]:
    """Return the trees of a checkpoint: parameters in one of their own, so that they can be read alone."""
    return {"params": state.params, "training": state._replace(params=None)}  # pyright: ignore[reportArgumentType]


def join_state(trees: dict[str, Any], *, uncommitted: bool = True) -> TrainState:
    """Return the state from the trees of a checkpoint.

    Args:
        trees: the trees that ``split_state`` returned.
        uncommitted: whether to copy all leaves to arrays that are not committed to a device, as those of
            ``initial_train_state`` are: with committed ones, the step would be compiled a second time. On a mesh both
            are committed.
    """
    state = trees["training"]._replace(params=trees["params"])
    if not uncommitted:
        return state
    return jax.tree.map(lambda leaf: jnp.array(np.asarray(leaf)), state)
