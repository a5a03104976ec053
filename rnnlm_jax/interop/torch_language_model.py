"""Models of PyTorch's ``word_language_model`` example as ours, and back: encoder, rnn, decoder, tied or not."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells
from rnnlm_jax.cells import Cell, Stack
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.errors import WeightsError
from rnnlm_jax.interop import weights
from rnnlm_jax.interop.parameter_trees import ANY, fit_tree, input_size_of
from rnnlm_jax.interop.weights.named_arrays import common_dtype, flatten, list_names
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.outputs.softmax import ProjectedSoftmaxParams, SoftmaxParams

ENCODER, DECODER, BIAS = "encoder.weight", "decoder.weight", "decoder.bias"
#: Kinds by the number of gates; the weights of a simple network do not determine its activation.
KINDS = {4: "LSTM", 3: "GRU"}


def load(
    arrays: Mapping[str, Any], *, tied: bool | None = None, kind: str | None = None, dtype: Any = None
) -> tuple[ModelConfig, LanguageModelParams]:
    """Return the configuration and parameters of a model ``decoder(rnn(encoder(w)))`` from its ``state_dict``.

    With ``E [V, D]`` the encoder's weight and ``W [V, H]``, ``b [V]`` the decoder's, ``P(· | w_<t) = softmax(W h_t +
    b)``. Dropout rates are not among the weights; those of the configuration are 0.

    Args:
        arrays: ``encoder.weight``, ``rnn.weight_ih_l0`` …, ``decoder.weight``, ``decoder.bias``, as NumPy can read
            them; the encoder's or the decoder's weight may be missing, as in files that store shared weights once.
        tied: whether the decoder's matrix is the encoder's (Press & Wolf 2017); by default, if they are equal or
            one of them is missing.
        kind: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU", the example's names; by default inferred from the shapes, which
            a simple network's activation cannot be.
        dtype: of the parameters; the arrays' own by default.

    Raises:
        WeightsError: for weights that ``weights.load`` refuses, a Transformer, a bidirectional network, shapes that do
            not fit each other, or weights that are declared tied and differ.
    """
    named = flatten(arrays)
    if any(name.startswith(("transformer", "pos_encoder")) for name in named):
        raise WeightsError("these are the weights of a Transformer, not of a recurrent network")
    extra = [name for name in named if not name.startswith("rnn.") and name not in (ENCODER, DECODER, BIAS)]
    missing = [name for name in ("rnn.weight_ih_l0", "rnn.weight_hh_l0") if name not in named]
    if extra or missing or not {ENCODER, DECODER} & named.keys():
        raise WeightsError(
            f"this is not a state_dict of encoder, rnn and decoder, as in rnn.weight_ih_l0: {list_names(named)}"
        )
    common_dtype(named, "torch language model")
    tied, table, matrix = _matrices(named, tied)
    cell, params = weights.load("torch", kind or _kind(named), named, prefix="rnn", dtype=dtype)
    layers = cell.layers if isinstance(cell, Stack) else (cell,)
    config, dtype = _config(cell, layers, params, tied=tied), layers[0].spec.param_dtype
    _check_sizes(cell, params, table, matrix=matrix)
    bias = named.get(BIAS, np.zeros(len(matrix), dtype))
    if bias.shape != matrix.shape[:1]:
        raise WeightsError(f"decoder.bias has shape {bias.shape}, and should be {matrix.shape[:1]}, as decoder.weight")
    w = None if tied else jnp.asarray(matrix.T, dtype)
    return config, LanguageModelParams(jnp.asarray(table, dtype), params, SoftmaxParams(w, jnp.asarray(bias, dtype)))


def dump(config: ModelConfig, params: LanguageModelParams) -> dict[str, np.ndarray]:
    """Return a model as the example's ``state_dict``, in NumPy; ``load`` returns equal parameters, to the bit.

    Args:
        config: its configuration.
        params: its parameters.

    Raises:
        WeightsError: if the example has no such model (another cell, input or output layer, zoneout, residual or summed
            layers, a last layer of another size, or tied embeddings behind a projection), or the parameters are not
            those of the configuration.
    """
    if not (isinstance(config, ModelConfig) and isinstance(params, LanguageModelParams)):
        given = f"a {type(config).__name__} and a {type(params).__name__}"
        raise WeightsError(f"`config` and `params` must be a ModelConfig and LanguageModelParams, not {given}")
    for what, value, only in (("input", config.input, "embedding"), ("output", config.output, "softmax")):
        if value != only:
            raise WeightsError(f"torch's word_language_model has no {what} {value!r}: only {only} can be written")
    if config.zoneout or config.zoneout_cell:
        raise WeightsError(
            "torch's word_language_model has no zoneout, which also acts in evaluation: cannot be written"
        )
    if config.last_hidden_size not in (None, config.hidden_size):
        raise WeightsError(
            "torch's word_language_model gives all layers one size: `last_hidden_size` cannot be written"
        )
    cell = cells.make(config.cell, config.hidden_size, param_dtype=config.param_dtype, **dict(config.cell_options))
    if config.layers > 1:
        cell = cells.stack(*[cell] * config.layers, residual=config.residual, sum_outputs=config.sum_outputs)
    if isinstance(params.output, ProjectedSoftmaxParams):
        raise WeightsError("torch's word_language_model has no projection between hidden states and tied embeddings")
    inputs, words = input_size_of(cell, params.cell), np.shape(params.embedding)[:1]
    shape: Any = functools.partial(jax.ShapeDtypeStruct, dtype=config.param_dtype)
    w = None if config.tie_embeddings else shape((cell.spec.output_size, *words))
    wanted = LanguageModelParams(shape((*words, inputs)), ANY, SoftmaxParams(w, shape(words)))
    table, _, (w, b) = fit_tree(wanted, params, "this configuration")
    table = np.array(table)
    recurrent = weights.dump("torch", cell, params.cell, prefix="rnn")
    decoder = table if config.tie_embeddings else np.array(np.asarray(w).T, order="C")
    return {ENCODER: table, **recurrent, DECODER: decoder, BIAS: np.array(b)}


def _matrices(named: Mapping[str, np.ndarray], tied: bool | None) -> tuple[bool, np.ndarray, np.ndarray]:
    """Return whether weights are tied, the embedding ``[V, D]``, and the decoder's matrix ``[V, H]``."""
    table, matrix = named.get(ENCODER), named.get(DECODER)
    for name, array in ((ENCODER, table), (DECODER, matrix)):
        if array is not None and (array.ndim != 2 or not array.size):
            raise WeightsError(f"{name} has shape {array.shape}, and should be a matrix with one row per word")
    if table is None or matrix is None:
        if tied is False:
            lost = ENCODER if table is None else DECODER
            raise WeightsError(f"{lost} is missing: weights that are not tied need encoder.weight and decoder.weight")
        one = matrix if table is None else table
        assert one is not None
        return True, one, one
    equal = table.shape == matrix.shape and np.array_equal(table, matrix, equal_nan=True)
    if tied and not equal:
        how = "differ" if table.shape == matrix.shape else f"have shapes {table.shape} and {matrix.shape}"
        raise WeightsError(f"encoder.weight and decoder.weight {how}: they are not tied, leave `tied` out")
    return equal if tied is None else tied, table, matrix


def _kind(named: Mapping[str, np.ndarray]) -> str:
    """Return the example's name of the recurrent part, from the shape of its recurrent matrix."""
    rows, columns = (*named["rnn.weight_hh_l0"].shape, 0, 0)[:2]
    gates = rows // columns if columns and rows % columns == 0 else 0
    if "rnn.weight_hr_l0" in named:
        return "LSTM"
    if gates == 1:
        raise WeightsError('RNN_TANH and RNN_RELU have the same weights: give `kind`, "RNN_TANH" or "RNN_RELU"')
    if gates not in KINDS:
        raise WeightsError(
            f"rnn.weight_hh_l0 has shape {(rows, columns)}, which is not 1, 3 or 4 gates: is it transposed?"
        )
    return KINDS[gates]


def _config(cell: Cell, layers: tuple[Cell, ...], params: Any, *, tied: bool) -> ModelConfig:
    spec = layers[0].spec
    if spec.kind == "bidirectional":
        raise WeightsError("this network is bidirectional (weight_ih_l0_reverse), which a language model cannot be")
    lowest = params[0] if isinstance(cell, Stack) else params
    options: tuple[tuple[str, Any], ...] = ()
    if spec.kind == "lstm-projected":
        options = (("projection_size", spec.output_size),)
    elif lowest.b is None:
        options = (("bias", False),)
    elif spec.kind == "gru" and lowest.b_n is None:
        options = (("candidate_bias", False),)
    return ModelConfig(
        cell=f"elman-{dict(spec.variant)['activation']}" if spec.kind == "elman" else spec.kind,
        cell_options=options,
        hidden_size=spec.hidden_size,
        layers=len(layers),
        embedding_size=int(lowest.w_x.shape[0]),
        tie_embeddings=tied,
        dtype=str(spec.dtype),
        param_dtype=str(spec.param_dtype),
    )


def _check_sizes(cell: Cell, params: Any, table: np.ndarray, *, matrix: np.ndarray) -> None:
    lowest = params[0] if isinstance(cell, Stack) else params
    for name, array, size, of in (
        (ENCODER, table, lowest.w_x.shape[0], "inputs of rnn.weight_ih_l0"),
        (DECODER, matrix, cell.spec.output_size, "outputs of the rnn"),
    ):
        if array.shape[1] != size:
            raise WeightsError(f"{name} has shape {array.shape}: its rows should be as long as the {size} {of}")
    if len(table) != len(matrix):
        raise WeightsError(f"encoder.weight has {len(table)} rows and decoder.weight {len(matrix)}: their words differ")
