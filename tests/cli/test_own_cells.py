"""Cells and output layers from the user's own source: checked, cached, recorded by digest, refused once changed."""

import pickle

import pytest

from rnnlm_jax import cells, outputs
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.run_folder import RunFolder, read_config
from rnnlm_jax.registry.user_source import parse, recorded
from tests.cli.conftest import everything
from tests.training.tiny import TINY

SOURCE = """
import dataclasses
from rnnlm_jax import cells, outputs

def mine(hidden_size, scale=1.0, dtype=None, param_dtype="float32"):
    cell = cells.elman(hidden_size, dtype=dtype, param_dtype=param_dtype)
    spec = dataclasses.replace(cell.spec, kind="mine", variant=(("scale", scale),))
    return dataclasses.replace(cell, spec=spec)

def of_the_library(hidden_size, dtype=None, param_dtype="float32"):
    return cells.gru(hidden_size, dtype=dtype, param_dtype=param_dtype)

def named_lstm(hidden_size, dtype=None, param_dtype="float32"):
    cell = mine(hidden_size, dtype=dtype, param_dtype=param_dtype)
    return dataclasses.replace(cell, spec=dataclasses.replace(cell.spec, kind="lstm"))

def too_wide(hidden_size, dtype=None, param_dtype="float32"):
    return mine(hidden_size + 1, dtype=dtype, param_dtype=param_dtype)

def no_cell(hidden_size, dtype=None, param_dtype="float32"):
    return hidden_size

def without_arguments():
    return mine(3)

def failing(hidden_size, dtype=None, param_dtype="float32"):
    return {}["width"]

def layer(tied=False, dtype="float32", param_dtype="float32"):
    return outputs.softmax(tied, dtype=dtype, param_dtype=param_dtype)
"""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path / "mine.py"


def test_the_same_call_is_the_same_cell_also_when_pickled(source):
    cell = cells.make(f"{source}:mine", 5, scale=2.0)
    assert cell is cells.make(recorded(f"{source}:mine").partition("@")[0], 5, scale=2.0, dtype="float32")
    assert pickle.loads(pickle.dumps(cell)) is cell
    assert cell != cells.make(f"{source}:mine", 5)
    assert cell.spec.variant == (("scale", 2.0),)
    layer = outputs.make(f"{source}:layer", tied=True)
    assert layer is outputs.make(f"{source}:layer", tied=True)
    assert pickle.loads(pickle.dumps(layer)) is layer
    theirs = cells.make("gru", 5)
    assert cells.make(f"{source}:of_the_library", 5) is not theirs
    assert pickle.loads(pickle.dumps(theirs)) is theirs  # what the function returned is left as it was


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}:nothing", "has no function nothing"),
        ("{}:no-name", "does not name a function"),
        ("nowhere.py:mine", "cannot find the source file .*nowhere.py"),
        ("no.such_module:mine", "module no.such_module with a source file was not found"),
        ("{}:too_wide", "hidden_size 4, not 3"),
        ("{}:no_cell", "must return a rnnlm_jax.cells.Cell, not int"),
        ("{}:failing", "failed with KeyError: 'width'"),
        ("{}:named_lstm", "a cell of kind 'lstm', one of the library's"),
        ("{}:layer", "must return a rnnlm_jax.cells.Cell, not OutputLayer"),
        ("{}:without_arguments", "failed with TypeError"),
    ],
)
def test_what_is_no_cell_is_refused_in_one_line(source, name, said):
    with pytest.raises(UserError, match=said) as caught:
        cells.make(name.format(source), 3)
    assert "\n" not in str(caught.value)


def test_sources_that_fail(tmp_path):
    path = tmp_path / "bad.py"
    for content, said in (
        ("import nothing_like_it", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
        ("exit(3)", "SystemExit"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=f"bad.py failed with {said}"):
            cells.make(f"{path}:mine", 3)
    path.write_text("def layer(dtype, param_dtype): return 3")
    with pytest.raises(UserError, match=r"must return a rnnlm_jax.outputs.OutputLayer, not int"):
        outputs.make(f"{path}:layer")


def test_a_source_that_was_edited_is_another_cell(source):
    before = cells.make(f"{source}:mine", 4)
    assert cells.make(f"{source}:mine", 4) is before
    source.write_text(SOURCE + "\n# edited\n")
    assert cells.make(f"{source}:mine", 4) is not before


def test_a_run_records_its_source_and_refuses_another(source, corpus, tmp_path, rnnlm, refuse, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    own = ["--cell", "mine.py:mine", "--output", "mine.py:layer", "--executor", "scan"]
    assert rnnlm("train", *TINY, *own, "--data", corpus, "--run", run).code == 0
    model = read_config(RunFolder(run)).model
    assert model.cell == recorded(f"{source}:mine")
    assert parse(model.cell).source == str(source)
    assert len(parse(model.output).digest) == 64
    monkeypatch.chdir("/")
    assert rnnlm("eval", run, "--data", corpus).code == 0
    monkeypatch.chdir(tmp_path)
    assert rnnlm("train", "--cell", "mine.py:mine", "--run", run, "--resume", "--epochs", "2").code == 0
    before = everything(run)
    refuse("train", "--cell", "mine.py:too_wide", "--run", run, "--resume", saying="cannot resume with --cell")
    source.write_text(SOURCE + "\n")
    changed = "mine.py was changed since the run was begun"
    for command in (
        ["eval", run, "--data", corpus],
        ["sample", run],
        ["train", "--run", run, "--resume", "--epochs=3"],
    ):
        refuse(*command, saying=changed)
    source.unlink()
    refuse("eval", run, "--data", corpus, saying="cannot find the source file")
    assert everything(run) == before


def test_a_module_on_the_path(source, monkeypatch):
    monkeypatch.syspath_prepend(source.parent)
    source.rename(source.parent / "cells_of_a_test.py")
    assert cells.make("cells_of_a_test:mine", 4).spec.kind == "mine"
    assert parse(recorded("cells_of_a_test:mine")).source == "cells_of_a_test"
