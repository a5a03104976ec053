"""Every optimiser against optax itself: fifty updates, each clipping mode, dense and row-sparse; and its formula."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from rnnlm_jax.arrays.sparse_rows import dense_gradient, sum_duplicate_rows
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.presets import preset
from rnnlm_jax.training.guard import where_finite
from rnnlm_jax.training.learning_rates import make_learning_rate
from rnnlm_jax.training.make_optimizer import make_optimizer
from rnnlm_jax.training.optimizers import RULES
from rnnlm_jax.training.row_updates import by_rows, with_promotion
from rnnlm_jax.training.schedules import Length
from tests.training.tiny import assert_same_bits
from tests.unroll.programs import assert_close, jit

V, D, N, STEPS = 20, 3, 6, 50
RATE = 0.05
BY_ROW = ("sgd", "adagrad", "sign_sgd")
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def make_params(dtype):
    rng = np.random.default_rng(0)
    return LanguageModelParams(*(jnp.asarray(rng.normal(size=shape), dtype) for shape in ((V, D), (D, D), (D,))))


def make_gradients(dtype):
    """Return gradients of ``STEPS`` batches, stacked; rows of the embedding occur twice."""
    rng = np.random.default_rng(1)
    ids = rng.integers(0, V, (STEPS, N))
    ids[:, 0] = ids[:, -1]
    shapes = ((STEPS, N, D), (STEPS, D, D), (STEPS, D))
    rows, cell, output = (jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)
    return jnp.asarray(ids, jnp.int32), LanguageModelParams(rows, cell, output)


def trained(rule, *, by_row, dtype):
    """Return parameters and state after all updates, with row-sparse or dense gradients of the embedding."""

    @jit
    def run(params, ids, gradients):
        def step(carried, batch):
            params, state = carried
            ids, gradient = batch
            gradient = gradient._replace(embedding=sum_duplicate_rows(ids, gradient.embedding))
            gradient = gradient if by_row else dense_gradient(gradient, params)
            updates, state = rule.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, rule.init(params)), (ids, gradients))[0]

    return run(make_params(dtype), *make_gradients(dtype))


def by_hand(name, rate, clip_norm, scope):
    """Return optax's transformation, written out."""
    rules = {
        "momentum": lambda: optax.sgd(rate, 0.9),
        "nesterov": lambda: optax.sgd(rate, 0.9, nesterov=True),
        "sm3": lambda: optax.chain(optax.scale_by_sm3(0.9), optax.scale_by_learning_rate(rate)),
    }
    library = optax if hasattr(optax, name) else contrib
    rule = rules[name]() if name in rules else getattr(library, name)(rate)
    if clip_norm is None:
        return with_promotion(rule)
    clip = optax.clip_by_global_norm(clip_norm)
    mask = LanguageModelParams(embedding=False, cell=True, output=False)
    return with_promotion(optax.chain(optax.masked(clip, mask) if scope == "cells" else clip, rule))


#: One of the clipping modes for each rule, all of them for four rules.
MODES = ((None, "all"), (1.5, "all"), (1.5, "cells"))
CASES = [
    (name, *MODES[k])
    for number, name in enumerate(sorted(RULES))
    for k in (range(3) if name in ("sgd", "adagrad", "adam", "lion") else [number % 3])
]


@pytest.mark.parametrize(("name", "clip_norm", "scope"), CASES)
def test_fifty_updates_are_those_of_optax(name, clip_norm, scope):
    dtype = "float64" if name in BY_ROW or len(name) % 2 else "float32"
    config = OptimizerConfig(
        name,
        learning_rate=RATE,
        schedule="linear",
        schedule_options=(("end", 0.5),),
        clip_norm=clip_norm,
        clip_scope=scope,
    )
    ours = by_rows(make_optimizer(config, Length.of_equal_epochs(STEPS, 10)).transform)
    schedule = optax.linear_schedule(RATE, 0.5 * RATE, STEPS)
    wanted = trained(by_hand(name, schedule, clip_norm, scope), by_row=False, dtype=dtype)[0]
    assert_close(trained(ours, by_row=False, dtype=dtype)[0], wanted, TOLERANCE[dtype])
    if name in BY_ROW:
        assert_close(trained(ours, by_row=True, dtype=dtype)[0], wanted, TOLERANCE[dtype])


P, GRADIENTS = np.array([1.0, -2.0, 0.5]), (np.array([0.3, -0.1, 0.4]), np.array([-0.2, 0.5, 0.1]))


def adam(g1, g2, decay=0.0):
    p, m, v = P, 0.0, 0.0
    for t, g in ((1, g1), (2, g2)):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        p = p - RATE * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + decay * p)
    return p


def adagrad(g1, g2):
    one = 0.1 + g1**2  # optax's initial sum
    return P - RATE * g1 / np.sqrt(one + 1e-7) - RATE * g2 / np.sqrt(one + g2**2 + 1e-7)


FORMULAS = {
    "sgd": ({}, lambda g1, g2: P - RATE * g1 - RATE * g2),
    "momentum": ({"momentum": 0.8}, lambda g1, g2: P - RATE * g1 - RATE * (0.8 * g1 + g2)),
    "adagrad": ({}, adagrad),
    "adam": ({}, adam),
    "adamw": ({"weight_decay": 0.05}, lambda g1, g2: adam(g1, g2, decay=0.05)),
    "lion": ({"weight_decay": 0.0}, lambda g1, g2: P - RATE * np.sign(g1) - RATE * np.sign(0.09 * g1 * 0.1 + 0.1 * g2)),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("clip", [None, 0.25])
def test_two_updates_are_those_of_the_formula(name, clip):
    options, formula = FORMULAS[name]
    config = OptimizerConfig(name, tuple(options.items()), learning_rate=RATE, clip_norm=clip)
    rule = with_promotion(make_optimizer(config).transform)
    p = {"p": jnp.asarray(P)}
    state = rule.init(p)
    for g in GRADIENTS:
        updates, state = rule.update({"p": jnp.asarray(g)}, state, p)
        p = optax.apply_updates(p, updates)
    clipped = GRADIENTS if clip is None else [clip * g / np.linalg.norm(g) for g in GRADIENTS]
    assert all(np.linalg.norm(g) > 0.25 for g in GRADIENTS)
    np.testing.assert_allclose(p["p"], formula(*clipped), rtol=1e-6)


@pytest.mark.parametrize("mask", ["*", "matrices", "cell,output"])
def test_weight_decay_is_added_after_clipping_where_the_mask_says(mask):
    config = OptimizerConfig("sgd", learning_rate=RATE, clip_norm=0.5, weight_decay=0.2, weight_decay_mask=mask)
    rule, params = make_optimizer(config).transform, make_params("float64")
    decays = {"*": (1, 1, 1), "matrices": (1, 1, 0), "cell,output": (0, 1, 1)}[mask]
    gradient = jax.tree.map(jnp.ones_like, params)
    found, _ = rule.update(gradient, rule.init(params), params)
    norm = np.sqrt(V * D + D * D + D)
    for update, p, is_decaying in zip(found, params, decays, strict=True):
        np.testing.assert_allclose(update, -RATE * (0.5 / norm + 0.2 * is_decaying * np.asarray(p)), rtol=1e-12)


def test_a_rule_with_decay_of_its_own_takes_the_mask():
    options = (("weight_decay", 0.2),)
    config = OptimizerConfig("adamw", options, learning_rate=RATE, clip_norm=None, weight_decay_mask="cell")
    rule, params = with_promotion(make_optimizer(config).transform), make_params("float64")
    zeros = jax.tree.map(jnp.zeros_like, params)
    found, _ = rule.update(zeros, rule.init(params), params)
    np.testing.assert_allclose(found.cell, -RATE * 0.2 * params.cell, rtol=1e-6)
    assert not np.any(found.embedding)


def test_a_mask_without_weight_decay_is_refused():
    with pytest.raises(ConfigError, match="and none does: set `weight_decay`, or leave it out"):
        make_optimizer(OptimizerConfig("adam", weight_decay_mask="cell"))
    with pytest.raises(ConfigError, match="cannot have 'mask': choose the parameters by `weight_decay_mask`"):
        make_optimizer(OptimizerConfig("adamw", (("mask", True),)))


def test_a_rule_of_the_user_is_loaded_from_its_file(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "import optax\n"
        "def rule(schedule, b1=0.9): return optax.lion(schedule, b1=b1, weight_decay=0.0)\n"
        "def number(schedule): return 3\n"
        "def broken(schedule): return 1 / 0\n"
    )
    config = OptimizerConfig(f"{file}:rule", (("b1", 0.5),), learning_rate=RATE, clip_norm=None)
    found = trained(make_optimizer(config).transform, by_row=False, dtype="float64")
    assert_close(found[0], trained(optax.lion(RATE, 0.5, weight_decay=0.0), by_row=False, dtype="float64")[0], 1e-12)
    for name, options, message in (
        ("rule", (("b3", 1),), r"own.py:rule' has no option 'b3': its options are b1"),
        ("number", (), "must return an optax.GradientTransformation, not int"),
        ("broken", (), "failed with ZeroDivisionError"),
        ("missing", (), "has no function missing"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_optimizer(OptimizerConfig(f"{file}:{name}", options))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zaremba/small", [1, 1, 1, 1, 1 / 2, 1 / 4, 1 / 8]),
        ("zaremba/medium", [1, 1, 1, 1, 1, 1, 1 / 1.2, 1 / 1.2**2]),
        ("zaremba/large", [1] * 14 + [1 / 1.15, 1 / 1.15**2]),
    ],
)
def test_learning_rates_are_those_of_the_paper(name, expected):
    config = preset(name).optimizer
    length = Length.of_equal_epochs(10 * len(expected), 10)
    rate = make_learning_rate(config.schedule, config.learning_rate, length, **dict(config.schedule_options))
    np.testing.assert_allclose([rate.at(10 * epoch + 9) for epoch in range(len(expected))], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_nothing_changes_where_loss_or_gradient_is_not_finite(name):
    rule = by_rows(where_finite(make_optimizer(OptimizerConfig(name)).transform))
    p = make_params("float64")
    p = p._replace(embedding=p.embedding.at[3].set(-0.0))
    bad = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), p)
    state = rule.update(p, rule.init(p), p, is_finite=jnp.asarray(True))[1]
    moved, after = rule.update(bad, state, p, is_finite=jnp.asarray(False))
    assert_same_bits(optax.apply_updates(p, moved), p)
    assert_same_bits(after, state)


def memory(name, *, by_row, rows, width):
    """Return the compiler's memory analysis of one update of a table, parameters and state donated."""
    rule = by_rows(where_finite(make_optimizer(OptimizerConfig(name, schedule="linear")).transform))

    @functools.partial(jit, donate_argnums=(0, 1))
    def update(table, state, gradient):
        gradient = {"table": sum_duplicate_rows(*gradient)} if by_row else gradient
        updates, state = rule.update(gradient, state, table, is_finite=jnp.asarray(True))
        return optax.apply_updates(table, updates), state

    table = {"table": jax.ShapeDtypeStruct((rows, width), jnp.float32)}
    found = (jax.ShapeDtypeStruct((N,), jnp.int32), jax.ShapeDtypeStruct((N, width), jnp.float32))
    return update.lower(table, jax.eval_shape(rule.init, table), found if by_row else table).compile().memory_analysis()


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_memory_of_an_update_by_row_does_not_grow_with_the_table(name):
    few, many = (memory(name, by_row=True, rows=rows, width=D) for rows in (100, 100_000))
    assert many.temp_size_in_bytes == few.temp_size_in_bytes < 10_000
    assert many.alias_size_in_bytes >= 100_000 * D * 4 * (1 if name == "sgd" else 2)  # written in place


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "adam", "adamw"])
def test_a_dense_update_makes_one_copy_at_most(name):
    assert memory(name, by_row=False, rows=1000, width=50).temp_size_in_bytes < 1000 * 50 * 4 * 1.5


@pytest.mark.parametrize("is_finite", [True, False])
def test_the_guard_selects_states_of_every_form(is_finite):
    """A state that is computed, returned twice, constant, unchanged, or an argument of the update."""

    def init(params):
        return {
            "sum": params,
            "twice": (params, params),
            "flag": jnp.zeros((), jnp.int32),
            "kept": params,
            "last": params,
        }

    def update(updates, state, params=None):
        total = jax.tree.map(jnp.add, state["sum"], updates)
        after = {
            "sum": total,
            "twice": (jax.tree.map(jnp.sin, total),) * 2,
            "flag": jnp.ones((), jnp.int32),
            "kept": state["kept"],
            "last": params,
        }
        return jax.tree.map(jnp.negative, total), after

    rule = where_finite(optax.GradientTransformation(init, update))
    p = {"w": jnp.arange(3.0)}
    state = jax.tree.map(lambda a: a + jnp.full_like(a, 5), init(p))
    g = {"w": jnp.full(3, 0.5 if is_finite else np.nan)}
    wanted = update(g, state, p) if is_finite else (jax.tree.map(jnp.zeros_like, p), state)
    found = jit(lambda *args: rule.update(*args, is_finite=jnp.asarray(is_finite)))(g, state, p)
    assert_close(found, wanted, 0)
