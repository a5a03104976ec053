"""Frozen parameters keep their bits, have no optimiser state, and do not count in the norm for clipping."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax.arrays.sparse_rows import RowGradient
from rnnlm_jax.cli.main import main
from rnnlm_jax.compilation import jit
from rnnlm_jax.config import replace
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.checkpoints.array_digests import named_leaves
from rnnlm_jax.jobs.run_folder import build_model, initial_params
from rnnlm_jax.training.frozen_parameters import frozen, frozen_leaves, without_frozen
from rnnlm_jax.training.leaf_patterns import select_leaves
from rnnlm_jax.training.texts import load_texts
from rnnlm_jax.training.train import train
from tests.training.tiny import assert_same_bits, last_checkpoint, tiny_config

NAMES = ("embedding", "cell.0.w_x", "cell.0.w_h", "cell.0.b", "cell.1.w_x", "output.w", "output.b")


def random_tree(seed):
    """Parameters, or gradients, of two layers; with zeros of both signs."""
    draw = np.random.default_rng(seed)

    def array(*shape):
        values = draw.normal(size=shape).astype(np.float32)
        values.flat[0], values.flat[1] = -0.0, 0.0
        return jnp.asarray(values)

    layers = tuple({"w_x": array(3, 4), "w_h": array(4, 4)} for _ in range(2))
    return {"embedding": array(5, 3), "cell": layers, "output": {"w": array(4, 5), "b": array(5)}}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("embedding", ["embedding"]),
        ("cell.0.*", ["cell.0.w_x", "cell.0.w_h", "cell.0.b"]),
        ("cell.0", ["cell.0.w_x", "cell.0.w_h", "cell.0.b"]),
        ("output.b, *.w_x", ["cell.0.w_x", "cell.1.w_x", "output.b"]),
        ("cell.[01].w_?", ["cell.0.w_x", "cell.0.w_h", "cell.1.w_x"]),
    ],
)
def test_patterns_match_leaves_and_parts(patterns, expected):
    assert list(select_leaves(NAMES, patterns, option="freeze")) == expected


@pytest.mark.parametrize("patterns", ["embeding", "output.b,cell.2", "", ",", "w_x", "Embedding"])
def test_a_pattern_that_matches_nothing_is_an_error_with_the_names(patterns):
    with pytest.raises(ConfigError) as error:
        select_leaves(NAMES, patterns, option="freeze")
    assert str(error.value).startswith("`freeze` ")
    assert str(error.value).endswith(", ".join(NAMES))


def final(optimizer, params, steps=3):
    """Return parameters and state after some updates with different gradients, compiled as in training."""

    @jit
    def updated(params, state, gradient):
        moved, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, moved), state

    state = optimizer.init(params)
    for step in range(steps):
        params, state = updated(params, state, random_tree(step + 1))
    return params, state


RULES = {
    "adamw": lambda: optax.adamw(0.1, weight_decay=0.5),
    "momentum": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
}


@pytest.mark.parametrize("rule", RULES)
def test_frozen_parameters_keep_their_bits_and_the_others_train_as_alone(rule):
    patterns = "cell.0.*,output.b,embedding"
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        params = random_tree(0)
        trained, state = final(frozen(RULES[rule](), patterns), params)
        before, after = named_leaves(params), named_leaves(trained)
        kept = select_leaves(tuple(before), patterns, option="freeze")
        assert sorted(kept) == ["cell.0.w_h", "cell.0.w_x", "embedding", "output.b"]
        for name in kept:
            assert_same_bits(after[name], before[name])  # the signs of zeros included
        # The rest is what the optimiser makes of a model that has only these parameters.
        alone = without_frozen(params, patterns)
        rest, rest_state = alone, RULES[rule]().init(alone)
        for step in range(3):
            moved, rest_state = RULES[rule]().update(without_frozen(random_tree(step + 1), patterns), rest_state, rest)
            rest = optax.apply_updates(rest, moved)
        for name, array in named_leaves(rest).items():
            np.testing.assert_allclose(after[name], array, rtol=1e-6)
            assert not np.array_equal(after[name], before[name])
        sizes = [leaf.size for leaf in jax.tree.leaves(state)]
        assert sum(sizes) == sum(leaf.size for leaf in jax.tree.leaves(rest_state))  # no state for what is frozen


def test_the_clipping_norm_leaves_frozen_parameters_out():
    params, gradient = random_tree(0), random_tree(1)
    patterns = "embedding,cell"
    seen = without_frozen(gradient, patterns)
    norm = np.sqrt(sum(np.sum(np.square(np.asarray(leaf, np.float64))) for leaf in jax.tree.leaves(seen)))
    with jax.numpy_dtype_promotion("standard"):
        optimizer = frozen(optax.clip_by_global_norm(0.5), patterns)
        moved, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_allclose(moved["output"]["w"], 0.5 / norm * np.asarray(gradient["output"]["w"]), rtol=1e-6)
    assert without_frozen(gradient, None) is gradient


def test_a_gradient_by_row_may_be_frozen_or_not():
    params = random_tree(0)
    table = RowGradient(jnp.asarray([1, 3], jnp.int32), jnp.ones((2, 3), jnp.float32))
    gradient = random_tree(1) | {"embedding": table}

    def descend(leaf):
        return leaf._replace(rows=-leaf.rows) if isinstance(leaf, RowGradient) else -leaf

    by_row = optax.stateless(lambda g, _: jax.tree.map(descend, g, is_leaf=lambda leaf: isinstance(leaf, RowGradient)))
    with jax.numpy_dtype_promotion("standard"):
        for patterns, moves in (("embedding", False), ("output", True)):
            optimizer = frozen(by_row, patterns)
            moved, _ = optimizer.update(gradient, optimizer.init(params), params)
            if moves:
                np.testing.assert_array_equal(moved["embedding"].ids, table.ids)
                np.testing.assert_array_equal(moved["embedding"].rows, -table.rows)
            else:
                assert_same_bits(params["embedding"] + moved["embedding"], params["embedding"])


def test_shardings_of_the_state_are_found_for_the_leaves_that_have_one():
    """As ``state_shardings`` finds them: ``tree_map_params`` with the shardings of the trained parameters."""
    params, optimizer = random_tree(0), frozen(optax.adam(0.1), "embedding")
    names = without_frozen(jax.tree.map(lambda leaf: str(leaf.shape), params), "embedding")
    found = optax.tree_map_params(
        optimizer, lambda _, name: name, optimizer.init(params), names, transform_non_params=lambda _: "other"
    )
    assert sorted(set(jax.tree.leaves(found))) == ["(3, 4)", "(4, 4)", "(4, 5)", "(5,)", "other"]


def test_an_option_freezes_parameters_in_training(corpus, tmp_path, capsys):
    config = tiny_config(corpus, training={"epochs": 1, "freeze": "embedding,cell.w_h"})
    train(config, tmp_path / "run")
    texts = load_texts(config.data)
    model = build_model(config.model, texts.vocabulary.size)
    before = named_leaves(initial_params(model, config.training.seed))
    after = named_leaves(last_checkpoint(tmp_path / "run")[0].params)
    same = [name for name in before if np.array_equal(before[name], after[name])]
    assert same == ["embedding", "cell.w_h"] == list(frozen_leaves(model, "embedding,cell.w_h"))
    with pytest.raises(ConfigError, match="cannot resume with `freeze`"):
        train(replace(config, training={"freeze": None}), tmp_path / "run", resume=True)
    for wrong, said in (("cell.3", "matches no parameter"), ("*", "leaves nothing to train")):
        options = ["--cell=elman-tanh", "--hidden-size=4", f"--freeze={wrong}"]
        assert main(["train", "--data", str(corpus), "--run", str(tmp_path / "bad"), *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "--freeze" in line
        assert said in line
        assert "output.b" in line
        assert not (tmp_path / "bad").exists()
