"""A recurrent language model as pure functions: embedding, cells, output layer."""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.arrays.array_arguments import as_whole_numbers
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells.cell import Cell, check_cell, check_number, check_size
from rnnlm_jax.compilation import jit
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.errors import UserError
from rnnlm_jax.inputs.embedding import embedding
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.ngram_context import StateWithPast, no_words, past_after, past_at_each
from rnnlm_jax.outputs.output_layer import OutputLayer, WithPast
from rnnlm_jax.outputs.softmax import softmax
from rnnlm_jax.unroll import unroll


@serialized
class LanguageModelParams(NamedTuple):
    """Parameters of the input layer, the cell (a tuple for a stack) and the output layer."""

    embedding: Tree
    """Of the input layer: a table ``[V, D]``, if that is an embedding."""
    cell: Tree
    output: Tree


@serialized
class Scored(NamedTuple):
    """What goes with a sum of nats: over how many tokens, and the state after them."""

    tokens: Int[Array, ""]
    state: Tree


@dataclass(frozen=True)
class LanguageModel:
    """``P(w_1 … w_N) = Π_t P(w_t | w_<t)``, with ``P(· | w_<t) = output(cell state after embedding w_1 … w_{t-1})``.

    It is static and hashable; its arrays are ``params`` and ``state``. Make one with ``language_model``.
    """

    input: InputLayer
    cell: Cell
    output: OutputLayer
    vocab_size: int
    embedding_size: int
    tie_embeddings: bool
    dropout: Dropout
    init_scale: float | None
    remat_chunk: int | str | None
    executor: str | None

    def init(self, key: Key) -> LanguageModelParams:
        """Fresh parameters: each part's own initialiser, or with ``init_scale`` all of them uniform on ± that scale."""
        k_embedding, k_cell, k_output, k_uniform = jax.random.split(key, 4)

        def own() -> LanguageModelParams:
            return LanguageModelParams(
                embedding=self.input.init(k_embedding, self.vocab_size, self.embedding_size),
                cell=self.cell.init(k_cell, self.embedding_size),
                output=self.output.init(k_output, self.cell.spec.output_size, self.vocab_size),
            )

        if self.init_scale is None:
            return own()
        params = _uniform(k_uniform, jax.eval_shape(own), self.init_scale)
        return params._replace(output=self.output.start(params.output))

    def initial_state(self, batch_shape: tuple[int, ...]) -> Tree:
        """The state before the first token."""
        state = self.cell.initial_state(batch_shape)
        return StateWithPast(state, no_words(batch_shape, self.output.past)) if self.output.past else state

    def embed(self, params: LanguageModelParams, inputs: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """The vectors of the inputs: of an embedding, the rows that they name.

        Raises:
            UserError: if inputs are not whole numbers, or known values are not ids of the vocabulary.
        """
        return self.input.embed(params.embedding, as_whole_numbers("tokens", inputs, 0, self.vocab_size - 1))

    def tabulated(self, params: LanguageModelParams) -> tuple["LanguageModel", LanguageModelParams]:
        """The same model with the vectors of all tokens formed once, for whoever reads more tokens than there are."""
        if self.input.is_table:
            return self, params
        table = jit(self.input.table)(params.embedding)
        return dataclasses.replace(self, input=embedding(table.dtype)), params._replace(embedding=table)

    def hidden(
        self, params: LanguageModelParams, state: Tree, inputs: Int[Array, "T B"], key: Key | None
    ) -> tuple[Tree, Float[Array, "T B H"]]:
        """The state after the inputs and the hidden state at each; dropout if there is a key."""
        return self.hidden_from_embedded(params, state, self.embed(params, inputs), key, inputs)

    def hidden_from_embedded(
        self,
        params: LanguageModelParams,
        state: Tree,
        xs: Float[Array, "T B D"],
        key: Key | None,
        inputs: Int[Array, "T B"] | None = None,
    ) -> tuple[Tree, Any]:
        """``hidden`` of inputs that ``embed`` has looked up; an output layer with a past needs them themselves too.

        Raises:
            UserError: if it needs them, and they are not given.
        """
        if self.output.past:
            if inputs is None:
                raise UserError(
                    f"output {self.output.kind!r} reads words as well as vectors: this needs another output"
                )
            after, hs = self._over_time(params, state.cell, xs, key)
            words = past_at_each(state.words, as_whole_numbers("tokens", inputs))
            return StateWithPast(after, words[-1]), WithPast(hs, words)
        return self._over_time(params, state, xs, key)

    def _over_time(
        self, params: LanguageModelParams, state: Tree, xs: Float[Array, "T B D"], key: Key | None
    ) -> tuple[Tree, Float[Array, "T B H"]]:
        """The cells over a window; without units there is nothing to run."""
        if not self.cell.spec.output_size:
            return state, xs[..., :0]

        def layer_input(layer: Any, xs: Array) -> Array:
            lowest = isinstance(layer, int) and layer == 0  # a traced number is that of a layer further up
            rate = self.dropout.input if lowest else self.dropout.hidden
            return self.dropout.apply(rate, None if key is None else jax.random.fold_in(key, layer), xs)

        how = {"remat_chunk": self.remat_chunk, "executor": self.executor}
        state, hs = unroll(self.cell, params.cell, state, xs, layer_input=layer_input, **how)
        top = None if key is None else jax.random.fold_in(key, -1 % 2**32)
        return state, self.dropout.apply(self.dropout.output, top, hs)

    def token_nll(
        self,
        params: LanguageModelParams,
        state: Tree,
        inputs: Int[Array, "T B"],
        targets: Int[Array, "T B"],
        key: Key | None = None,
    ) -> tuple[Tree, Float[Array, "T B"]]:
        """The state after the inputs, and ``-log P(target_t | inputs up to t)`` in nats for each target."""
        state, hs = self.hidden(params, state, inputs, key)
        return state, self.output_nats(params, hs, targets)

    def output_nats(
        self, params: LanguageModelParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"]
    ) -> Float[Array, "*B"]:
        """``-log P(target | h)`` in nats: the output layer alone."""
        return self.output.nats(self.output_params(params), hs, as_whole_numbers("targets", targets))

    def loss_fn(
        self, params: LanguageModelParams, state: Tree, batch: Batch, key: Key | None
    ) -> tuple[Float[Array, ""], Scored]:
        """Summed nats of a batch, ``Σ_t J_t`` with ``J_t = -log ŷ_t[w_{t+1}]``, over the targets that its mask counts.

        They are exact for every output layer, also for one that is trained on a sampled loss.

        Args:
            params: the parameters.
            state: the state before the batch.
            batch: inputs, targets and mask, ``[T, B]``.
            key: for dropout; None: no dropout.
        """
        state, hs = self.hidden(params, state, jnp.asarray(batch.inputs), key)
        mask: Bool[Array, "T B"] = jnp.asarray(batch.mask)
        weights = mask.astype(self.cell.spec.param_dtype)
        loss = self.output.total_nats(self.output_params(params), hs, jnp.asarray(batch.targets), weights)
        return loss, Scored(mask.sum(dtype=jnp.int32), state)

    def log_probs(
        self, params: LanguageModelParams, state: Tree, token: Int[Array, "*B"]
    ) -> tuple[Tree, Float[Array, "*B V"]]:
        """One step: the state after a token, and the log-probabilities (nats) of every next one."""
        token = as_whole_numbers("tokens", token)
        before = state.cell if self.output.past else state
        z = self.cell.input_projection(params.cell, self.embed(params, token))
        after = self.cell.step(params.cell, before, z)
        h = self.cell.readout(params.cell, after)
        if self.output.past:
            words = past_after(state.words, token)
            return StateWithPast(after, words), self.output.log_probs(params.output, WithPast(h, words))
        return after, self.output.log_probs(self.output_params(params), h)

    def output_params(self, params: LanguageModelParams) -> Tree:
        """What the output layer is called with: its own parameters, and where weights are tied, the embedding."""
        return params.output._replace(w=params.embedding) if self.tie_embeddings else params.output


def language_model(
    cell: Cell,
    vocab_size: int,
    embedding_size: int | None = None,
    *,
    input_layer: InputLayer | None = None,
    output: OutputLayer | None = None,
    tie_embeddings: bool = False,
    dropout: Dropout | None = None,
    init_scale: float | None = None,
    remat_chunk: int | str | None = None,
    executor: str | None = None,
) -> LanguageModel:
    """A language model over a cell, or a stack of them.

    Args:
        cell: the recurrent part.
        vocab_size: V.
        embedding_size: D; the cell's output size unless given.
        input_layer: what the cell sees of a token; an embedding unless given.
        output: the output layer; the full softmax unless given.
        tie_embeddings: whether the embedding, transposed, is the output matrix too (Press & Wolf 2017).
        dropout: on non-recurrent connections; none unless given.
        init_scale: draw every parameter, biases included, uniformly from ± this (Zaremba et al. 2014).
        remat_chunk: see ``unroll``.
        executor: see ``unroll``.

    Raises:
        UserError: if a size is not positive, or tied embeddings differ in size from the cell's output, or the input or
            output layer cannot be tied.
    """
    check_cell("cell", cell)
    for name, part, kind in (("input_layer", input_layer, InputLayer), ("output", output, OutputLayer)):
        if part is not None and not isinstance(part, kind):
            raise UserError(f"{name} must be an {kind.__name__}, made by make or a factory, not {part!r:.60}")
    if dropout is not None and not isinstance(dropout, Dropout):
        raise UserError(f"dropout must be a Dropout, such as Dropout(hidden=0.5), not {dropout!r:.60}")
    if init_scale is not None:
        check_number("init_scale", init_scale)
    spec = cell.spec
    if embedding_size is not None or spec.output_size:
        embedding_size = check_size("embedding_size", spec.output_size if embedding_size is None else embedding_size)
    else:
        embedding_size = 0  # of a cell without units
    if tie_embeddings and embedding_size != spec.output_size:
        raise UserError(
            f"tied embeddings need embedding_size {spec.output_size}, the cell's output, not {embedding_size}"
        )
    input_layer = embedding(spec.param_dtype) if input_layer is None else input_layer
    output = softmax(tie_embeddings, spec.dtype, spec.param_dtype) if output is None else output
    if tie_embeddings and not input_layer.is_table:
        raise UserError(f"input {input_layer.kind!r} is no table to tie an output to: leave --tie-embeddings out")
    return LanguageModel(
        input=input_layer,
        cell=cell,
        output=output,
        vocab_size=check_size("vocab_size", vocab_size),
        embedding_size=embedding_size,
        tie_embeddings=tie_embeddings,
        dropout=dropout or Dropout(),
        init_scale=init_scale,
        remat_chunk=remat_chunk,
        executor=executor,
    )


def parameter_count(params: Any) -> int:
    """How many numbers the parameters are."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _uniform(key: Key, params: Tree, scale: float) -> Tree:
    """Every leaf, of which only shape and dtype matter, drawn from U(-scale, scale)."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.uniform(k, p.shape, p.dtype, -scale, scale) for k, p in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)
