"""Build the language model that a configuration describes."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax import cells, inputs, outputs
from rnnlm_jax.array_types import Array, Key
from rnnlm_jax.cells.cell import check_rate
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.language_model.dropout import Dropout
from rnnlm_jax.language_model.model import LanguageModel, language_model
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.outputs.word_counts import WordCounts

#: In place of a cell's name: a model without a recurrent part, whose output layer reads the last words itself.
NO_CELL = "none"
#: Options that act on vectors of words, units or recurrent weights.
_OF_UNITS = ("dropout_embedding", "dropout_state", "weight_drop", "zoneout", "zoneout_cell")


def build_model(
    config: ModelConfig,
    vocab_size: int,
    executor: str | None = None,
    *,
    words: WordCounts | None = None,
    unknown_id: int | None = None,
) -> LanguageModel:
    """Build the language model of a configuration.

    Args:
        config: the configuration. Its ``executor`` is ignored: it is for training, and a run is read on any machine.
        vocab_size: V.
        executor: the executor of the cells; None for the fastest.
        words: the vocabulary's words with their counts, for the input and output layers that need them.
        unknown_id: id of the vocabulary's unknown token, for word dropout; None if it has none.

    Raises:
        ConfigError: if a cell, input or output layer is unknown, or float64 is asked for without JAX_ENABLE_X64.
        UserError: if an option is unknown or impossible.
    """
    if "float64" in (config.dtype, config.param_dtype) and jax.dtypes.canonicalize_dtype("float64") != "float64":
        raise ConfigError("float64 needs JAX_ENABLE_X64=1 in the environment: set it, or use float32")
    types = {"dtype": config.dtype, "param_dtype": config.param_dtype}
    for name in ("cell_options", "input_options", "output_options"):
        if not types.keys().isdisjoint(dict(getattr(config, name))):
            raise ConfigError(f"`{name}` cannot set precisions: use `dtype` and `param_dtype`")
    output = outputs.make(config.output, words, config.tie_embeddings, **types, **dict(config.output_options))
    if config.cell == NO_CELL:
        cell = _no_cell(config, output)
        input_layer = inputs.no_input(param_dtype=config.param_dtype)
    else:
        cell = _layers(config)
        input_layer = inputs.make(config.input, words and words.tokens, **types, **dict(config.input_options))
    model = language_model(
        cell,
        vocab_size,
        config.embedding_size,
        input_layer=input_layer,
        output=output,
        tie_embeddings=config.tie_embeddings,
        dropout=_dropout(config, unknown_id),
        init_scale=config.init_scale,
        remat_chunk=config.remat_chunk,
        executor=executor,
    )
    jax.eval_shape(functools.partial(_first_token_nll, model), jax.random.key(0))
    return model


def _layers(config: ModelConfig) -> cells.Cell:
    """Return the cell of one layer, or the stack of several."""
    sizes = [config.hidden_size] * config.layers
    if config.last_hidden_size is not None:
        if config.layers == 1:
            raise ConfigError("`last_hidden_size` is of the highest of several layers, and `layers` is 1: leave it out")
        sizes[-1] = config.last_hidden_size
    options: Any = {"dtype": config.dtype, "param_dtype": config.param_dtype, **dict(config.cell_options)}
    layers = [_with_zoneout(config, cells.make(config.cell, size, **options)) for size in sizes]
    if len(layers) == 1:
        return layers[0]
    return cells.stack(*layers, residual=config.residual, sum_outputs=config.sum_outputs)


def _dropout(config: ModelConfig, unknown_id: int | None) -> Dropout:
    """Return the dropout rates of a configuration."""
    if config.dropout_word and unknown_id is None:
        raise ConfigError("`dropout_word` needs an unknown token, and this vocabulary has none: leave it out")
    return Dropout(
        config.dropout_input,
        config.dropout_hidden,
        config.dropout_output,
        config.dropout_locked,
        latent=config.dropout_latent,
        embedding=config.dropout_embedding,
        word=config.dropout_word,
        unknown_id=unknown_id if config.dropout_word else None,
        state=config.dropout_state,
        weight=config.weight_drop,
    )


def _with_zoneout(config: ModelConfig, cell: cells.Cell) -> cells.Cell:
    """Return a cell with the zoneout of a configuration."""
    rates = {"hidden": ("zoneout", config.zoneout), "cell": ("zoneout_cell", config.zoneout_cell)}
    for part, (name, rate) in rates.items():
        check_rate(name, rate)
        if rate and not hasattr(jax.eval_shape(lambda: cell.initial_state(())), part):
            raise ConfigError(
                f"`{name}` needs a cell whose state has a part {part!r}, which {config.cell} does not have"
            )
    zoned = {part: rate for part, (_, rate) in rates.items() if rate}
    return cells.zoneout(cell, **zoned) if zoned else cell


def _no_cell(config: ModelConfig, output: outputs.OutputLayer) -> cells.Cell:
    """Return the cell of a model without a recurrent part, after checking that no option needs one."""
    if not output.context_size:
        raise ConfigError(f"`cell` {NO_CELL} predicts from n-gram features alone: use `output` maxent with it")
    for name in ("cell_options", "input_options", "tie_embeddings", "residual", "sum_outputs", *_OF_UNITS):
        if getattr(config, name):
            raise ConfigError(f"`cell` {NO_CELL} has no units and no input: leave `{name}` out")
    if config.last_hidden_size is not None:
        raise ConfigError(f"`cell` {NO_CELL} has no units: leave `last_hidden_size` out")
    if config.layers != 1 or config.input != "embedding":
        raise ConfigError(f"`cell` {NO_CELL} has no units and no input: leave `layers` and `input` out")
    return cells.no_cell(dtype=config.dtype, param_dtype=config.param_dtype)


def _first_token_nll(model: LanguageModel, key: Key) -> Array:
    """Use new parameters on one token: impossible options then raise before a run begins."""
    token = jnp.zeros((1, 1), jnp.int32)
    return model.token_nll(model.init(key), model.initial_state((1,)), token, token)[1]


def initial_params(model: LanguageModel, seed: int) -> LanguageModelParams:
    """Return the parameters that training with a seed starts from."""
    return model.init(jax.random.fold_in(jax.random.key(seed), 0))
