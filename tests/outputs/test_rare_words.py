"""Every output layer on news of 32,793 types, most of them rare: nothing that is not finite, and the loss falls."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import build_vocabulary, read_lines
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.outputs import OUTPUTS
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.step import make_train_step
from rnnlm_jax.training.train_state import initial_train_state
from tests.training.tiny import optimizer

STEPS, STREAMS, HIDDEN = 8, 2, 4
OPTIONS = {
    "maxent": (("table_size", 2**18),),
    "adaptive": (("cutoffs", "2000:20000"), ("div_value", 1.5)),
    **dict.fromkeys(("importance", "nce", "blackout"), (("num_samples", 256),)),
}


@pytest.fixture(scope="module")
def text():
    """The words with their counts, and the ids of the text."""
    file = Path(os.environ.get("RNNLM_JAX_DATA", "")) / "lm1b-sample" / "news.dev.txt"
    if not file.is_file():
        pytest.skip("needs lm1b-sample/news.dev.txt under RNNLM_JAX_DATA")
    lines = list(read_lines(file))
    vocabulary = build_vocabulary(lines)
    ids = vocabulary.encode(lines).tokens
    return WordCounts.counted(vocabulary.tokens, ids), ids


@pytest.mark.parametrize("name", OUTPUTS)
def test_training_and_evaluation_stay_finite(name, text):
    """The step that training runs, on frequent words and on those seen least, each until it is learnt by heart."""
    words, ids = text
    assert words.size > 30_000 and np.median(words.counts) <= 2
    config = ModelConfig(cell="elman-tanh", hidden_size=HIDDEN, output=name, output_options=OPTIONS.get(name, ()))
    model = build_model(config, words.size, words=words)
    rule = optimizer("adagrad", clip_norm=5.0)
    step = make_train_step(model, rule, carries_state=False)
    rarest = np.argsort(words.counts)[: 2 * STEPS + 1].astype(np.int32)
    of_text, of_rarest = (_batch(read) for read in (ids[: 2 * STEPS + 1], rarest))

    @jax.jit
    def look(params, batch):
        """Exact nats of the batch's tokens, and the distributions of what follows the first of each stream."""
        start = model.initial_state((STREAMS,))
        nats = model.token_nll(params, start, batch.inputs, batch.targets)[1]
        return nats, model.log_probs(params, start, batch.inputs[0])[1]

    state = initial_train_state(model, rule, STREAMS)
    for batch in (of_text, of_rarest):
        before = look(state.params, batch)[0].mean()
        for _ in range(10):
            state, info = step(state, batch)
            assert np.isfinite(info.nats) and int(info.skipped) == 0
        nats, log_probs = look(state.params, batch)
        assert nats.mean() < before - 0.5
        # Normalised over all words, the rarest among them; and what is scored is what is listed.
        np.testing.assert_allclose(np.exp(log_probs.astype(jnp.float64)).sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(nats[0], -log_probs[np.arange(STREAMS), batch.targets[0]], rtol=1e-4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def _batch(tokens: np.ndarray) -> Batch:
    """Two streams of a text, [T, 2]."""
    inputs, targets = (part.reshape(STREAMS, STEPS).T for part in (tokens[:-1], tokens[1:]))
    return Batch(inputs, targets, np.ones(inputs.shape, bool))
