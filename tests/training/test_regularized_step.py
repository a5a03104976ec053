"""Regularisers and label smoothing in the training step and on the command line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.cli.main import main
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.language_model.label_smoothing import check_label_smoothing
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs import softmax
from rnnlm_jax.outputs.adaptive_softmax import adaptive_softmax
from rnnlm_jax.regularizers import make_regularizers
from rnnlm_jax.training.step import make_train_step, step_key
from tests.training.tiny import TINY, fresh_state, optimizer

PAIRS = (("activation", 2), ("temporal_activation", 1), ("omega", 2), ("flossing", 1))


def test_a_step_follows_the_gradient_of_loss_and_penalties():
    """The model draws nothing: the step still has a key, for the frames of flossing."""
    model = language_model(cells.elman(4, param_dtype="float64"), 6, init_scale=0.5)
    rule = optimizer("sgd", 0.5)
    state = fresh_state(model, rule, 3, seed=1)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 6, (2, 4, 3)).astype(np.int32)
    batch = Batch(*ids, rng.random((4, 3)) < 0.8)
    before, tokens = jax.tree.map(np.asarray, state.params), int(batch.mask.sum())
    key = step_key(model, 7, jnp.zeros((), jnp.int32), draws=True)
    assert step_key(model, 7, jnp.zeros((), jnp.int32)) is None
    differentiate = jax.jit(
        lambda params: loss_and_gradient(
            model,
            params,
            model.initial_state((3,)),
            batch,
            key,
            normaliser=tokens,
            regularizers=make_regularizers(PAIRS),
            label_smoothing=0.2,
        )
    )
    (loss, scored), gradient = differentiate(before)
    step = make_train_step(model, rule, seed=7, regularizers=make_regularizers(PAIRS), label_smoothing=0.2)
    after, info = step(state, batch)
    np.testing.assert_allclose(info.nats, tokens * loss, rtol=1e-12)
    assert info.penalties.keys() == {"label_smoothing", *(name for name, _ in PAIRS)}
    for name, value in scored.penalties.items():
        np.testing.assert_allclose(info.penalties[name], value, rtol=1e-12)
    for new, old, slope in zip(*map(jax.tree.leaves, (after.params, before, gradient)), strict=True):
        np.testing.assert_allclose(new, old - 0.5 * slope, rtol=1e-12, atol=1e-14)


def test_a_run_with_terms(corpus, tmp_path):
    words = ["--regularize=activation=2,omega=2", "--label-smoothing=0.1"]
    assert main(["train", "--data", str(corpus), "--run", str(tmp_path / "run"), *TINY, *words]) == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--regularize=omgea=2"], "--regularize has no 'omgea': choose among activation"),
        (["--regularize=flossing=1,flossing_exponents=99"], "--regularize flossing_exponents must be at most the 8"),
        (["--label-smoothing=1"], "--label-smoothing must be at least 0 and below 1, not 1.0"),
        (["--label-smoothing=0.1", "--output=class"], "output 'class' does not form: use --output softmax"),
    ],
)
def test_impossible_options_end_with_a_message(corpus, tmp_path, capsys, words, complaint):
    run = tmp_path / "run"
    assert main(["train", "--data", str(corpus), "--run", str(run), *TINY, *words]) == 2
    assert complaint in capsys.readouterr().err
    assert not (run / "config.json").exists()


def test_labels_are_smoothed_for_one_softmax_over_all_words_only():
    check_label_smoothing(softmax(), 0.1)
    check_label_smoothing(adaptive_softmax((3,)), 0)
    with pytest.raises(ConfigError, match="'adaptive' does not form"):
        check_label_smoothing(adaptive_softmax((3,)), 0.1)
    for wrong in (-0.1, True, float("nan")):
        with pytest.raises(ConfigError, match="`label_smoothing` must be at least 0 and below 1"):
            check_label_smoothing(softmax(), wrong)
