"""Tiny texts, configurations and parameters, shared by the tests of models, training and commands."""

import contextlib
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.config import Config, OptimizerConfig, replace
from rnnlm_jax.data import build_vocabulary
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.training.interval_metrics import TIMING_PREFIXES
from rnnlm_jax.training.make_optimizer import make_optimizer
from rnnlm_jax.training.train_state import initial_train_state, join_state, split_state
from rnnlm_jax.training.training_program import training_program

LINES = ["the cat sat on the mat", "a dog ran to the cat", "", "the mat is on a dog and the cat is on the mat", "ran"]

#: Options of a run of one second; with init_scale, since the orthogonal initializer takes seconds to compile.
TINY = [
    *("--cell=elman-tanh", "--hidden-size=8", "--init-scale=0.3"),
    *("--batch-size=2", "--bptt=10", "--epochs=1", "--learning-rate=0.01"),
    # options that the demo preset sets otherwise
    *("--no-tie-embeddings", "--dropout-input=0", "--dropout-output=0", "--optimizer=adam", "--schedule=constant"),
]

#: The command in a process of its own.
PROGRAM = [sys.executable, "-c", "from rnnlm_jax.cli.main import run; run()"]

#: The same without the figure of the learning curve, which takes longer than training a tiny model.
TRAINING_PROGRAM = [
    *PROGRAM[:2],
    "from rnnlm_jax.training import results; results.learning_curve = lambda metrics, names, path: None; " + PROGRAM[2],
]


def text(repeats=8):
    """Return a text of similar lines in changing order."""
    lines = []
    for k in range(repeats):
        lines += LINES[k % 3 :] + LINES[: k % 3]
    return "\n".join(lines) + "\n"


def random_params(model, seed=0, scale=0.5):
    """Return random parameters drawn with NumPy, biases included."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda s: jnp.asarray(rng.normal(scale=scale, size=s.shape), s.dtype), shapes)


def optimizer(name, learning_rate=0.5, **options):
    """Return the transformation of an optimiser's configuration, by default without clipping."""
    options = {"clip_norm": None} | options
    return make_optimizer(OptimizerConfig(name, learning_rate=learning_rate, **options)).transform


def fresh_state(model, optimizer, batch_size, seed=0):
    """Return an initial state without compilations: parameters drawn with NumPy, all else zero."""
    shapes = jax.eval_shape(lambda: initial_train_state(model, optimizer, batch_size))
    zeros = jax.tree.map(lambda s: jnp.array(np.zeros(s.shape, s.dtype)), shapes)
    return zeros._replace(params=random_params(model, seed, scale=0.4))


def vocabulary(lines=LINES):
    return build_vocabulary(lines, "word")


def tiny_config(corpus, **parts):
    """Return the configuration of ``TINY`` for a text, with changed parts."""
    config = replace(
        Config(),
        data={"corpus": str(corpus), "batch_size": 2, "bptt": 10},
        model={"cell": "elman-tanh", "hidden_size": 8, "init_scale": 0.3},
        optimizer={"learning_rate": 0.01},
        training={"epochs": 1},
    )
    return replace(config, **parts)


def last_checkpoint(path, which="last"):
    """Return the state and the position of the newest checkpoint of a run."""
    from rnnlm_jax.jobs.run_folder import build_model, read_config_and_identity, read_vocabulary, read_words

    folder = RunFolder(path)
    config, identity = read_config_and_identity(folder)
    words = read_vocabulary(folder, identity)
    model = build_model(config.model, words.size, words=read_words(folder, identity, words))
    like = jax.eval_shape(training_program(model, config).initial_state)
    kept = CheckpointFolder(folder.checkpoints(which))
    trees, position = kept.restore(split_state(like), identity, kept.steps()[-1])
    return join_state(trees), position


def assert_same_bits(one, two):
    """Assert that all leaves of two trees have the same bits."""
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


def assert_same_run(one, two):
    """Assert that two runs have the same parameters, optimiser state, position, figures and metrics."""
    (state, position), (other, where) = last_checkpoint(one), last_checkpoint(two)
    assert_same_bits(state, other)
    assert timeless(vars(position)) == timeless(vars(where))
    first, second = (json.loads(RunFolder(path).results.read_text()) for path in (one, two))
    for part in ("test", "valid"):
        assert timeless(first[part]) == timeless(second[part])
    assert first["steps"] == second["steps"]
    assert records(one) == records(two)


def records(path):
    """Return the metrics of a run without those that differ between equal runs."""
    return [timeless(json.loads(line)) for line in RunFolder(path).metrics.read_text().splitlines()]


def timeless(figures):
    own = (*TIMING_PREFIXES, "records_digest", "run_id")
    return {name: value for name, value in figures.items() if not name.startswith(own)}


def identity_of(config, words):
    """Return the identity of a new run on an unknown text."""
    return RunIdentity.begin(config, words.content_hash)


@contextlib.contextmanager
def no_learning_curves():
    """Train without the figure of the learning curve, which takes longer than training a tiny model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnnlm_jax.training.results.learning_curve", lambda metrics, names, path: None)
        yield
