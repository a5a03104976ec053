"""The study of horizons: its configurations, its table, and a tiny study from end to end."""

import dataclasses
import json

import pytest

from experiments.readme_table import BEGIN, END
from experiments.vanishing import __main__ as study
from experiments.vanishing.plan import MODELS, QUICK, Recipe
from experiments.vanishing.regularised import HEAD, rows, with_error
from rnnlm_jax.config import check_config
from tests.training.tiny import text


def test_networks_differ_in_cell_and_size_only():
    recipe = Recipe()
    configs = [check_config(recipe.config(model, 1)) for model in MODELS]
    assert [config.model.cell for config in configs] == list(MODELS)
    same = {dataclasses.replace(config.model, cell="gru", hidden_size=1) for config in configs}
    assert len(same) == 1
    assert len({(config.data, config.optimizer, config.training) for config in configs}) == 1
    assert all(config.model.dropout_input == config.model.dropout_output > 0 for config in configs)


def test_means_have_standard_errors_over_seeds():
    assert with_error([2, 4, 6], 200) == "4 ± 1.2"
    assert with_error([100.0, 102.0], 200, digits=1) == "101.0 ± 1.0"
    assert with_error([7], 200) == "7"
    assert with_error([150, None, 180], 200) == "over 200 in 1 of 3"


def test_a_tiny_study_is_recorded_and_not_run_again(tmp_path, monkeypatch, capsys):
    corpus = tmp_path / "text.txt"
    corpus.write_text(text(40))
    recipe = dataclasses.replace(
        QUICK, corpus=str(corpus), lags=(1, 2), positions=4, batch_size=2, bptt=5, valid_streams=2
    )
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}after\n")
    runs = tmp_path / "runs"

    def run(*arguments, recipe=recipe):
        return study.main(["--runs", str(runs), *arguments], tmp_path, recipe=recipe)

    assert run("--only", "gru,lstm") == 0

    def never(*arguments):
        raise AssertionError("was trained again")

    monkeypatch.setattr(study, "train_and_measure", never)
    assert run("--only", "gru,lstm", "--also", f"best={runs / 'trained' / 'gru-0'}") == 0
    found = json.loads((tmp_path / "regularised.json").read_text())["networks"]
    assert [(each["model"], each.get("seed")) for each in found] == [
        *(("gru", 0), ("gru", 1), ("lstm", 0), ("lstm", 1)),
        ("best", None),
    ]
    assert found[0]["horizons"] == found[4]["horizons"]
    assert found[0]["horizons"] != found[1]["horizons"] or found[0]["test_perplexity"] != found[1]["test_perplexity"]
    assert str(tmp_path) not in (tmp_path / "regularised.json").read_text()
    table = rows(found)
    assert [line[:2] for line in table] == [["gru", "2"], ["lstm", "2"], ["best", "1"]]
    assert all(len(line) == len(HEAD) for line in table)
    assert f"| {' | '.join(table[0])} |" in (tmp_path / "README.md").read_text()
    capsys.readouterr()
    assert run("--only", "gru", recipe=dataclasses.replace(recipe, epochs=2)) == 2
    assert "has results of epochs 1, not 2" in capsys.readouterr().err
    assert run("--only", "rnn") == 2
    assert "unknown model 'rnn'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("--also", "best")
