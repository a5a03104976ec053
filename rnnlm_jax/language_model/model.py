"""A recurrent language model as pure functions: input layer, cells, output layer."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.arrays.array_arguments import as_whole_numbers
from rnnlm_jax.cells.cell import Cell, check_cell, check_number, check_size
from rnnlm_jax.cells.initializers import uniform_params
from rnnlm_jax.compilation import jit
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.inputs.embedding import embedding
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.ngram_context import (
    StateWithContext,
    context_after,
    context_at_each_step,
    context_at_end,
    empty_context,
)
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.run_results import Run, Scored
from rnnlm_jax.language_model.training_layers import (
    check_dropout,
    has_zoneout,
    needs_training_layers,
    trained_cell,
    unroll_training_layers,
)
from rnnlm_jax.outputs.output_layer import HiddenStates, OutputLayer, WithContext
from rnnlm_jax.outputs.softmax import softmax
from rnnlm_jax.unroll import unroll
from rnnlm_jax.unroll.observed_unroll import StatesOverTime, observed_unroll


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
        """Draw parameters: by each part's own initialiser, or with ``init_scale`` all uniformly from ± that scale."""
        k_embedding, k_cell, k_output, k_uniform = jax.random.split(key, 4)

        def own() -> LanguageModelParams:
            return LanguageModelParams(
                embedding=self.input.init(k_embedding, self.vocab_size, self.embedding_size),
                cell=self.cell.init(k_cell, self.embedding_size),
                output=self._init_output(k_output),
            )

        if self.init_scale is None:
            return own()
        params = uniform_params(k_uniform, jax.eval_shape(own), self.init_scale)
        return params._replace(output=self.output.after_uniform_init(params.output))

    def _init_output(self, key: Key) -> Tree:
        """Draw the parameters of the output layer."""
        hidden_size = self.cell.spec.output_size
        if self.tie_embeddings and self.output.init_tied is not None:
            return self.output.init_tied(key, hidden_size, self.embedding_size, self.vocab_size)
        return self.output.init(key, hidden_size, self.vocab_size)

    def initial_state(self, batch_shape: tuple[int, ...]) -> Tree:
        """Return the state before the first token."""
        state, size = self.cell.initial_state(batch_shape), self.output.context_size
        return StateWithContext(state, empty_context(batch_shape, size)) if size else state

    def cell_state(self, state: Tree) -> Tree:
        """Return the state of the cells alone, without the words that the output layer reads."""
        return state.cell if self.output.context_size else state

    @property
    def draws(self) -> bool:
        """Whether training draws random numbers, for dropout, zoneout or a sampled loss."""
        return self.output.sampled or self.dropout.is_active or has_zoneout(self.cell)

    @property
    def trained_cell(self) -> Cell:
        """The cell by which the executor of training is chosen: with state dropout, if it has a rate."""
        return trained_cell(self.cell, self.dropout)

    def embed(self, params: LanguageModelParams, inputs: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """Return the vectors of the inputs.

        Raises:
            ArgumentError: if inputs are not whole numbers, or are known not to be ids of the vocabulary.
        """
        return self.input.embed(params.embedding, as_whole_numbers("tokens", inputs, least=0, most=self.vocab_size - 1))

    def tabulated(self, params: LanguageModelParams) -> tuple["LanguageModel", LanguageModelParams]:
        """Return the model and parameters with the vectors of all tokens in a table, for reading many tokens."""
        if self.input.is_table:
            return self, params
        table = jit(self.input.table)(params.embedding)
        return dataclasses.replace(self, input=embedding(table.dtype)), params._replace(embedding=table)

    def hidden(
        self, params: LanguageModelParams, state: Tree, inputs: Int[Array, "T *B"], key: Key | None
    ) -> tuple[Tree, HiddenStates]:
        """Return the state after the inputs, and the hidden states ``[T, B, H]``; with dropout if a key is given."""
        inputs = self.dropout.replace_words(key, inputs)
        run = self.run(params, state, self.embed(params, inputs), key, inputs)
        return run.state, run.hs

    def run(
        self,
        params: LanguageModelParams,
        state: Tree,
        xs: Float[Array, "T *B D"],
        key: Key | None,
        inputs: Int[Array, "T *B"] | None = None,
        *,
        mask: Bool[Array, "T *B"] | None = None,
        observe: bool = False,
        shifts: tuple[Array, ...] | None = None,
    ) -> Run:
        """Run the cells over the vectors that ``embed`` returned.

        Args:
            params: parameters.
            state: state before the inputs.
            xs: vectors of the inputs.
            key: for dropout; None: no dropout.
            inputs: token ids after word dropout, for embedding dropout and an output layer with a ``context_size``.
            mask: which steps of each sequence count; those at its end that do not are padding, and the state after the
                last step that counts is returned. None: all steps count.
            observe: whether to return the states inside the cells, see ``observed_unroll``; for cells without state
                dropout, weight drop and zoneout, and without a mask.
            shifts: added to the states if they are observed.

        Raises:
            ArgumentError: if ``inputs`` are needed and not given.
        """
        xs = self.dropout.embedded(key, xs, inputs, self.vocab_size)
        run_cells = functools.partial(
            self._run_cells, params, xs=xs, key=key, mask=mask, observe=observe, shifts=shifts
        )
        if not self.output.context_size:
            after, raw, states = run_cells(state)
            return Run(after, self.dropout.layer_output(key, raw), raw, states)
        if inputs is None:
            raise ArgumentError(
                f"output {self.output.kind!r} reads words as well as vectors: this needs another output"
            )
        after, raw, states = run_cells(state.cell)
        dropped = self.dropout.layer_output(key, raw)
        words = context_at_each_step(state.words, as_whole_numbers("tokens", inputs))
        last = words[-1] if mask is None else context_at_end(state.words, words, mask)
        return Run(StateWithContext(after, last), WithContext(dropped, words), raw, states)

    def _run_cells(
        self,
        params: LanguageModelParams,
        state: Tree,
        *,
        xs: Float[Array, "T *B D"],
        key: Key | None,
        mask: Bool[Array, "T *B"] | None,
        observe: bool,
        shifts: tuple[Array, ...] | None,
    ) -> tuple[Tree, Float[Array, "T *B H"], tuple[StatesOverTime, ...]]:
        """Run the cells over time; a cell without units has nothing to run."""
        if not self.cell.spec.output_size:
            return state, xs[..., :0], ()
        cell_params = self.dropout.cell_params(key, self.cell, params.cell)
        options: Any = {"remat_chunk": self.remat_chunk, "executor": self.executor}
        if not observe and key is not None and needs_training_layers(self.cell, self.dropout):
            options |= {"key": key, "mask": mask}
            return *unroll_training_layers(self.dropout, self.cell, cell_params, state, xs, **options), ()
        options |= {"layer_input": lambda layer, xs: self.dropout.layer_input(layer, key, xs)}
        if observe:
            return observed_unroll(self.cell, params.cell, state, xs, shifts=shifts, **options)
        return *unroll(self.cell, cell_params, state, xs, mask=mask, **options), ()

    def check_observable(self) -> None:
        """Check that the states inside the cells can be observed in training, see ``run``.

        Raises:
            ArgumentError: if training changes the cells.
        """
        if self.dropout.weight or needs_training_layers(self.cell, self.dropout):
            raise ArgumentError(
                "omega and flossing read the cells' own Jacobians, which `dropout_state`, `weight_drop` and `zoneout` "
                "change: leave one of them out"
            )

    def token_nll(
        self,
        params: LanguageModelParams,
        state: Tree,
        inputs: Int[Array, "T *B"],
        targets: Int[Array, "T *B"],
        key: Key | None = None,
    ) -> tuple[Tree, Float[Array, "T *B"]]:
        """Return the state after the inputs, and ``-log P(target_t | inputs up to t)`` of each target in nats."""
        state, hs = self.hidden(params, state, inputs, key)
        own, hs = self.output_operands(params, hs, key)
        return state, self.output.nats(own, hs, as_whole_numbers("targets", targets))

    def output_nats(
        self, params: LanguageModelParams, hs: HiddenStates, targets: Int[Array, "*B"]
    ) -> Float[Array, "*B"]:
        """Return ``-log P(target | h)`` of each target in nats, from the hidden states of ``hidden``."""
        return self.output.nats(self.output_params(params), hs, as_whole_numbers("targets", targets))

    def loss_fn(
        self, params: LanguageModelParams, state: Tree, batch: Batch, key: Key | None
    ) -> tuple[Float[Array, ""], Scored]:
        """Return the nats of a batch, ``Σ_t J_t`` with ``J_t = -log ŷ_t[w_{t+1}]``, summed over unmasked targets.

        They are exact for every output layer, also for one that is trained on a sampled loss.

        Args:
            params: parameters.
            state: state before the batch.
            batch: inputs, targets and mask, ``[T, B]``.
            key: for dropout; None: no dropout.
        """
        state, hs = self.hidden(params, state, jnp.asarray(batch.inputs), key)
        mask: Bool[Array, "T B"] = jnp.asarray(batch.mask)
        weights = mask.astype(self.cell.spec.param_dtype)
        own, hs = self.output_operands(params, hs, key)
        loss = self.output.total_nats(own, hs, jnp.asarray(batch.targets), weights)
        return loss, Scored(mask.sum(dtype=jnp.int32), state)

    def log_probs(
        self, params: LanguageModelParams, state: Tree, token: Int[Array, "*B"]
    ) -> tuple[Tree, Float[Array, "*B V"]]:
        """Return the state after a token, and the log-probabilities of every next token in nats."""
        token = as_whole_numbers("tokens", token)
        z = self.cell.input_projection(params.cell, self.embed(params, token))
        after = self.cell.step(params.cell, self.cell_state(state), z)
        h = self.cell.output(params.cell, after, z)
        if self.output.context_size:
            words = context_after(state.words, token)
            return StateWithContext(after, words), self.output.log_probs(params.output, WithContext(h, words))
        return after, self.output.log_probs(self.output_params(params), h)

    def output_operands(
        self, params: LanguageModelParams, hs: HiddenStates, key: Key | None
    ) -> tuple[Tree, HiddenStates]:
        """Return the first two arguments of the output layer's functions: its parameters, and what it reads.

        Args:
            params: parameters of the model.
            hs: hidden states of ``hidden``.
            key: for dropout of latents; None: no dropout.

        Returns:
            ``(output_params, hs)``; with dropout of latents, the layer's ``Latents`` in place of the hidden states.
        """
        own = self.output_params(params)
        if key is None or not self.dropout.latent or self.output.latents is None:
            return own, hs
        latents = self.output.latents(own, hs)
        return own, latents._replace(values=self.dropout.latents(key, latents.values))

    def output_params(self, params: LanguageModelParams) -> Tree:
        """Return the parameters that the output layer is called with; tied weights are filled in."""
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
    """Make a language model over a cell, or a stack of them.

    Args:
        cell: the recurrent part.
        vocab_size: V.
        embedding_size: D; None: the cell's output size.
        input_layer: the input layer; None: an embedding.
        output: the output layer; None: the full softmax.
        tie_embeddings: whether the embedding is also the output matrix, transposed (Press & Wolf 2017). Where D is not
            the cell's output size, a softmax projects hidden states to D first; its factory describes it.
        dropout: dropout rates; None: no dropout. Zoneout is a property of the cell, see ``cells.zoneout``.
        init_scale: draw every parameter, biases included, uniformly from ± this (Zaremba et al. 2014).
        remat_chunk: see ``unroll``.
        executor: see ``unroll``.

    Raises:
        ArgumentError: if a size is not positive, or tied embeddings differ in size from the cell's output and the
            output layer has no projection, or the input layer is not a table that an output layer could be tied to, or
            the model does not have what a dropout rate refers to.
    """
    check_cell("cell", cell)
    for name, part, kind in (("input_layer", input_layer, InputLayer), ("output", output, OutputLayer)):
        if part is not None and not isinstance(part, kind):
            raise ArgumentError(f"`{name}` must be an {kind.__name__}, made by make or a factory, not {part!r:.60}")
    if dropout is not None and not isinstance(dropout, Dropout):
        raise ArgumentError(f"`dropout` must be a Dropout, such as Dropout(hidden=0.5), not {dropout!r:.60}")
    if dropout is not None:
        check_dropout(cell, dropout)
    if init_scale is not None:
        check_number("init_scale", init_scale)
    spec = cell.spec
    if embedding_size is not None or spec.output_size:
        embedding_size = check_size("embedding_size", spec.output_size if embedding_size is None else embedding_size)
    else:
        embedding_size = 0  # for a cell without units
    input_layer = embedding(spec.param_dtype) if input_layer is None else input_layer
    output = softmax(tie_embeddings, spec.dtype, spec.param_dtype) if output is None else output
    if tie_embeddings and embedding_size != spec.output_size and output.init_tied is None:
        raise ArgumentError(
            f"`tie_embeddings` needs `embedding_size` {spec.output_size}, the cell's output, not {embedding_size}: "
            f"output {output.kind!r} has no projection between them"
        )
    if tie_embeddings and not input_layer.is_table:
        raise ArgumentError(
            f"input {input_layer.kind!r} is not a table that an output could be tied to: leave `tie_embeddings` out"
        )
    model = LanguageModel(
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
    if model.dropout.latent:
        _require_latents(model)
    return model


def _require_latents(model: LanguageModel) -> None:
    """Check that the output layer has latents to which dropout can be applied.

    Raises:
        ArgumentError: if it has none.
    """
    try:
        if model.output.latents is None:
            raise ArgumentError(f"output {model.output.kind!r} has no latents")
        hs = jax.ShapeDtypeStruct((1, model.cell.spec.output_size), model.cell.spec.param_dtype)
        params = jax.eval_shape(model.init, jax.random.key(0))
        jax.eval_shape(model.output.latents, model.output_params(params), hs)
    except ArgumentError as error:
        raise ArgumentError(
            f"`dropout_latent` needs tied embeddings of another width than the cell's output, or a mixture of "
            f"softmaxes: {error}"
        ) from None
