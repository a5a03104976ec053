"""Evaluation on a mesh: streams divided over ``data`` where their number divides, tables over ``model``."""

import functools
from collections.abc import Callable

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Array, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.jobs.sharding.data_parallel import anchor, manual_axes
from rnnlm_jax.jobs.sharding.mesh import DATA, MODEL
from rnnlm_jax.jobs.sharding.placing import everywhere
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams


def stream_sharding(mesh: Mesh, streams: int) -> NamedSharding:
    """Where the state of so many streams lies: divided over ``data`` if it divides them, or else everywhere."""
    return NamedSharding(mesh, PartitionSpec(DATA)) if _divides(mesh, streams) else everywhere(mesh)


@functools.lru_cache(maxsize=8)
def divided_scoring_function(mesh: Mesh, model: LanguageModel, streams: int) -> Callable[..., tuple[Tree, Array]]:
    """``(params, state, inputs, targets) -> (state, nats[T, B])`` on a mesh, compiled once a shape.

    Inputs, targets and nats are on every device, the state as ``stream_sharding`` says. A single stream is run by every
    device, all of them to the same nats.
    """
    rows, columns = (
        (PartitionSpec(DATA), PartitionSpec(None, DATA)) if _divides(mesh, streams) else [PartitionSpec()] * 2
    )
    by_hand = _divides(mesh, streams) or mesh.shape[MODEL] == 1  # without tables to divide: a program of each device
    whole = anchor(mesh, DATA if by_hand else None)

    def score(params: LanguageModelParams, state: Tree, inputs: Array, targets: Array) -> tuple[Tree, Array]:
        state, hs = model.hidden_from_embedded(params, state, whole(model.embed(params, inputs)), None, inputs)
        return state, model.output_nats(params, jax.tree.map(whole, hs), targets)

    if by_hand:
        score = jax.shard_map(
            score,
            mesh=mesh,
            in_specs=(PartitionSpec(), rows, columns, columns),
            out_specs=(rows, columns),
            axis_names=manual_axes(mesh),
            check_vma=False,
        )
    return jit(score, donate_argnums=1, out_shardings=(stream_sharding(mesh, streams), everywhere(mesh)))


def _divides(mesh: Mesh, streams: int) -> bool:
    return mesh.shape[DATA] > 1 and streams % mesh.shape[DATA] == 0
