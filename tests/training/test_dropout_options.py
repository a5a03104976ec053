"""Training with dropout of words, states and weights and with zoneout, from the command line."""

import json

from rnnlm_jax.cli.main import main
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from rnnlm_jax.language_model.dropout import Dropout
from tests.training.tiny import TINY, no_learning_curves, text

OPTIONS = [
    *("--cell=lstm", "--cell-options=input_gate=capped", "--dropout-locked"),
    *(f"--dropout-{name}=0.1" for name in ("word", "embedding", "state")),
    *("--weight-drop=0.1", "--zoneout=0.1", "--zoneout-cell=0.2", "--min-count=2"),
]


def test_the_options_are_those_of_the_trained_model(tmp_path):
    (tmp_path / "text.txt").write_text(text())
    run = tmp_path / "run"
    with no_learning_curves():
        assert main(["train", *TINY, *OPTIONS, "--data", str(tmp_path / "text.txt"), "--run", str(run)]) == 0
    read = open_run(run)
    dropout, unknown = read.model.dropout, read.vocabulary.unk_id
    assert unknown is not None
    assert dropout == Dropout(locked=True, embedding=0.1, word=0.1, unknown_id=unknown, state=0.1, weight=0.1)
    assert read.model.cell.rates == (("cell", 0.2), ("hidden", 0.1))
    results = json.loads(RunFolder(run).results.read_text())
    assert 1 < results["test_perplexity"] < 30
