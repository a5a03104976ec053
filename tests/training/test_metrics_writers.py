"""Writers of metrics: CSV as a function of the records, functions of the user, and errors that do not end training."""

import csv
import dataclasses
import json
import math
import re
import sys
import types
from pathlib import Path

import pytest

from rnnlm_jax.cli.main import main
from rnnlm_jax.config import Config, replace
from rnnlm_jax.errors import ConfigError, UserError
from rnnlm_jax.jobs.run_folder import RunFolder, read_config
from rnnlm_jax.training.csv_metrics import CsvFiles
from rnnlm_jax.training.metrics_writers import GuardedWriter, open_writers, record_writers, require_writers
from rnnlm_jax.training.train import train
from tests.training.tiny import tiny_config

PAGE = Path(__file__).parents[2] / "docs" / "metrics-writers.md"

#: A writer that keeps its calls in the run folder, as lines of JSON, and fails at a given step.
OWN = """
import json

class Own:
    def __init__(self, run, config, resume_step):
        self.file = (run / "own.jsonl").open("a")
        about = [run.name, config["model"]["hidden_size"], config["run_id"], resume_step]
        print(json.dumps(about), file=self.file)

    def write(self, record):
        print(json.dumps(record), file=self.file, flush=True)
        record.clear()
        if FAIL:
            raise OSError("the service is gone")

    def close(self):
        print(json.dumps("closed"), file=self.file)
        self.file.close()

not_a_function = 3
two = lambda run, config: None
wrong = lambda run, config, resume_step: {}
a_class = lambda run, config, resume_step: Own

def broken(run, config, resume_step):
    raise RuntimeError("no network")
"""


@pytest.fixture
def own(tmp_path):
    """Paths of a file with a writer, and of one whose writer fails."""
    for name, fails in (("good.py", False), ("bad.py", True)):
        (tmp_path / name).write_text(OWN.replace("FAIL", str(fails)))
    return tmp_path / "good.py", tmp_path / "bad.py"


def config_with(*writers):
    return replace(Config(), training={"metrics_writer": ",".join(map(str, writers))})


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_csv_has_a_file_for_each_kind_and_a_stable_header(tmp_path):
    files = CsvFiles(tmp_path / "csv")
    given = [
        {"kind": "step", "step": 1, "loss": 0.1 + 0.2, "skipped": 0, "run_id": "1f"},
        {"kind": "validation", "step": 1, "name": 'a "b", c'},
        {"kind": "step", "step": 2, "loss": math.nan, "skipped": 1},
        {"kind": "step", "step": 3, "layers": [1.5, 2.5], "loss": None, "skipped": 1},
        {"kind": "step", "step": 4, "loss": 7.0, "skipped": 2},
    ]
    for record in given:
        files.write(record)
    files.close()
    assert rows(tmp_path / "csv" / "step.csv") == [
        ["step", "loss", "skipped", "layers.0", "layers.1"],
        ["1", "0.30000000000000004", "0", "", ""],
        ["2", "", "1", "", ""],
        ["3", "", "1", "1.5", "2.5"],
        ["4", "7.0", "2", "", ""],
    ]
    assert rows(tmp_path / "csv" / "validation.csv") == [["step", "name"], ["1", 'a "b", c']]
    # Written again from the records, as when a run is resumed, they have the same bytes, and no file of another kind.
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "stop.csv").write_text("of a run before")
    again = CsvFiles(tmp_path / "again", given[:3])
    for record in given[3:]:
        again.write(record)
    again.close()
    written = {path.name: path.read_bytes() for path in (tmp_path / "csv").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == written


def test_a_run_with_writers_is_resumed_with_the_rows_of_an_uninterrupted_one(corpus, tmp_path, own, capfd):
    good, bad = own
    writers = f"csv,{good}:Own,{bad}:Own"
    config = tiny_config(corpus, training={"epochs": 1, "log_every": 3, "metrics_writer": writers})
    run = tmp_path / "run"
    train(config, run)
    (run / "csv" / "step.csv").open("a").write("100,rows,beyond,the,checkpoint\n")
    train(replace(config, training={"epochs": 2}), run, resume=True)
    lines = [json.loads(line) for line in RunFolder(run).metrics.read_text().splitlines()]
    for kind in ("step", "validation"):
        of_kind = [record for record in lines if record["kind"] == kind]
        header, *table = rows(run / "csv" / f"{kind}.csv")
        assert header == [name for name in of_kind[0] if name not in ("kind", "run_id")]
        assert table == [["" if record[name] is None else str(record[name]) for name in header] for record in of_kind]
        assert len(of_kind) >= 2
    # The run's own writer got every record once, but for the run's id, and the failing one the first of each process.
    calls = [json.loads(line) for line in (run / "own.jsonl").read_text().splitlines()]
    run_id = lines[0]["run_id"]
    begun = [call for call in calls if isinstance(call, list)]
    end = lines[next(i for i, record in enumerate(lines) if record["kind"] == "validation")]["step"]
    assert begun == [["run", 8, run_id, None]] * 2 + [["run", 8, run_id, end]] * 2
    got = [call | {"run_id": run_id} for call in calls if isinstance(call, dict)]
    assert [record for i, record in enumerate(got) if record not in got[:i]] == lines
    assert len(got) == len(lines) + 2
    assert calls.count("closed") == 4
    said = capfd.readouterr().err
    assert said.count(f"{bad}:Own failed at step 3 (OSError: the service is gone): training goes on without it") == 1
    assert said.count("warning") == 2
    recorded = read_config(RunFolder(run)).training.metrics_writer.split(",")
    assert recorded[0] == "csv"
    assert [re.sub("@[0-9a-f]{64}$", "@", name) for name in recorded[1:]] == [f"{good}:Own@", f"{bad}:Own@"]


@pytest.mark.parametrize(
    ("writer", "said"),
    [
        ("cvs", "unknown `metrics_writer` 'cvs': choose of csv, tensorboard, or give FILE.py:function"),
        ("{}:missing", "has no function missing"),
        ("{}:not_a_function", "has no function not_a_function"),
        ("{}:two", "must take three arguments: run folder, configuration, and the step"),
        ("missing.py:f", "missing.py"),
    ],
)
def test_what_cannot_be_a_writer_is_refused_before_training(own, writer, said):
    with pytest.raises(UserError) as error:
        require_writers(config_with("csv", writer.format(own[0])))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("wrong", "returned a dict: it must return an object with the methods write(record) and close()"),
        ("a_class", "returned a type"),
        ("broken", "failed (RuntimeError: no network); correct it or leave it out"),
    ],
)
def test_a_result_that_is_not_a_writer_is_refused(own, tmp_path, function, said):
    with pytest.raises(ConfigError) as error:
        open_writers(config_with(f"{own[0]}:{function}"), RunFolder(tmp_path), run_id="1f", resume_step=None)
    assert said in str(error.value)


def test_a_bad_writer_leaves_no_run_behind(corpus, own, tmp_path, capsys):
    options = ["--cell=elman-tanh", "--hidden-size=4", "--init-scale=0.3", "--batch-size=2", "--bptt=10"]
    for function, said in (("two", "--metrics-writer"), ("wrong", "returned a dict")):
        run = tmp_path / "run"
        given = f"--metrics-writer=csv,{own[0]}:{function}"
        assert main(["train", "--data", str(corpus), "--run", str(run), *options, given]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "writer" in line]
        assert said in line
        assert not run.exists()


def test_a_service_that_is_away_does_not_prevent_a_restart(own, tmp_path, capsys):
    found = open_writers(config_with(f"{own[0]}:broken"), RunFolder(tmp_path), run_id="1f", resume_step=7)
    assert found == []
    assert "broken failed (RuntimeError: no network): training goes on without it" in capsys.readouterr().err


def test_a_source_that_changed_is_used_with_a_warning(own, capsys):
    config = config_with("csv", f"{own[0]}:Own")
    begun = replace(config, training={"metrics_writer": record_writers(config)})
    assert record_writers(begun, begun) == begun.training.metrics_writer
    assert capsys.readouterr().err == ""
    own[0].write_text(own[0].read_text() + "\n# changed\n")
    changed = record_writers(begun, begun)
    assert changed != begun.training.metrics_writer
    assert "was changed since the run was begun: its new version is used" in capsys.readouterr().err
    require_writers(replace(config, training={"metrics_writer": changed}))
    assert record_writers(replace(begun, training={"metrics_writer": None}), begun) is None


def test_errors_when_closing_are_shown_once(capsys):
    class Writer:
        def write(self, record):
            raise SystemExit(1)

        def close(self):
            raise ValueError("half a row")

    writer = GuardedWriter(Writer(), "mine")
    writer.close()
    assert "mine failed when it was closed (ValueError: half a row)" in capsys.readouterr().err
    writer.write({"step": 1})
    writer.write({"step": 2})
    writer.close()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "mine failed at step 1 (SystemExit: 1): training goes on without it; metrics.jsonl has every record" in said


def page_sources():
    return dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL))


def fake_wandb(log):
    """A module that keeps what is logged as wandb does: no rows of steps that it has passed."""

    class Run:
        def log(self, row, step):
            if step >= max((at for at, _ in log["rows"]), default=0):
                log["rows"].append((step, row))

        def finish(self):
            log["finished"] += 1

    def init(**about):
        log["init"].append(about)
        return Run()

    return types.SimpleNamespace(init=init)


def fake_mlflow(log):
    """A module that keeps what is logged, and refuses to change a parameter."""

    def start_run(run_id=None, run_name=None):
        log["init"].append({"run_id": run_id, "run_name": run_name})
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="m1"))

    def log_params(params):
        assert not params.keys() & log["params"].keys()
        assert len(params) <= 100
        log["params"] |= params

    def log_metrics(numbers, step):
        assert all(isinstance(value, int | float) and math.isfinite(value) for value in numbers.values())
        log["rows"].append((step, numbers))

    def end_run():
        log["finished"] += 1

    functions = [start_run, log_params, log_metrics, end_run]
    return types.SimpleNamespace(set_experiment=log["init"].append, **{f.__name__: f for f in functions})


@pytest.mark.parametrize(("name", "fake"), [("wandb", fake_wandb), ("mlflow", fake_mlflow)])
def test_the_examples_of_the_page_log_every_record(tmp_path, monkeypatch, name, fake):
    """Beside modules that stand for the libraries."""
    log = {"init": [], "rows": [], "params": {}, "finished": 0}
    source = tmp_path / f"{name}_writer.py"
    source.write_text(page_sources()[source.name])
    assert name not in sys.modules
    monkeypatch.setitem(sys.modules, name, fake(log))
    config = config_with(f"{source}:open_writer")
    require_writers(config)
    given = [
        {"kind": "step", "step": 1, "loss": 2.5, "train_perplexity": None},
        {"kind": "step", "step": 2, "loss": math.inf},
        {"kind": "validation", "step": 2, "valid_perplexity": 9.0},
    ]
    for resume_step in (None, 2):
        folder = RunFolder(tmp_path)
        (writer,) = open_writers(config, folder, run_id="1f", resume_step=resume_step)
        for record in given if resume_step is None else [{"kind": "step", "step": 3, "loss": 2.0}]:
            writer.write(record)
        writer.close()
        assert not writer.failed
    assert [step for step, _ in log["rows"]] == [1, 2, 2, 3]
    assert log["rows"][0][1]["step/loss"] == 2.5
    assert log["rows"][2][1] == {"validation/valid_perplexity": 9.0}
    assert log["finished"] == 2
    if name == "wandb":
        assert [(about["id"], about["resume"]) for about in log["init"]] == [("1f", "never"), ("1f", "allow")]
        assert log["init"][0]["config"] == dataclasses.asdict(config) | {"run_id": "1f"}
    else:
        assert log["init"][1::2] == [{"run_id": None, "run_name": tmp_path.name}, {"run_id": "m1", "run_name": None}]
        assert log["params"]["model.hidden_size"] == 200
        assert log["rows"][1][1] == {}
