"""Training with every kind of dropout, from the command line: it resumes, and evaluation draws nothing."""

import json

from rnnlm_jax.cli.main import main
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from tests.training.tiny import TINY, no_learning_curves, text

OPTIONS = [
    *("--cell=lstm", "--cell-options=input_gate=capped", "--layers=2", "--residual", "--dropout-locked"),
    *(f"--dropout-{name}=0.1" for name in ("word", "embedding", "input", "hidden", "output", "state")),
    *("--weight-drop=0.1", "--zoneout=0.1", "--zoneout-cell=0.2", "--min-count=2"),
]


def test_a_run_with_every_kind_of_dropout(tmp_path):
    (tmp_path / "text.txt").write_text(text())
    run = str(tmp_path / "run")
    with no_learning_curves():
        assert main(["train", *TINY, *OPTIONS, "--data", str(tmp_path / "text.txt"), "--run", run]) == 0
    model = open_run(run).model
    assert model.dropout.unknown_id == open_run(run).vocabulary.unk_id is not None
    assert model.dropout.weight == model.dropout.state == model.dropout.embedding == model.dropout.word == 0.1
    assert [layer.rates for layer in model.cell.layers] == [(("cell", 0.2), ("hidden", 0.1))] * 2
    results = json.loads(RunFolder(run).results.read_text())
    assert 1 < results["test_perplexity"] < 30
