"""The study of record perplexities: its plan, and a tiny model of each group, trained, resumed and measured."""

import dataclasses
import json

import pytest

from experiments.readme_table import BEGIN, END
from experiments.records import __main__ as study
from experiments.records import measure
from experiments.records.plan import LADDER, RECORDS, STEPS, Ladder, Model, models
from rnnlm_jax.config import replace
from tests.training.tiny import text


def test_each_step_of_the_ladder_has_the_parts_before_it():
    found = [config for _, config in Ladder().configurations()]
    assert [config.model.tie_embeddings for config in found] == [False] + [True] * 6
    assert [config.model.dropout_locked for config in found] == [False] * 2 + [True] * 5
    assert [config.model.dropout_state > 0 for config in found] == [False] * 3 + [True] * 4
    assert [bool(config.model.cell_options) for config in found] == [False] * 4 + [True] * 3
    assert [bool(config.optimizer.optimizer_options) for config in found] == [False] * 5 + [True] * 2
    assert [config.optimizer.average for config in found] == ["none"] * 6 + ["ema"]


def test_names_are_distinct_and_budgets_equal():
    plan = models(Ladder())
    assert len({model.path for model in plan}) == len(plan) == 3 + len(STEPS)
    assert len({model.config.training.epochs for model in plan if model.group == LADDER}) == 1


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}{END}after\n")
    (tmp_path / "text.txt").write_text(text(40))
    return tmp_path


def test_models_are_trained_measured_and_recorded(folder, monkeypatch, capsys):
    monkeypatch.setattr(measure, "CACHE_WORDS", 10)
    monkeypatch.setattr(measure, "CHOSEN_ON", 50)
    corpus = str(folder / "text.txt")
    ladder = dataclasses.replace(
        Ladder(), corpus=corpus, valid_streams=1, hidden_size=4, embedding_size=3, batch_size=2, epochs=2
    )
    plan = [model for model in models(ladder) if model.name in ("melis-10m", "plain", "average")]
    small = {
        "data": {"corpus": corpus, "batch_size": 2, "bptt": 5},
        "model": {"hidden_size": 4, "embedding_size": 3},
        "training": {"epochs": 1, "valid_streams": 1},
    }
    plan = [m._replace(config=replace(m.config, **small)) if m.group == RECORDS else m for m in plan]

    def run(*arguments, plan=plan):
        return study.main(["--runs", str(folder / "runs"), *arguments], folder, plan=plan)

    assert run("--only", "ladder") == 0
    assert run() == 0
    out = capsys.readouterr().out
    assert out.count("records/melis-10m …") == 1 and out.count("ladder/plain …") == 1
    recorded = json.loads((folder / "results.json").read_text())["models"]
    assert [each["name"] for each in recorded] == ["melis-10m", "plain", "average"]
    record, step, _ = recorded
    for each in recorded:
        assert 1 < each["tempered"]["test"] < 100 and each["epochs"] == len(each["by_validation"])
        assert str(folder) not in json.dumps(each)
    assert record["with_ngrams"]["test"] <= 1.01 * min(record["test_perplexity"], record["with_ngrams"]["ngrams"])
    assert record["dynamic"]["rate"] in measure.DYNAMIC_RATES and record["cache"]["weight"] >= 0
    assert "dynamic" not in step
    readme = (folder / "README.md").read_text()
    assert f"{record['dynamic']['test']:.2f}" in readme and "ladder.png" in readme and (folder / "ladder.png").exists()


def test_an_unknown_model(folder, capsys):
    assert study.main(["--runs", str(folder), "--only", "gpt"], folder) == 2
    assert capsys.readouterr().err == f"error: unknown model 'gpt': choose from {','.join(known())}\n"


def known():
    plan: list[Model] = models(Ladder())
    return [RECORDS, LADDER, *(model.name for model in plan)]
