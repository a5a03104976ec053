"""The machine around a command: closed and full streams, narrow encodings, no home, little memory, settings of jax."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import jax
import pytest

from rnnlm_jax.cli.commands import sample as sampling
from rnnlm_jax.cli.commands import train as training
from rnnlm_jax.cli.error_messages import BUG
from rnnlm_jax.cli.main import main
from rnnlm_jax.jobs.run_folder import RunFolder
from tests.cli.conftest import everything, one_line
from tests.training.tiny import PROGRAM, TINY, TRAINING_PROGRAM, assert_same_run

UNSET = ("LC_ALL", "LANG", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONCOERCECLOCALE", "RNNLM_JAX_TRACEBACK")


#: What a command says at its end of compiled programs that it has read, which makes it twice as fast.
OF_PROGRAMS = re.compile(rb"rnnlm-jax: \d+ compiled programs read from .*, \d+ compiled anew\n")


def start(*words, before="", after="", **environment):
    """Run a command in a process of its own, through a shell; ``after`` may redirect its streams.

    Standard error is given without the line on compiled programs.
    """
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    command = f'{before} "$@" {after}'
    program = TRAINING_PROGRAM if words[0] == "train" else PROGRAM
    done = subprocess.run(
        ["bash", "-c", command, "bash", *program, *map(str, words)],
        capture_output=True,
        env=kept | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0", **environment},
        timeout=600,
    )
    done.stderr = OF_PROGRAMS.sub(b"", done.stderr)
    return done


@pytest.fixture(scope="module")
def umlauts(tmp_path_factory, trained_on):
    """A run with words that an ASCII terminal cannot show."""
    folder = tmp_path_factory.mktemp("umlauts")
    (folder / "text.txt").write_text("kätzchen‽ schläft\n" * 60, encoding="utf-8")
    return trained_on(folder / "text.txt", folder / "run")


@pytest.fixture(scope="module")
def trained_on():
    def train(text, run):
        assert main(["train", *TINY, "--data", str(text), "--run", str(run)]) == 0
        return run

    return train


def words_of_training(corpus, run):
    return ["train", *TINY, "--epochs=3", "--log-every=1", f"--data={corpus}", f"--run={run}"]


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run of the words below that loses nothing."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with jax.enable_x64(False):
        assert main(words_of_training(corpus, run)) == 0
    return run


@pytest.mark.parametrize("lost", ["head", "standard error", "full"])
def test_training_outlives_its_output(corpus, whole, tmp_path, lost):
    run = tmp_path / "run"
    after = {"head": "| head -1; exit ${PIPESTATUS[0]}", "standard error": "2> >(exec true)", "full": "> /dev/full"}
    done = start(*words_of_training(corpus, run), "--json", after=after[lost])
    said = [line for line in done.stderr.decode().replace("\r", "\n").splitlines() if line.startswith("rnnlm-jax")]
    if lost == "standard error":
        assert (done.returncode, said) == (0, [])
        assert json.loads(done.stdout.decode().splitlines()[-1])["steps"] == 36
    else:
        assert "standard output is lost" in said[0] and "training goes on" in said[0]
        assert f"{run}/metrics.jsonl" in said[0]
        assert done.returncode == (0 if lost == "head" else 2)
        if lost == "full":
            assert said[1:] == [
                "rnnlm-jax: error: standard output: No space left on device; check the path, its permissions and the "
                "space left"
            ]
    assert_same_run(run, whole)


def test_training_stops_in_order_as_its_terminal_closes(corpus, tmp_path):
    command = [*PROGRAM, *words_of_training(corpus, tmp_path / "run"), "--epochs=1000"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    # Under nohup the signal is ignored, here and in what is started here.
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
        signal.signal(signal.SIGHUP, ours)
        while process.poll() is None and not (tmp_path / "run" / "metrics.jsonl").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        errors = process.stderr.read().decode()
    assert process.returncode == 75, errors
    assert "SIGHUP" in errors


@pytest.mark.parametrize(
    ("after", "code", "said"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ("> /dev/full", 2, "standard output: No space left on device"),
        ("2> /dev/full", 0, ""),
        ("| head -0; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_closed_and_full_streams(trained, after, code, said):
    before = everything(trained)
    done = start("sample", trained, "--lines=3", after=after)
    assert done.returncode == code, done.stderr
    assert said in (one_line(done.stderr.decode()) if said else "")
    assert said or done.stderr == b""
    assert everything(trained) == before  # no file took the place of a closed stream


def test_an_error_with_nowhere_to_say_so(tmp_path):
    done = start("sample", tmp_path, after="2>&-")
    assert (done.returncode, done.stdout) == (2, b"")


def test_help_on_a_full_disk(rnnlm):
    done = start("--help", after="> /dev/full")
    assert done.returncode == 2
    assert "standard output: No space left on device" in one_line(done.stderr.decode())


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "C"],
)
def test_a_terminal_that_cannot_show_a_character(umlauts, environment):
    done = start("sample", umlauts, "--temperature=0", "--max-tokens=4", "--json", "--prompt=kätzchen‽", **environment)
    assert done.returncode == 0, done.stderr
    text, figures = done.stdout.decode("ascii").splitlines()
    assert json.loads(figures)["text"].startswith("kätzchen‽" if "PYTHONUTF8" not in environment else "")
    if "PYTHONIOENCODING" in environment:
        assert text.startswith("k\\xe4tzchen\\u203d")


def test_the_script_of_an_exported_model_likewise(umlauts, tmp_path, rnnlm):
    assert rnnlm("export", umlauts, "--out", tmp_path / "out").code == 0
    command = [sys.executable, tmp_path / "out" / "score.py", umlauts.parent / "text.txt", "--tokens"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "'k\\xe4tzchen\\u203d'" in done.stdout.decode("ascii")


def test_an_export_without_jit_is_the_same(trained, corpus, tmp_path, rnnlm):
    figures = []
    for name, off in (("one", False), ("two", True)):
        with jax.enable_x64(False), jax.disable_jit(off):
            assert rnnlm("export", trained, "--out", tmp_path / name).code == 0
        command = [sys.executable, tmp_path / name / "score.py", corpus, "--json"]
        done = subprocess.run(command, capture_output=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
        assert done.returncode == 0, done.stderr
        figures.append(json.loads(done.stdout.splitlines()[-1]))
    assert figures[0] == figures[1]


@pytest.mark.parametrize("platform", ["cuda", "foo"])
def test_a_device_that_is_not_there(trained, corpus, tmp_path, platform):
    done = start("sample", trained, JAX_PLATFORMS=platform)
    assert done.returncode == 2, done.stderr
    assert f"JAX_PLATFORMS={platform}" in one_line(done.stderr.decode())


def test_a_new_run_on_a_device_that_is_not_there(corpus, tmp_path):
    done = start(*words_of_training(corpus, tmp_path / "run"), JAX_PLATFORMS="foo")
    assert done.returncode == 2
    assert "JAX_PLATFORMS=foo" in one_line(done.stderr.decode())
    assert not (tmp_path / "run").exists()


def test_transfers_that_are_forbidden(corpus, tmp_path):
    done = start(*words_of_training(corpus, tmp_path / "run"), JAX_TRANSFER_GUARD="disallow")
    assert done.returncode == 2
    assert "JAX_TRANSFER_GUARD" in one_line(done.stderr.decode())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hidden-size=2000000"], "and this machine or job has"),
        (["--hidden-size=2147483647"], "and this machine or job has"),
        (["--embedding-size=2000000000"], "and this machine or job has"),
        (["--batch-size=2147483647"], "and this machine or job has"),
        (["--hidden-size=1000000000000"], "--hidden-size must be below 2^31, not 1000000000000"),
        (["--cell=lstm-projected", "--cell-options=projection_size=1000000000000"], "this machine or job has"),
    ],
)
def test_what_cannot_fit_is_refused_before_anything_is_written(corpus, tmp_path, refuse, options, said):
    refuse(*words_of_training(corpus, tmp_path / "new"), *options, saying=said)
    assert not (tmp_path / "new").exists()


def test_a_step_that_cannot_fit_leaves_no_run(corpus, tmp_path, refuse, monkeypatch):
    """The gradients and activations are known once the step is compiled."""
    monkeypatch.setattr("rnnlm_jax.system.machine_memory.machine_memory", lambda: 1000)
    monkeypatch.setattr("rnnlm_jax.training.train.require_memory", lambda *_: None)
    refuse(*words_of_training(corpus, tmp_path / "new"), saying="out of memory: a training step would take")
    assert not (tmp_path / "new").exists()


def test_parameters_that_cannot_fit(trained, refuse, monkeypatch):
    monkeypatch.setattr("rnnlm_jax.system.machine_memory.machine_memory", lambda: 1000)
    refuse("sample", trained, saying="out of memory: the parameters of")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError("Unable to allocate 745. GiB"), 2, "out of memory (Unable to allocate 745. GiB): choose smaller"),
        (ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 16 bytes."), 2, "out of memory (RESOURCE_EXHAUSTED"),
        (BrokenPipeError(32, "Broken pipe"), 2, "Broken pipe"),  # another pipe than standard output
        (ZeroDivisionError("by zero"), BUG, "this is a bug in rnnlm-jax (ZeroDivisionError: by zero): please report"),
        (AssertionError(), BUG, "this is a bug in rnnlm-jax (AssertionError): please report"),
    ],
)
def test_every_error_is_one_line(trained, rnnlm, monkeypatch, error, code, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(sampling, "open_run", fail)
    outcome = rnnlm("sample", trained)
    assert outcome.code == code
    assert said in one_line(outcome.err)
    monkeypatch.setenv("RNNLM_JAX_TRACEBACK", "1")
    outcome = rnnlm("sample", trained)
    assert outcome.code == code
    assert outcome.err.startswith("Traceback") and "in fail" in outcome.err
    assert said in outcome.err.splitlines()[-1]


def test_a_run_that_fails_before_its_first_step_is_removed(corpus, tmp_path, rnnlm, monkeypatch):
    def fail(trainer):
        raise ZeroDivisionError

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes").touch()
    with monkeypatch.context() as patch:
        patch.setattr(training, "print_start", fail)
        assert rnnlm(*words_of_training(corpus, tmp_path / "run")).code == BUG
    assert everything(tmp_path / "run").keys() == {RunFolder(tmp_path / "run").path.__class__("notes")}
    assert rnnlm(*words_of_training(corpus, tmp_path / "run"), "--epochs=1").code == 0


def test_a_path_that_is_not_utf_8(corpus, trained, tmp_path, rnnlm):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/r\xffn")
    for words in (words_of_training(corpus, name), ["sample", name]):
        done = start(*words)
        assert done.returncode == 2
        assert "/r\\udcffn is not UTF-8" in one_line(done.stderr.decode())
        assert not os.path.exists(name)
    shutil.copy(corpus, name + ".txt")
    assert rnnlm("score", trained, name + ".txt").code == 0


@pytest.mark.parametrize(
    "words",
    ["train --run=", "sample ''", "eval RUN --data=", "score RUN ''", "export RUN --out=", "compare RUN '' --data=x"],
)
def test_empty_names(words, trained, tmp_path, refuse, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(words.replace("RUN", str(trained)))
    refuse(*words, saying="a name cannot be empty")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="root alone may become another user")
def test_a_user_without_a_home(trained, corpus, tmp_path):
    """The command works after one warning; with RNNLM_JAX_CACHE there is none."""
    become = "setpriv --reuid=12345 --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override env -u HOME"
    for name in ("XDG_CACHE_HOME", "RNNLM_JAX_CACHE", "JAX_COMPILATION_CACHE_DIR"):
        become += f" -u {name}"
    command = [*become.split(), "RNNLM_JAX_NATIVE=off", *PROGRAM, "sample", str(trained)]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr
    (said,) = done.stderr.decode().splitlines()
    assert "warning: nothing can be kept for the next start (the user has no home directory)" in said
    command[-5:-5] = [f"RNNLM_JAX_CACHE={tmp_path / 'cache'}"]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr
    assert "compiled programs read from" in done.stderr.decode()
    assert (tmp_path / "cache" / "compiled").is_dir()


@pytest.mark.parametrize("words", [[], ["sample", "--help"]], ids=" ".join)
def test_python_m_is_the_command(words, rnnlm):
    done = subprocess.run([sys.executable, "-m", "rnnlm_jax", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == rnnlm(*words)


def test_an_address_space_with_a_limit(corpus, tmp_path):
    """As ``ulimit -v`` sets it."""
    words = [*words_of_training(corpus, tmp_path / "run"), "--hidden-size=80000", "--optimizer=sgd"]
    done = start(*words, before="ulimit -v 41943040;")
    assert done.returncode == 2
    assert "out of memory: this model" in one_line(done.stderr.decode())
    assert not (tmp_path / "run").exists()
