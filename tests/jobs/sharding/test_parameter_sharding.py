"""Shardings of parameters and of the optimiser's state, and the mesh."""

import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from rnnlm_jax import UserError
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.jobs.sharding.mesh import check_divides, describe_mesh, executor_on_mesh, make_mesh, mesh_for, parse_mesh
from rnnlm_jax.jobs.sharding.parameter_sharding import describe_shardings, shard_parameter, shard_parameters
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.frozen_parameters import frozen
from rnnlm_jax.training.train_state import initial_train_state, state_shardings
from tests.training.tiny import optimizer

OPTIONS = {"adaptive": (("cutoffs", "24:64"),), "importance": (("num_samples", 4),), "maxent": (("table_size", 256),)}
OPTIONS["mixture-of-softmaxes"] = (("components", 3),)
OPTIONS |= {"nce": OPTIONS["importance"], "blackout": OPTIONS["importance"]}


def model(output, vocabulary=128):
    words = WordCounts([f"w{k}" for k in range(vocabulary)], np.maximum(1000 // np.arange(1, vocabulary + 1), 1))
    config = ModelConfig(hidden_size=16, embedding_size=16, output=output, output_options=OPTIONS.get(output, ()))
    return build_model(config, vocabulary, words=words)


def shardings_of(tree):
    return jax.tree.leaves(tree, is_leaf=lambda leaf: hasattr(leaf, "manner"))


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_largest_matrix_of_every_output_layer_is_sharded_over_words_or_width(output):
    ours = model(output)
    shapes = jax.eval_shape(ours.init, jax.random.key(0))
    found = shard_parameters(ours, 2)
    assert found.embedding.manner == "words"
    assert all(sharding.manner is None for sharding in shardings_of(found.cell))
    pairs = zip(shardings_of(found.output), jax.tree.leaves(shapes.output), strict=True)
    sharding, shape = max(pairs, key=lambda pair: pair[1].size)
    assert sharding.manner in ("words", "width")
    assert "model" in sharding.spec, shape


def test_the_sharded_tables_of_each_output_layer():
    """Names and specs of all tables of words, over two devices."""
    columns, rows = PartitionSpec(None, "model"), PartitionSpec("model")
    sampled = {"w": rows, "b": rows}
    expected = {
        "softmax": {"w": columns, "b": rows},
        "mixture-of-softmaxes": {"w": columns, "b": rows},
        "class": {"word_w": rows, "word_b": rows},
        "maxent": {"softmax.word_w": rows, "softmax.word_b": rows, "table": rows},
        # 127 inner nodes do not divide: the matrix is sharded over its width, the bias is replicated.
        "hierarchical": {"w": columns, "b": PartitionSpec()},
        "adaptive": {"head": columns, "tails.0.w": columns, "tails.1.w": columns},
        "importance": sampled,
        "nce": sampled,
        "blackout": sampled,
    }
    assert set(expected) == set(OUTPUTS)
    for output, tables in expected.items():
        found = shardings_of(shard_parameters(model(output), 2).output)
        assert {s.name: s.spec for s in found if s.manner} == {f"output.{output}.{k}": v for k, v in tables.items()}


def test_a_table_is_sharded_over_words_or_width_or_replicated():
    assert shard_parameter("embedding", (12, 6), 0, 4) == ("embedding", PartitionSpec("model"), "words")
    assert shard_parameter("embedding", (11, 8), 0, 4).spec == PartitionSpec(None, "model")
    assert shard_parameter("embedding", (11, 6), 0, 4) == ("embedding", PartitionSpec(), "whole")
    assert shard_parameter("w", (6, 12), 1, 4).spec == PartitionSpec(None, "model")
    assert shard_parameter("w", (8, 11), 1, 4) == ("w", PartitionSpec("model"), "width")
    assert shard_parameter("b", (11,), 0, 4) == ("b", PartitionSpec(), "whole")
    assert shard_parameter("cell.w_x", (12, 48), None, 4) == ("cell.w_x", PartitionSpec(), None)


def test_a_layer_without_word_axes_is_refused_where_tables_are_sharded():
    ours = model("softmax")
    ours = dataclasses.replace(ours, output=dataclasses.replace(ours.output, word_axes=None))
    with pytest.raises(ArgumentError, match="output 'softmax' does not declare `word_axes`"):
        shard_parameters(ours, 2)
    assert {sharding.spec for sharding in shardings_of(shard_parameters(ours, 1).output)} == {PartitionSpec()}


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "adam", "lion"])
def test_moments_of_the_optimiser_are_sharded_as_their_parameters(name):
    ours, rule, mesh = model("softmax"), optimizer(name, clip_norm=5.0), make_mesh("data=1,model=1")
    shapes = jax.eval_shape(lambda: initial_train_state(ours, rule, 2))
    found = state_shardings(ours, rule, mesh)
    assert jax.tree.structure(found) == jax.tree.structure(shapes)
    specs = {
        (shape.shape, sharding.spec)
        for shape, sharding in zip(jax.tree.leaves(shapes), jax.tree.leaves(found), strict=True)
    }
    of_tables = {spec for shape, spec in specs if 128 in shape}
    assert of_tables == {PartitionSpec("model"), PartitionSpec(None, "model")}
    assert {spec for shape, spec in specs if shape == (2, 16)} == {PartitionSpec("data")}  # recurrent state
    assert {spec for shape, spec in specs if shape in ((), (16, 64), (64,))} == {PartitionSpec()}


@pytest.mark.parametrize("name", ["adafactor", "sm3", "adam"])
def test_state_of_other_shapes_is_replicated_and_frozen_parameters_have_none(name):
    """The sharding of every array of the optimiser's state is possible: factored moments have fewer axes."""
    ours, mesh = model("softmax"), make_mesh("data=1,model=1")
    rule = frozen(optimizer(name), "output.b")
    state, found = jax.eval_shape(lambda: initial_train_state(ours, rule, 4)), state_shardings(ours, rule, mesh)
    assert jax.tree.structure(state) == jax.tree.structure(found)
    for leaf, sharding in zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True):
        sharding.check_compatible_aval(leaf.shape)


def test_a_mesh_is_parsed_from_text():
    assert parse_mesh("data=4,model=2") == {"data": 4, "model": 2}
    assert parse_mesh(" model = 2 ") == {"data": 1, "model": 2}
    mesh = make_mesh()
    assert dict(mesh.shape) == {"data": jax.device_count(), "model": 1}
    assert describe_mesh(make_mesh("data=1")) == "mesh data=1, model=1 (1 device, 1 process)"
    assert describe_shardings(model("softmax"), mesh) == ""
    assert mesh_for("data=1") is None


@pytest.mark.parametrize(
    "text", ["", "data", "data=0", "data=x", "data=-1", "rows=2", "data=2,data=2", "8x1", "data=1.5"]
)
def test_text_that_is_not_a_mesh_is_refused(text):
    with pytest.raises(UserError, match="`mesh` cannot be"):
        parse_mesh(text)


def test_a_mesh_needs_its_devices_and_a_batch_that_divides():
    with pytest.raises(UserError, match="`mesh` data=64 needs 64 devices, and there"):
        make_mesh("data=64")
    mesh = jax.sharding.AbstractMesh((4, 2), ("data", "model"))
    check_divides(mesh, 8)
    with pytest.raises(UserError, match="`batch_size` 10 does not divide over data=4"):
        check_divides(mesh, 10)
    assert executor_on_mesh(None, mesh) == executor_on_mesh("structured", mesh) == "structured"
    with pytest.raises(UserError, match="`executor` native is a kernel for one device"):
        executor_on_mesh("native", mesh)
    assert executor_on_mesh("native", jax.sharding.AbstractMesh((4, 1), ("data", "model"))) == "native"
