"""Training with a sampled loss: row-sparse steps equal dense ones, and the loss is not reported as a perplexity."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax import UserError, cells, outputs
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.run_folder import RunFolder, build_model, open_run
from rnnlm_jax.language_model.loss_gradient import OUTPUT_DRAWS, loss_and_gradient
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.row_updates import with_promotion
from rnnlm_jax.training.step import make_train_step, step_key
from rnnlm_jax.training.train import train
from tests.training.tiny import assert_same_run, fresh_state, optimizer, records, tiny_config
from tests.unroll.programs import assert_close, jit

V, T, B, H = 60, 4, 3, 5
SEED = 3


@functools.cache
def make(kind):
    words = WordCounts([f"w{v}" for v in range(V)], np.arange(V)[::-1] // 2)
    output = outputs.make(kind, words, dtype="float64", param_dtype="float64", num_samples=8)
    return language_model(cells.elman(H, param_dtype=jnp.float64), V, output=output)


def make_batch(seed):
    inputs, targets = np.random.default_rng(seed).integers(0, V, (2, T, B)).astype(np.int32)
    targets[:2] = targets[2:]  # each target occurs twice
    mask = np.ones((T, B), bool)
    mask[2:, 1] = False
    return Batch(inputs, targets, mask)


def reference(model, rule):
    """Return the same step in three lines of optax, with the dense gradient of the same sampled loss."""

    @jit
    def step(state, batch):
        key = jax.random.fold_in(step_key(model, SEED, state.step), OUTPUT_DRAWS)

        def loss(params):
            after, hs = model.hidden(params, state.model_state, batch.inputs, None)
            rows = model.output.by_row
            value = rows.loss(*rows.gather(params.output, batch.targets, key), hs, batch.targets, batch.mask / mask_sum)
            return value, after

        mask_sum = batch.mask.sum()
        gradient, after = jax.grad(loss, has_aux=True)(state.params)
        updates, opt_state = with_promotion(rule).update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state._replace(params=params, opt_state=opt_state, model_state=after, step=state.step + 1)

    return step


@pytest.mark.parametrize(("kind", "name"), [("importance", "adagrad"), ("nce", "adam")])
def test_steps_are_those_of_the_dense_gradient(kind, name):
    model, rule = make(kind), optimizer(name, clip_norm=0.3)
    step, same = make_train_step(model, rule, seed=SEED), reference(make(kind), rule)
    state = fresh_state(model, rule, B)
    before = np.asarray(state.params.output.w)
    other = jax.tree.map(np.array, state)
    for seed in range(2):  # two draws
        state, info = step(state, make_batch(seed))
        other = same(other, make_batch(seed))
        assert float(info.grad_norm) > 0.3
    assert_close(tuple(state[:3]), tuple(other[:3]))
    moved = (np.asarray(state.params.output.w) != before).any(axis=1).sum()
    assert 8 < moved < V  # rows without a gradient do not change


def test_without_a_key_the_loss_is_exact():
    model = make("blackout")
    state, batch = fresh_state(model, optimizer("sgd"), B), make_batch(0)

    @jit
    def both(params):
        (found, _), _ = loss_and_gradient(model, params, state.model_state, batch, None, by_row=True)
        return found, model.loss_fn(params, state.model_state, batch, None)[0]

    found, exact = both(state.params)
    np.testing.assert_allclose(found, exact, rtol=1e-13)


def test_the_matrix_is_never_copied():
    """The temporaries of a step are far smaller than the matrix."""
    size, width = 40_000, 256
    words = WordCounts(range(size), np.ones(size, int))  # type: ignore[arg-type]
    model = language_model(
        cells.elman(width), size, 2, output=outputs.make("importance", words, num_samples=4), init_scale=0.1
    )
    rule = optimizer("adagrad", clip_norm=5.0)
    state = jax.eval_shape(lambda: fresh_state(model, rule, 1))
    batch = Batch(*(jax.ShapeDtypeStruct((2, 1), dtype) for dtype in (np.int32, np.int32, np.bool_)))
    compiled = make_train_step(model, rule).lower(state, batch).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < size * width * 4 / 10


@pytest.fixture(scope="module")
def sampled_run(corpus, tmp_path_factory):
    """A run of two epochs, in float32."""
    run = tmp_path_factory.mktemp("sampled") / "run"
    with jax.enable_x64(False):
        results = train(experiment(corpus, 2), run)
    return run, results


def experiment(corpus, epochs):
    model = {"output": "importance", "output_options": (("num_samples", 5),)}
    return tiny_config(
        corpus, model=model, optimizer={"optimizer": "adagrad"}, training={"epochs": epochs, "log_every": 1}
    )


def test_a_sampled_loss_is_not_reported_as_a_perplexity(sampled_run):
    run, results = sampled_run
    steps = [r for r in records(run) if r["kind"] == "step"]
    epochs = [r for r in records(run) if r["kind"] == "validation"]
    assert len(epochs) == 2
    for record in steps:
        assert math.isfinite(record["sampled_loss"])
        assert not {"perplexity", "nats_per_token"} & set(record)
    for record in epochs:
        assert record["train_perplexity"] is None
        assert math.isfinite(record["train_sampled_loss"])
        assert math.isfinite(record["valid_perplexity"])
    best = open_run(run)
    assert best.model.output.kind == "importance"
    assert best.words is not None
    assert best.words.counts.sum() > 0
    assert results.test.perplexity == pytest.approx(json.loads(RunFolder(run).results.read_text())["test_perplexity"])


def test_a_resumed_run_draws_the_same_samples(corpus, sampled_run, tmp_path):
    run = tmp_path / "run"
    with jax.enable_x64(False):
        train(experiment(corpus, 1), run)
        train(experiment(corpus, 2), run, resume=True)
        assert_same_run(run, sampled_run[0])


def test_lost_or_damaged_counts_are_errors(sampled_run):
    counts = RunFolder(sampled_run[0]).counts
    kept = counts.read_text()
    try:
        counts.write_text(kept.replace("1", "2"))
        with pytest.raises(UserError, match="counts.json is damaged"):
            open_run(sampled_run[0])
        counts.unlink()
        with pytest.raises(UserError, match="restore counts.json"):
            open_run(sampled_run[0])
    finally:
        counts.write_text(kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "importance", "output_options": (("num_samples", 99),)}, "99 is more than the 60 words"),
        ({"output": "nce", "output_options": (("num_samples", -1),)}, "positive whole number"),
        ({"output": "nce", "tie_embeddings": True}, "cannot be tied"),
        ({"output": "hinge"}, "unknown output 'hinge'"),
        ({"output": "nce", "output_options": (("dtype", "float64"),)}, "`output_options` cannot set precisions"),
    ],
)
def test_impossible_options_are_refused(options, message):
    words = WordCounts([f"w{v}" for v in range(V)], [1] * V)
    with pytest.raises(UserError, match=message):
        build_model(ModelConfig(cell="elman-tanh", hidden_size=4, **options), V, words=words)
