"""Evaluation on a mesh: streams are sharded over ``data`` where their number divides, tables over ``model``."""

import functools
from typing import Protocol

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.jobs.sharding.data_parallel import manual_axes, replicated_anchor
from rnnlm_jax.jobs.sharding.mesh import DATA, MODEL
from rnnlm_jax.jobs.sharding.placement import replicated
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams


class ScoringFn(Protocol):
    """Computes the nats of a segment of text."""

    def __call__(
        self, params: LanguageModelParams, state: Tree, inputs: Int[Array, "T B"], targets: Int[Array, "T B"], /
    ) -> tuple[Tree, Float[Array, "T B"]]:
        """Return the state after the inputs, and the nats of each target."""
        ...


def stream_sharding(mesh: Mesh, streams: int) -> NamedSharding:
    """Return the sharding of the states of a number of streams: over ``data`` if it divides them, else replicated."""
    return NamedSharding(mesh, PartitionSpec(DATA)) if _divides(mesh, streams) else replicated(mesh)


@functools.lru_cache(maxsize=8)
def sharded_scoring_function(mesh: Mesh, model: LanguageModel, streams: int) -> ScoringFn:
    """Return a compiled function that scores text on a mesh.

    Inputs, targets and nats are replicated; the state has ``stream_sharding`` and is donated. A single stream is run by
    every device, with the same result.
    """
    rows, columns = (
        (PartitionSpec(DATA), PartitionSpec(None, DATA)) if _divides(mesh, streams) else [PartitionSpec()] * 2
    )
    manual = _divides(mesh, streams) or mesh.shape[MODEL] == 1  # without sharded tables each device runs a program
    anchor = replicated_anchor(mesh, DATA if manual else None)

    def score(params: LanguageModelParams, state: Tree, inputs: Array, targets: Array) -> tuple[Tree, Array]:
        state, hs, *_ = model.run(params, state, anchor(model.embed(params, inputs)), None, inputs)
        return state, model.output_nats(params, jax.tree.map(anchor, hs), targets)

    if manual:
        score = jax.shard_map(
            score,
            mesh=mesh,
            in_specs=(PartitionSpec(), rows, columns, columns),
            out_specs=(rows, columns),
            axis_names=manual_axes(mesh),
            check_vma=False,
        )
    return jit(score, donate_argnums=1, out_shardings=(stream_sharding(mesh, streams), replicated(mesh)))


def _divides(mesh: Mesh, streams: int) -> bool:
    return mesh.shape[DATA] > 1 and streams % mesh.shape[DATA] == 0
