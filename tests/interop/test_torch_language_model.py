"""State dictionaries of PyTorch's word_language_model: round trips to the bit, and refusals."""

import jax
import numpy as np
import pytest

from rnnlm_jax.config import ModelConfig
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop import torch_language_model, weights
from rnnlm_jax.jobs.run_folder import build_model
from tests.interop.weight_cases import random_like, same_bits

V, D, H = 7, 3, 5

CONFIGS = {
    "lstm": ModelConfig("lstm", hidden_size=H, layers=2, embedding_size=D),
    "lstm, tied": ModelConfig("lstm", hidden_size=H, embedding_size=H, tie_embeddings=True),
    "gru": ModelConfig("gru", hidden_size=H, embedding_size=D),
    "elman": ModelConfig("elman-relu", hidden_size=H, layers=3, embedding_size=D),
    "no bias": ModelConfig("elman-tanh", (("bias", False),), hidden_size=H, embedding_size=D),
    "projected": ModelConfig("lstm-projected", (("projection_size", 2),), hidden_size=H, embedding_size=D),
    "projected, tied": ModelConfig(
        "lstm-projected", (("projection_size", 2),), hidden_size=H, layers=2, embedding_size=2, tie_embeddings=True
    ),
}
KINDS = {"elman": "RNN_RELU", "no bias": "RNN_TANH"}


def params_of(config):
    model = build_model(config, V)
    return random_like(jax.eval_shape(lambda: model.init(jax.random.key(0))))


def arrays_of(name, **changes):
    found = torch_language_model.dump(CONFIGS[name], params_of(CONFIGS[name])) | changes
    return {name: array for name, array in found.items() if array is not None}


@pytest.mark.parametrize("name", CONFIGS)
def test_round_trip(name):
    config, params = CONFIGS[name], params_of(CONFIGS[name])
    arrays = torch_language_model.dump(config, params)
    assert arrays["decoder.weight"].shape == (
        V,
        params.embedding.shape[1] if config.tie_embeddings else arrays_out(config),
    )
    found, back = torch_language_model.load(arrays, kind=KINDS.get(name))
    assert found == config
    same_bits(params, back)


def arrays_out(config):
    return dict(config.cell_options).get("projection_size", config.hidden_size)


def test_round_trip_through_a_file(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, arrays_of("lstm, tied"))
    config, params = torch_language_model.load(weights.read_safetensors(path))
    assert config == CONFIGS["lstm, tied"]
    same_bits(params, params_of(config))


@pytest.mark.parametrize("gone", ["encoder.weight", "decoder.weight"])
def test_files_that_store_shared_weights_once(gone):
    config, params = torch_language_model.load(arrays_of("lstm, tied", **{gone: None}))
    assert config.tie_embeddings
    same_bits(params, params_of(config))
    with pytest.raises(UserError, match=f"{gone} is missing: weights that are not tied need"):
        torch_language_model.load(arrays_of("lstm, tied", **{gone: None}), tied=False)


def test_equal_matrices_need_not_be_tied():
    config, params = torch_language_model.load(arrays_of("lstm, tied"), tied=False)
    assert not config.tie_embeddings
    np.testing.assert_array_equal(params.output.w, params.embedding.T)


def zeros(*shape):
    return np.zeros(shape, np.float32)


REFUSED = {
    "a transformer": ({"transformer_encoder.layers.0.linear1.weight": zeros(1)}, {}, "weights of a Transformer"),
    "something else": ({"fc.weight": zeros(2, 2)}, {}, "not a state_dict of encoder, rnn"),
    "no decoder": (
        {"decoder.weight": None, "encoder.weight": None},
        {},
        "not a state_dict of encoder, rnn",
    ),
    "not tied": (
        {},
        {"tied": True},
        "encoder.weight and decoder.weight have shapes (7, 3) and (7, 5): they are",
    ),
    "vocabularies": (
        {"encoder.weight": zeros(V + 1, D)},
        {},
        "encoder.weight has 8 rows and decoder.weight 7: their words differ",
    ),
    "encoder": ({"encoder.weight": zeros(V, D + 1)}, {}, "its rows should be as long as the 3 inputs of rnn"),
    "decoder transposed": ({"decoder.weight": zeros(H, V)}, {}, "should be as long as the 5 outputs of the rnn"),
    "decoder's bias": ({"decoder.bias": zeros(V + 1)}, {}, "decoder.bias has shape (8,), and should be (7,)"),
    "a vector": ({"encoder.weight": zeros(V)}, {}, "encoder.weight has shape (7,), and should be a matrix"),
    "recurrent transposed": ({"rnn.weight_hh_l0": zeros(H, 4 * H)}, {}, "which is not 1, 3 or 4 gates"),
    "both ways": (
        {
            f"rnn.{n}_l0_reverse": a
            for n, a in {
                "weight_ih": zeros(4 * H, D),
                "weight_hh": zeros(4 * H, H),
                "bias_ih": zeros(4 * H),
                "bias_hh": zeros(4 * H),
            }.items()
        },
        {},
        "is bidirectional",
    ),
    "types": ({"encoder.weight": np.zeros((V, D), np.float64)}, {}, "use one dtype"),
    "missing": ({"rnn.bias_hh_l0": None}, {}, "bias_hh_l0 is missing"),
    "another kind": ({}, {"kind": "GRU"}, "these are the arrays of torch LSTM"),
    "no such kind": ({}, {"kind": "QRNN"}, "torch has no kind 'QRNN' here"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_load_refuses(name):
    changes, options, complaint = REFUSED[name]
    arrays = arrays_of("lstm", **changes)
    if name == "both ways":
        arrays = {name: a for name, a in arrays.items() if "_l1" not in name}
    with pytest.raises(UserError) as error:
        torch_language_model.load(arrays, **options)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_simple_network_must_be_named():
    with pytest.raises(UserError, match="RNN_TANH and RNN_RELU have the same weights"):
        torch_language_model.load(arrays_of("elman"))


UNKNOWN = {
    "cell": (ModelConfig("lstm-peephole", hidden_size=H), "torch cannot express lstm-peephole"),
    "reset": (ModelConfig("gru-reset-before", hidden_size=H), "haiku GRU, keras GRU\\(reset_after=False\\) can"),
    "residual": (ModelConfig("lstm", hidden_size=H, layers=2, residual=True), "no residual layers"),
    "summed": (ModelConfig("lstm", hidden_size=H, layers=2, sum_outputs=True), "whose outputs are summed"),
    "sizes": (ModelConfig("lstm", hidden_size=H, last_hidden_size=3, layers=2), "gives all layers one size"),
    "zoneout": (ModelConfig("lstm", hidden_size=H, zoneout_cell=0.1), "has no zoneout"),
    "capped": (ModelConfig("lstm", (("input_gate", "capped"),), hidden_size=H), "torch cannot express lstm-capped"),
    "output": (ModelConfig("lstm", hidden_size=H, output="hierarchical"), "has no output 'hierarchical'"),
    "input": (ModelConfig("lstm", hidden_size=H, input="char-cnn"), "has no input 'char-cnn'"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_dump_refuses(name):
    config, complaint = UNKNOWN[name]
    plain = {"output": "softmax", "input": "embedding"}
    params = params_of(ModelConfig(**{**vars(config), **plain}))
    with pytest.raises(UserError, match=complaint):
        torch_language_model.dump(config, params)


def test_dump_refuses_parameters_of_another_model():
    config, params = torch_language_model.load(arrays_of("lstm"))
    short = params._replace(embedding=params.embedding[1:])
    for given, complaint in (
        (None, "`config` and `params` must be a ModelConfig and LanguageModelParams"),
        (params._replace(embedding=params.embedding[:, 0]), r"parameter embedding has shape \(7,\), but this config"),
        (short, r"parameter output.w has shape \(5, 7\), but this configuration needs \(5, 6\)"),
        (params._replace(cell=None), "needs"),
    ):
        with pytest.raises(UserError, match=complaint):
            torch_language_model.dump(config, given)
