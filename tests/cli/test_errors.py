"""Bad input: an error of one line, exit code 2, and no file changed or left behind."""

import json
import os
import subprocess

import pytest

from rnnlm_jax import cells
from rnnlm_jax.data import Vocabulary, build_vocabulary
from rnnlm_jax.presets import PRESETS
from tests.cli.conftest import everything, one_line
from tests.training.tiny import PROGRAM, TINY

TEXTS = {
    "missing": (None, "cannot find"),
    "empty": (b"", "is empty"),
    "blank": (b"\n\n", "empty"),
    "latin-1": ("caf\u00e9 au lait\n".encode("latin-1") * 50, "is not UTF-8"),
    "binary": (bytes(range(256)) * 8, "is not UTF-8"),
}


@pytest.fixture(params=TEXTS)
def bad_text(request, tmp_path):
    content, said = TEXTS[request.param]
    path = tmp_path / "bad.txt"
    if content is not None:
        path.write_bytes(content)
    return path, said


def test_training_on_a_bad_text_leaves_no_run(bad_text, tmp_path, refuse):
    path, said = bad_text
    refuse("train", *TINY, "--data", path, "--run", tmp_path / "new", saying="bad.txt" if said == "empty" else said)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", [("eval", "--data"), ("score",)], ids=["eval", "score"])
def test_a_bad_text_is_refused_and_the_run_unchanged(bad_text, trained, refuse, command):
    path, said = bad_text
    before = everything(trained)
    name, *flag = command
    refuse(name, trained, *flag, path, saying=said)
    assert everything(trained) == before


@pytest.mark.parametrize("command", [("eval", "--data"), ("score",)], ids=["eval", "score"])
def test_a_text_of_unknown_words_is_refused(trained, tmp_path, refuse, command):
    (tmp_path / "other.txt").write_text("quid est veritas\nnescio\n")
    name, *flag = command
    message = refuse(name, trained, *flag, tmp_path / "other.txt", saying="none of the 4 tokens")
    assert "give a text of the language" in message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hidden-size", "0"], "--hidden-size must be a positive number, not 0"),
        (["--layers", "-1"], "--layers must be a positive number, not -1"),
        (["--embedding-size", "0"], "--embedding-size must be a positive number"),
        (["--batch-size", "0"], "--batch-size must be"),
        (["--bptt", "0"], "--bptt must be"),
        (["--epochs", "0"], "--epochs must be"),
        (["--epochs", "1.5"], "'1.5' is not a whole number"),
        (["--learning-rate", "0"], "--learning-rate must be"),
        (["--learning-rate", "nan"], "--learning-rate must be a positive number, not nan"),
        (["--learning-rate", "inf"], "--learning-rate must be a positive number, not inf"),
        (["--learning-rate", "fast"], "'fast' is not a number"),
        (["--schedule", "cosin"], "unknown --schedule 'cosin': choose one of constant"),
        (["--schedule", "epochs", "--schedule-options", "divisor=0"], "`divisor` of a schedule must be positive"),
        (["--schedule", "cosine", "--schedule-options", "warmup=3"], "schedule 'cosine' has no option 'warmup'"),
        (["--schedule", "linear", "--schedule-options", "warmup_steps=9999"], "longer than the job, which has"),
        (["--schedule", "plateau", "--schedule-options", "patience=0"], "`patience` of the plateau schedule must be"),
        (["--steps", "0"], "--steps must be a positive number, not 0"),
        (
            ["--valid-every", "3 minutes"],
            "--valid-every must be a positive number of steps, or",
        ),
        (["--checkpoint-every", "0 minutes"], "--checkpoint-every must be a positive number of steps"),
        (["--early-stop", "0"], "--early-stop must be a positive number, not 0"),
        (["--accumulate", "3"], "--accumulate must divide --batch-size: 2 sequences cannot be cut into 3"),
        (["--average", "ema", "--average-options", "decay=1"], "`decay` of the average must be at least 0 and below 1"),
        (["--average", "ema", "--average-options", "interval=3"], "average 'ema' has no option 'interval'"),
        (["--average-options", "decay=0.5"], "--average-options are of an average"),
        (["--clip-norm", "0"], "--clip-norm must be"),
        (["--optimizer-options", "beta=1"], "optimizer 'adam' has no option 'beta': its options are b1, b2, eps"),
        (["--optimizer-options", "b1=high"], "optimizer 'adam' cannot be made with these options"),
        (["--weight-decay", "0.1", "--weight-decay-mask", "gate*"], "--weight-decay-mask 'gate*' matches no parameter"),
        (["--weight-decay", "-1"], "--weight-decay must be 0 or more"),
        (["--init-scale", "0"], "--init-scale must be"),
        (["--seed", "-1"], "--seed must be 0 or more, not -1"),
        (["--seed", str(2**32)], "--seed must be below 2^32"),
        (["--min-count", "0"], "--min-count must be"),
        (["--max-vocabulary", "0"], "--max-vocabulary must be"),
        (["--max-vocabulary", "1"], "no room"),
        (["--valid-streams", "0"], "--valid-streams must be"),
        (["--log-every", "0"], "--log-every must be"),
        (["--checkpoint-every", "0"], "--checkpoint-every must be"),
        (["--max-bad-steps", "0"], "--max-bad-steps must be"),
        (["--remat-chunk", "0"], "--remat-chunk must be"),
        (["--remat-chunk", "cube"], "--remat-chunk must be"),
        (["--dropout-input", "1.0"], "dropout rate input must be at least 0 and below 1"),
        (["--dropout-hidden", "-0.1"], "dropout rate hidden"),
        (["--dropout-output", "nan"], "dropout rate output"),
        (["--weight-drop", "1"], "dropout rate weight must be at least 0 and below 1, not 1.0"),
        (["--zoneout", "1"], "--zoneout must be at least 0 and below 1, not 1.0"),
        (
            ["--zoneout-cell", "0.1"],
            "--zoneout-cell needs a cell whose state has a part 'cell'",
        ),
        (["--cell", "mingru", "--weight-drop", "0.1"], "a mingru cell has no recurrent matrix"),
        (["--cell", "gru-reset-before", "--dropout-state", "0.1"], "a gru cell does not split"),
        (["--dropout-state", "0.1", "--executor", "native"], "the native executor cannot run this"),
        (["--level", "byte", "--dropout-word", "0.1"], "--dropout-word needs an unknown token"),
        (["--cell", "perceptron"], "unknown cell 'perceptron'"),
        (["--cell-options", "colour=red"], "cell 'elman-tanh' has no option 'colour'"),
        (["--cell-options", "colour"], "'colour' is not name=value"),
        (["--cell-options", "recurrent_init=best"], "`recurrent_init` must be one of"),
        (["--cell-options", "dtype=bfloat16"], "use --dtype"),
        (["--cell", "lstm", "--cell-options", "forget_bias=high"], "`forget_bias` must be a finite number, not 'high'"),
        (["--optimizer", "magic"], "unknown --optimizer 'magic': choose one of sgd, momentum"),
        (["--optimizer", "nowhere.py:rule"], "nowhere.py: check the path"),
        (["--optimizer", "math:pi"], "has no function pi"),
        (["--optimizer", "given"], "this run's optimizer is a transformation that a program made"),
        (["--level", "page"], "invalid choice"),
        (["--batching", "none"], "invalid choice"),
        (["--dropout-latent", "0.5"], "--dropout-latent needs tied embeddings of another width than the cell's output"),
        (
            [*("--output", "mixture-of-softmaxes", "--output-options", "latent_size=4"), "--tie-embeddings"],
            "`latent_size` is 4, but the embedding that it is tied to has width 8",
        ),
        (["--depth", "3"], "unrecognized arguments: --depth"),
        (["--vocabulary", "nowhere.json"], "cannot find the vocabulary file nowhere.json"),
        (["--level", "byte", "--min-count", "2"], "256"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_impossible_options_leave_no_run(corpus, tmp_path, refuse, options, said):
    refuse("train", *TINY, "--data", corpus, "--run", tmp_path / "new", *options, saying=said)
    assert not (tmp_path / "new").exists()


def test_errors_of_unknown_names_list_the_known_ones(corpus, tmp_path, refuse):
    new = tmp_path / "new"
    message = refuse("train", "zaremba/tiny", "--run", new, saying="unknown preset 'zaremba/tiny'")
    assert all(name in message for name in PRESETS)
    message = refuse("train", "--data", corpus, "--cell", "?", "--run", new, saying="unknown cell")
    assert all(name in message for name in cells.names())
    refuse(
        "train", "--data", "nothing", "--run", new, saying="cannot find the corpus or file 'nothing': give one of pydoc"
    )
    refuse("teach", saying="invalid choice: 'teach'")
    refuse("train", "--data", corpus, saying="--run")
    refuse(saying="COMMAND")
    assert not new.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--temperature", "-1"], "temperature must be 0 or more"),
        (["--top-k", "0"], "top-k must be 1 or more"),
        (["--top-p", "0"], "top-p must be above 0"),
        (["--top-p", "1.1"], "top-p must be above 0 and at most 1"),
        (["--max-tokens", "0"], "must be positive"),
        (["--lines", "-1"], "must be positive"),
        (["--seed", "-1"], "seed must be from 0"),
        (["--checkpoint", "first"], "invalid choice"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_impossible_sampling_options_are_refused(trained, refuse, options, said):
    refuse("sample", trained, *options, saying=said)


@pytest.mark.parametrize("streams", ["0", "-3", "two"])
def test_impossible_streams_are_refused(trained, corpus, refuse, streams):
    refuse("eval", trained, "--data", corpus, "--streams", streams, saying="streams")


def test_a_folder_in_use_is_left_alone(corpus, run, refuse):
    before = everything(run)
    refuse("train", *TINY, "--data", corpus, "--run", run, saying="already holds a run: add --resume")
    assert everything(run) == before


def test_a_file_in_place_of_a_run_is_left_alone(corpus, refuse):
    before = corpus.read_bytes()
    refuse("train", *TINY, "--data", corpus, "--run", corpus, saying="text.txt")
    assert corpus.read_bytes() == before


@pytest.mark.parametrize("command", ["train", "eval", "score", "sample"])
def test_a_missing_run_is_refused(tmp_path, corpus, refuse, command):
    nowhere = tmp_path / "nowhere"
    words = {
        "train": ["--run", nowhere, "--resume"],
        "eval": [nowhere, "--data", corpus],
        "score": [nowhere, corpus],
        "sample": [nowhere],
    }[command]
    refuse(command, *words, saying="holds no run (no config.json): train one with")
    assert not nowhere.exists()


def test_a_run_without_a_checkpoint_is_refused(run, refuse):
    for path in sorted((run / "checkpoints").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    refuse("sample", run, saying="no checkpoint")
    (run / "checkpoints").rmdir()
    refuse("sample", run, saying="--resume")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hidden-size", "9"], "cannot resume with --hidden-size 9: the run was begun with 8"),
        (["--seed", "3"], "cannot resume with --seed 3"),
        (["--cell", "gru"], "cannot resume with --cell gru"),
        (["--learning-rate", "0.5"], "cannot resume with --learning-rate 0.5"),
        (["zaremba/small"], "cannot resume with"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_resuming_with_another_configuration_is_refused(run, refuse, options, said):
    before = everything(run)
    refuse("train", *options, "--run", run, "--resume", saying=said)
    assert everything(run) == before


CONFIGS = {
    "no function": ("config = 3\n", "it needs a function get_config()"),
    "no callable": ("get_config = 3\n", "it needs a function get_config()"),
    "raises": ("def get_config():\n    return {}['width']\n", "config.py failed with KeyError: 'width'"),
    "reads": ("def get_config():\n    open('/nowhere/at/all')\n", "config.py failed with FileNotFoundError"),
    "no Python": ("def get_config(:\n", "config.py failed with SyntaxError"),
    "leaves": ("import sys\nsys.exit(0)\n", "config.py failed with SystemExit"),
    "returns a dict": (
        "def get_config():\n    return {'epochs': 3}\n",
        "must return a rnnlm_jax.config.Config, not dict",
    ),
    "a part of another kind": (
        "from rnnlm_jax.config import Config\ndef get_config():\n    return Config(model={'layers': 2})\n",
        "the model part of a configuration cannot be a dict",
    ),
    "a word for a number": (
        "from rnnlm_jax.config import *\ndef get_config():\n    return Config(model=ModelConfig(hidden_size='8'))\n",
        "--hidden-size cannot be '8': it must be a whole number",
    ),
    "an unknown field": (
        "from rnnlm_jax.config import *\ndef get_config():\n    return Config(model=ModelConfig(width=8))\n",
        "unexpected keyword argument 'width'",
    ),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_bad_config_files_are_refused(tmp_path, refuse, kind):
    source, said = CONFIGS[kind]
    (tmp_path / "config.py").write_text(source)
    refuse("train", tmp_path / "config.py", "--run", tmp_path / "new", saying=said)
    assert not (tmp_path / "new").exists()


def test_a_missing_config_file_is_refused(tmp_path, refuse):
    refuse("train", tmp_path / "config.py", "--run", tmp_path / "new", saying="cannot find the configuration file")


def damage_vocabulary(run, how):
    path = run / "vocabulary.json"
    words = Vocabulary.load(path)
    content = json.loads(path.read_text())
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    elif how == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    elif how == "edited":
        path.write_text(json.dumps(content | {"tokens": content["tokens"][::-1]}))
    elif how == "another, of the same size":
        others = [f"word{k}" for k in range(words.size - 2)]
        build_vocabulary([" ".join(others)], "word").save(path)
        assert Vocabulary.load(path).size == words.size
    elif how == "another, larger":
        build_vocabulary([" ".join(f"word{k}" for k in range(99))], "word").save(path)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "cannot find the vocabulary file"),
        ("truncated", "not a readable vocabulary file"),
        ("binary", "not a readable vocabulary file"),
        ("edited", "is corrupt"),
        ("another, of the same size", "was trained with another vocabulary"),
        ("another, larger", "was trained with another vocabulary"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(run, refuse, how, said):
    damage_vocabulary(run, how)
    before = everything(run)
    refuse("sample", run, saying=said)
    # Resuming reads the text first, in which such a vocabulary may know no word.
    refuse("train", "--run", run, "--resume", saying="vocabulary" if "another" in how else said)
    assert everything(run) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not a configuration of this version"),
        (b"\xff\xfe{}", "is not a configuration of this version"),
        (b"[1, 2]", "is not a configuration of this version"),
        (b'{"model": {"width": 3}}', "is not a configuration of this version"),
        (b'{"model": {"hidden_size": "8"}}', "--hidden-size cannot be '8'"),
        (b'{"model": {"hidden_size": null}}', "--hidden-size cannot be None"),
    ],
)
def test_a_damaged_configuration_is_refused(run, refuse, content, said):
    (run / "config.json").write_bytes(content)
    before = everything(run)
    refuse("sample", run, saying=said)
    refuse("train", "--run", run, "--resume", saying=said)
    assert everything(run) == before


def test_float64_needs_x64(corpus, tmp_path):
    command = [*PROGRAM, "train", *TINY, "--data", corpus, "--run", tmp_path / "new", "--param-dtype", "float64"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 2
    assert "float64 needs JAX_ENABLE_X64=1" in one_line(done.stderr.decode())
    assert not (tmp_path / "new").exists()


def test_a_closed_pipe_is_not_an_error(trained, corpus):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [*PROGRAM, "score", trained, corpus, "--tokens"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
