"""The cuDNN executor: what it hands over, held to jax's plain reference of it; itself where there is a GPU."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import rnn

from rnnlm_jax import cells
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.cudnn import cudnn, why_not_cudnn
from rnnlm_jax.unroll.scan import scan
from tests.unroll.programs import B, D, H, T, assert_close, dot, jit, make, random_arrays, random_weights

FREE = Control(None, None)
CELL = cells.lstm(H)
ALL = jnp.ones((T, B), bool)

GPUS = [device for device in jax.devices() if device.platform == "gpu"]
gpu = pytest.mark.skipif(not GPUS, reason="no NVIDIA GPU")


def reference(x, h, c, weights, lengths, input_size, hidden_size, num_layers, dropout, bidirectional, precision):
    """``rnn.lstm`` in plain operations of jax."""
    assert weights.shape == (rnn.get_num_params_in_lstm(input_size, hidden_size, num_layers, bidirectional),)
    assert rnn._lstm_cudnn_allow_tf32(precision) is False
    parts = rnn.unpack_lstm_weights(weights, input_size, hidden_size, num_layers, bidirectional)
    return rnn.lstm_ref(x, h, c, *parts, lengths, input_size, hidden_size, num_layers, dropout, bidirectional)


@pytest.fixture
def plug_in(monkeypatch):
    """As if jax had come with CUDA: enough to trace a program, not to run it."""
    sizes = {"compute_rnn_workspace_reserve_space_sizes": lambda *about: (64, 96)}
    monkeypatch.setattr(rnn, "gpu_rnn", types.SimpleNamespace(_cuda_rnn=object(), **sizes))


def outputs_and_gradients(executor, reverse):
    """Final state, outputs, and gradients of every entry of both with respect to all that goes in."""
    weights = random_weights(CELL)

    def loss(params, state, xs):
        outputs = executor(CELL, params, state, xs, FREE, reverse=reverse)
        return dot(weights, outputs), outputs

    return jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(*random_arrays(CELL))


@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_handed_over(plug_in, monkeypatch, reverse):
    monkeypatch.setattr(rnn, "lstm", reference)
    assert_close(outputs_and_gradients(cudnn, reverse), outputs_and_gradients(scan, reverse), 1e-5)


def test_a_gradient_is_two_calls_of_cudnn(plug_in):
    """With the shapes of everything that goes in, and without TF32."""
    arguments = random_arrays(CELL)

    def loss(*arguments):
        return dot(random_weights(CELL), cudnn(CELL, *arguments, FREE))

    program = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1, 2)))(*arguments)
    assert [a.shape for a in program.out_avals] == [a.shape for a in jax.tree.leaves(arguments)]
    calls = [call for call in program.eqns if call.primitive.name.startswith("rnn_")]
    assert [call.primitive.name for call in calls] == ["rnn_fwd", "rnn_bwd"]
    assert not any(call.params["cudnn_allow_tf32"] for call in calls)


@gpu
@pytest.mark.parametrize("reverse", [False, True])
def test_on_a_gpu(reverse):
    with jax.default_matmul_precision("highest"):
        assert_close(outputs_and_gradients(cudnn, reverse), outputs_and_gradients(scan, reverse), 1e-5)


def shapes(cell, batch=(B,), steps=T, dtype="float32"):
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), D))
    return cell, params, jax.ShapeDtypeStruct((steps, *batch, D), dtype)


@pytest.mark.parametrize(
    ("what", "control", "platform", "reason"),
    [
        (shapes(cells.gru(H)), FREE, "gpu", "this gru cell is not one"),
        (shapes(cells.peephole_lstm(H)), FREE, "gpu", "plain LSTM only"),
        (shapes(make("stack", param_dtype="float32")), FREE, "gpu", "this stack cell is not one"),
        (shapes(dataclasses.replace(CELL)), FREE, "gpu", "this lstm cell is not one"),
        (shapes(cells.lstm(H, param_dtype="float64"), dtype="float64"), FREE, "gpu", "not in float64"),
        (shapes(cells.lstm(H, dtype="bfloat16")), FREE, "gpu", "not in bfloat16"),
        (shapes(CELL, dtype="float16"), FREE, "gpu", "not in float16"),
        (shapes(CELL, steps=0), FREE, "gpu", "cannot run empty arrays"),
        (shapes(CELL), Control(ALL, None), "gpu", "without a mask or lengths"),
        (shapes(CELL), Control(None, ~ALL), "gpu", "cannot reset"),
        (shapes(CELL), FREE, "cpu", "needs an NVIDIA GPU, and this runs on cpu"),
        (shapes(CELL), FREE, "tpu", "needs an NVIDIA GPU, and this runs on tpu"),
        (shapes(CELL), FREE, "gpu", None),
        (shapes(CELL), FREE, "cuda", None),
    ],
)
def test_what_it_refuses(plug_in, what, control, platform, reason):
    found = why_not_cudnn(*what, control, platform)
    assert found is None if reason is None else reason in found


def test_it_refuses_without_the_plug_in(monkeypatch):
    monkeypatch.setattr(rnn, "gpu_rnn", types.SimpleNamespace())
    assert "CUDA plug-in" in why_not_cudnn(*shapes(CELL), FREE, "gpu")


def test_what_it_refuses_it_does_not_run(plug_in):
    with pytest.raises(UserError, match="without a mask or lengths; use the scan executor"):
        cudnn(CELL, *random_arrays(CELL), Control(ALL, None))
