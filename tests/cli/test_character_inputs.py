"""A language model with character-CNN inputs: its gradient, its evaluation, and the commands."""

import json

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells, inputs
from rnnlm_jax.data import Batch
from rnnlm_jax.evaluation.perplexity import evaluate, text_nll
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import language_model
from tests.training.tiny import LINES, TINY, random_params, vocabulary

VOCABULARY = vocabulary()
LAYER = inputs.make(
    "char-cnn", VOCABULARY.tokens, dtype="float64", param_dtype="float64", filters="2+3", characters=3, highways=0
)
MODEL = language_model(cells.elman(4, param_dtype=jnp.float64), VOCABULARY.size, 5, input_layer=LAYER)
PARAMS = random_params(MODEL)
OPTIONS = ("--input=char-cnn", "--input-options=filters=4+3,characters=3,max_length=8")


def test_the_step_has_the_gradient_of_the_loss():
    ids = np.random.default_rng(0).integers(VOCABULARY.size, size=(4, 2))
    batch = Batch(ids[:-1], ids[1:], np.ones((3, 2), bool))
    state = MODEL.initial_state((2,))
    wanted = jax.jit(jax.grad(lambda params: MODEL.loss_fn(params, state, batch, None)[0]))(PARAMS)
    _, found = jax.jit(lambda params: loss_and_gradient(MODEL, params, state, batch, None, by_row=True))(PARAMS)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert np.any(other)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13 * np.abs(other).max())


def test_evaluation_from_the_table_is_the_same():
    """A text of more tokens than the vocabulary is read from a table formed once; a shorter one is not."""
    text = VOCABULARY.encode(LINES)
    assert len(text) >= VOCABULARY.size
    tabulated, table = MODEL.tabulated(PARAMS)
    assert tabulated.input.is_table
    assert table.embedding.shape == (VOCABULARY.size, 5)
    assert MODEL.tabulated(PARAMS)[0] == tabulated  # or evaluation would compile again and again
    before, first = VOCABULARY.start_id, text.tokens
    _, plain = jax.jit(MODEL.token_nll)(
        PARAMS, MODEL.initial_state((1,)), np.array([before, *first[:-1]])[:, None], first[:, None]
    )
    np.testing.assert_allclose(text_nll(MODEL, PARAMS, text, VOCABULARY), plain[:, 0], rtol=1e-12)
    short = VOCABULARY.encode(LINES[:1])
    assert len(short) < VOCABULARY.size
    np.testing.assert_allclose(evaluate(MODEL, PARAMS, short, VOCABULARY).nll, plain[: len(short)].sum(), rtol=1e-12)


def test_train_resume_eval_and_sample(corpus, tmp_path, rnnlm):
    run = tmp_path / "run"
    with jax.enable_x64(False):  # as in a process of its own
        assert rnnlm("train", *TINY, *OPTIONS, "--data", corpus, "--run", run).code == 0
        before = json.loads(RunFolder(run).results.read_text())["test_perplexity"]
        assert rnnlm("train", "--run", run, "--resume", "--epochs", "3").code == 0
        after = json.loads(RunFolder(run).results.read_text())["test_perplexity"]
        assert after < before
        assert [bank.shape for bank in open_run(run).params.embedding.filters] == [(3, 4), (6, 3)]
        drawn = rnnlm("sample", run, "--prompt", "the cat", "--max-tokens", "5")
    assert drawn.out.startswith("the cat")


def test_what_cannot_be(corpus, tmp_path, refuse):
    command = ["train", *TINY, "--data", corpus, "--run", tmp_path / "run", "--input", "char-cnn"]
    refuse(*command, "--tie-embeddings", saying="input 'char-cnn' is not a table that an output could be tied to")
    refuse(*command, "--input-options", "filters=0", saying="`filters` must be counts")
    refuse(*command, "--input-options", "kernels=2", saying="has no option 'kernels'")
    refuse(*command, "--input-options", "max_length=2", saying="`max_length` must be at least 3")
    assert not (tmp_path / "run").exists()
