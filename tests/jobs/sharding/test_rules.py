"""Which axis of which parameter is divided, and what becomes of the optimiser's state."""

import re

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from rnnlm_jax import UserError
from rnnlm_jax.config import ModelConfig, OptimizerConfig
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.jobs.sharding.mesh import check_divides, describe_mesh, divided_executor, make_mesh, mesh_for, parse_mesh
from rnnlm_jax.jobs.sharding.rules import RULES, describe_divisions, divide, divisions
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.outputs.word_counts import Words
from rnnlm_jax.training.train_state import initial_train_state, state_shardings

OPTIONS = {"adaptive": (("cutoffs", "24:64"),), "importance": (("samples", 4),), "maxent": (("table_size", 256),)}
OPTIONS |= {"nce": OPTIONS["importance"], "blackout": OPTIONS["importance"]}


def model(output, vocabulary=128):
    words = Words([f"w{k}" for k in range(vocabulary)], np.maximum(1000 // np.arange(1, vocabulary + 1), 1))
    config = ModelConfig(hidden_size=16, embedding_size=16, output=output, output_options=OPTIONS.get(output, ()))
    return build_model(config, vocabulary, words=words)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_largest_matrix_of_every_output_layer_is_divided_by_words_or_width(output):
    ours = model(output)
    shapes = jax.eval_shape(ours.init, jax.random.key(0))
    found = divisions(ours, 2)
    assert found.embedding.about == "words"
    assert all(d.about == "" for d in jax.tree.leaves(found.cell, is_leaf=lambda d: hasattr(d, "about")))
    pairs = zip(
        jax.tree.leaves(found.output, is_leaf=lambda d: hasattr(d, "about")),
        jax.tree.leaves(shapes.output),
        strict=True,
    )
    division, shape = max(pairs, key=lambda pair: pair[1].size)
    assert division.about in ("words", "width")
    assert "model" in division.spec, shape


def test_a_table_is_divided_by_words_or_by_width_or_not_at_all():
    assert divide("embedding", (12, 6), 4) == ("embedding", PartitionSpec("model"), "words")
    assert divide("embedding", (11, 8), 4).spec == PartitionSpec(None, "model")
    assert divide("embedding", (11, 6), 4) == ("embedding", PartitionSpec(), "whole")
    assert divide("output.softmax.w", (6, 12), 4).spec == PartitionSpec(None, "model")
    assert divide("output.softmax.w", (8, 11), 4) == ("output.softmax.w", PartitionSpec("model"), "width")
    assert divide("output.softmax.b", (11,), 4) == ("output.softmax.b", PartitionSpec(), "whole")
    assert divide("cell.w_x", (12, 48), 4) == ("cell.w_x", PartitionSpec(), "")


def test_every_rule_names_a_parameter():
    names = {
        d.name
        for output in OUTPUTS
        for d in jax.tree.leaves(divisions(model(output), 2), is_leaf=lambda d: hasattr(d, "about"))
        if d.about
    }
    for pattern, _ in RULES:
        assert any(re.fullmatch(pattern, name) for name in names), pattern


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "adam", "adamw"])
def test_what_the_optimiser_remembers_lies_where_its_parameter_does(optimizer):
    ours, config, mesh = model("softmax"), OptimizerConfig(optimizer=optimizer), make_mesh("data=1,model=1")
    shapes = jax.eval_shape(lambda: initial_train_state(ours, config, 2, seed=0))
    found = state_shardings(ours, config, mesh)
    assert jax.tree.structure(found) == jax.tree.structure(shapes)
    specs = {
        (shape.shape, sharding.spec)
        for shape, sharding in zip(jax.tree.leaves(shapes), jax.tree.leaves(found), strict=True)
    }
    of_tables = {spec for shape, spec in specs if 128 in shape}
    assert of_tables == {PartitionSpec("model"), PartitionSpec(None, "model")}
    assert {spec for shape, spec in specs if shape == (2, 16)} == {PartitionSpec("data")}  # recurrent state
    assert {spec for shape, spec in specs if shape in ((), (16, 64), (64,))} == {PartitionSpec()}


def test_a_mesh_is_read_from_words():
    assert parse_mesh("data=4,model=2") == {"data": 4, "model": 2}
    assert parse_mesh(" model = 2 ") == {"data": 1, "model": 2}
    mesh = make_mesh()
    assert dict(mesh.shape) == {"data": jax.device_count(), "model": 1}
    assert describe_mesh(make_mesh("data=1")) == "mesh data=1, model=1 (1 device, 1 process)"
    assert describe_divisions(model("softmax"), mesh) == ""
    assert mesh_for("data=1") is None


@pytest.mark.parametrize(
    "text", ["", "data", "data=0", "data=x", "data=-1", "rows=2", "data=2,data=2", "8x1", "data=1.5"]
)
def test_what_is_no_mesh_is_refused(text):
    with pytest.raises(UserError, match="--mesh cannot be"):
        parse_mesh(text)


def test_a_mesh_needs_its_devices_and_a_batch_that_divides():
    with pytest.raises(UserError, match="--mesh data=64 is of 64 devices, and there"):
        make_mesh("data=64")
    mesh = jax.sharding.AbstractMesh((4, 2), ("data", "model"))
    check_divides(mesh, 8)
    with pytest.raises(UserError, match="--batch-size 10 does not divide over data=4"):
        check_divides(mesh, 10)
    assert divided_executor(None, mesh) == divided_executor("structured", mesh) == "structured"
    with pytest.raises(UserError, match="--executor native is a kernel for one device"):
        divided_executor("native", mesh)
    assert divided_executor("native", jax.sharding.AbstractMesh((4, 1), ("data", "model"))) == "native"
