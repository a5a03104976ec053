"""A model of sequences: a cell over time, and a linear map from its outputs to the numbers that are asked."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.cells.cell import Cell, check_cell, check_size
from rnnlm_jax.cells.initializers import uniform_params
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import FactoryMade, cached_factory
from rnnlm_jax.tasks.objective import Objective
from rnnlm_jax.unroll import unroll
from rnnlm_jax.unroll.executor import Executor


class SequenceParams(NamedTuple):
    """Parameters of a model of sequences."""

    cell: Tree
    w: Float[Array, "H K"]
    b: Float[Array, " K"]
    embedding: Float[Array, "V E"] | None = None
    """A row for each symbol; None if symbols are one-hot vectors, or inputs are numbers."""


@dataclass(frozen=True)
class SequenceModel(FactoryMade):
    """``y_t = W h_t + b``, where ``h_t`` are the outputs of a cell, a stack or a pair of directions."""

    cell: Cell
    input_size: int
    """D, the numbers fed at each step, or the number of symbols."""
    output_size: int
    """K."""
    embedding_size: int | None = None
    """E, the width of the vectors of symbols; None: one-hot vectors."""
    init_scale: float | None = None
    executor: str | Executor | None = None

    @property
    def features(self) -> int:
        """The width of the cell's inputs: D, or E."""
        return self.input_size if self.embedding_size is None else self.embedding_size

    def init(self, key: Key) -> SequenceParams:
        """Return initial parameters: the cell's own, W Glorot-uniform, b zero, rows of symbols of variance 1/E.

        With an ``init_scale`` c, all numbers are uniform on [-c, c] in their place.
        """
        k_cell, k_output, k_embedding, k_all = jax.random.split(key, 4)
        dtype, width = self.cell.spec.param_dtype, self.cell.spec.output_size
        w = jax.nn.initializers.glorot_uniform()(k_output, (width, self.output_size), dtype)
        embedding = None
        if self.embedding_size is not None:
            shape = self.input_size, self.embedding_size
            embedding = jax.random.normal(k_embedding, shape, dtype) * self.embedding_size**-0.5
        params = SequenceParams(
            self.cell.init(k_cell, self.features), w, jnp.zeros((self.output_size,), dtype), embedding
        )
        return params if self.init_scale is None else uniform_params(k_all, params, self.init_scale)

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> Tree:
        """Return the state before the first step."""
        return self.cell.initial_state(batch_shape)

    def features_of(self, params: SequenceParams, inputs: Array) -> Float[Array, "T *B F"]:
        """Return the inputs of the cell: numbers as they are, symbols ``[T, *B]`` as vectors."""
        if jnp.issubdtype(inputs.dtype, jnp.floating):
            if params.embedding is not None:
                raise ArgumentError("a model with an `embedding_size` takes symbols, whole numbers [T, *B], not floats")
            return inputs
        if params.embedding is None:
            return jax.nn.one_hot(inputs, self.input_size, dtype=self.cell.spec.param_dtype)
        return params.embedding[inputs]

    def readout(self, params: SequenceParams, hs: Float[Array, "T *B H"]) -> Float[Array, "T *B K"]:
        """Return the outputs of the model for outputs of its cell."""
        return hs @ params.w + jnp.expand_dims(params.b, tuple(range(hs.ndim - 1)))

    def __call__(
        self,
        params: SequenceParams,
        state: Tree,
        inputs: Float[Array, "T *B D"] | Int[Array, "T *B"],
        *,
        mask: Bool[Array, "T *B"] | None = None,
        lengths: Int[Array, "*B"] | None = None,
    ) -> tuple[Tree, Float[Array, "T *B K"]]:
        """Return the state after the last step, and the outputs at every step.

        Args:
            params: the parameters.
            state: the state before the first step.
            inputs: numbers ``[T, *B, D]``, or symbols ``[T, *B]`` from 0 to D - 1.
            mask, lengths: see ``unroll``; at other steps the output is b.

        Raises:
            ArgumentError: as ``unroll``, or for numbers where symbols are needed.
        """
        xs = self.features_of(params, inputs)
        last, hs = unroll(self.cell, params.cell, state, xs, mask=mask, lengths=lengths, executor=self.executor)
        return last, self.readout(params, hs)


@cached_factory
def sequence_model(
    cell: Cell,
    input_size: int,
    output_size: int,
    *,
    embedding_size: int | None = None,
    init_scale: float | None = None,
    executor: str | Executor | None = None,
) -> SequenceModel:
    """Return a model of sequences.

    Args:
        cell: any cell, stack or pair of directions.
        input_size: D, the numbers fed at each step, or the number of symbols.
        output_size: K, the numbers asked at each step, or the number of classes.
        embedding_size: E, the width of a trained vector for each symbol; None: one-hot vectors, or numbers.
        init_scale: c, draw all initial parameters uniformly from [-c, c]; None: each part's own values.
        executor: see ``unroll``.

    Raises:
        ArgumentError: if the cell is not a cell, a size is not a positive whole number, or c not a positive number.
    """
    check_cell("cell", cell)
    check_size("input_size", input_size)
    check_size("output_size", output_size)
    if embedding_size is not None:
        check_size("embedding_size", embedding_size)
    if init_scale is not None and not init_scale > 0:
        raise ArgumentError(f"`init_scale` must be a positive number, not {init_scale!r}")
    return SequenceModel(cell, input_size, output_size, embedding_size, init_scale, executor)


def model_for(objective: Objective, cell: Cell, **options: object) -> SequenceModel:
    """Return the model of a task or another objective; options are those of ``sequence_model``."""
    return sequence_model(cell, objective.input_size, objective.output_size, **options)  # pyright: ignore
