"""Commands read files through pipes and compressed files, with the same results as from plain files."""

import gzip
import json
import os
import shlex
import subprocess
import sys
import threading

import pytest
from safetensors.numpy import save_file

from rnnlm_jax import ngrams
from rnnlm_jax.cli.commands import aot
from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.config import to_json
from rnnlm_jax.data import load_corpus, subword_building
from rnnlm_jax.interop.exporting import save_safetensors
from rnnlm_jax.interop.torch_language_model import dump
from rnnlm_jax.jobs.run_folder import RunFolder, build_model, open_run
from tests.training.tiny import PROGRAM, random_params, text, tiny_config

LIST = "u1\t-1\tthe cat sat on a dog\nu1\t-2\tthe cat sat on the mat\nu2\t-1\ton the ran\nu2\t-1.5\ta dog ran\n"
REFERENCES = "u1\tthe cat sat on the mat\nu2\ta dog ran\n"
KALDI, SCORES = "u1-1 the cat\nu1-2 a cat\nu2-1 a dog ran\n", "u1-1 -1\nu1-2 -2\nu2-1 -0.5\n"

#: Every command that reads a file: its words, where {name} is one of ``files`` and [name] something to write or a run.
COMMANDS = {
    "eval": "eval [trained] --data {text} --json",
    "eval --cache": "eval [trained] --data {text} --cache 20 --json",
    "eval --dynamic": "eval [trained] --data {text} --dynamic sgd --json",
    "score": "score [trained] {text} --json",
    "compare": "compare [trained] {kn3} {arpa} --data {text} --mix --tune {dev} --json",
    "compare --per-word": "compare [trained] {sub} --data {text} --per-word --json",
    "rescore": "rescore {kn3} --nbest {list} --references {refs} --ngram {arpa} --tune {list} --json",
    "rescore --tune": "rescore [trained] --nbest {list} --tune {list2} --tune-references {refs} --json",
    "rescore --scores": "rescore {kn3} --nbest {kaldi} --scores {scores} --tune {kaldi2} --tune-scores {scores2}"
    " --references {refs} --json",
    "jacobians": "jacobians [trained] --data {text} --out [out] --positions 20 --sequences 0 --lags 1,2 --json",
    "import": "import {run} --run [out] --json",
    "import --vocabulary": "import {torch} --kind RNN_TANH --vocabulary {words} --run [out] --json",
    "import --vocabulary JSON": "import {torch2} --kind RNN_TANH --vocabulary {vocabulary} --run [out] --json",
    "ngram train": "ngram train {text} --out [out] --order 3",
    "ngram train --vocabulary": "ngram train {text} --vocabulary {vocabulary} --out [out]",
    "ngram train --vocabulary WORDS": "ngram train {text} --vocabulary {words} --out [out]",
    "ngram train --tokenizer": "ngram train {text} --tokenizer {tokenizer} --out [out]",
    "ngram train --held-out": "ngram train {text} --model maxent --held-out {dev} --order 2 --out [out]",
    "ngram eval": "ngram eval {kn3} --data {text} --json",
    "ngram eval ARPA": "ngram eval {arpa} --data {text} --json",
    "train": "train {config} --data {long} --run [out] --json",
    "train --vocabulary": "train {config} --data {long} --vocabulary {vocabulary} --run [out] --json",
    "train --tokenizer": "train {config} --data {long} --tokenizer {tokenizer} --run [out] --json",
}

CONFIG = """
from rnnlm_jax.config import Config, replace
def get_config():
    return replace(
        Config(),
        data={"batch_size": 2, "bptt": 10},
        model={"cell": "elman-tanh", "hidden_size": 8, "init_scale": 0.3},
        training={"epochs": 1},
    )
"""


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    """Every file that commands read, by name."""
    folder = tmp_path_factory.mktemp("plain")
    run = open_run(trained)
    texts = {"text": text(30), "long": text(40), "dev": text(3), "list": LIST, "list2": LIST, "refs": REFERENCES}
    texts |= {"kaldi": KALDI, "kaldi2": KALDI, "scores": SCORES, "scores2": SCORES, "config": CONFIG}
    texts |= {"words": "".join(f"{word}\n" for word in run.vocabulary.tokens), "vocabulary": run.vocabulary.to_json()}
    for name, content in texts.items():
        (folder / name).write_text(content)
    words = run.vocabulary
    ngrams.train(encode_text(str(folder / "text"), words), words, 3).save(folder / "kn3")
    ngrams.write_arpa(ngrams.load(folder / "kn3"), folder / "arpa")
    subwords = subword_building.train_byte_pairs(load_corpus(str(folder / "text")).lines("train"), 270)
    (folder / "tokenizer").write_text(subwords.tokenizer)
    ngrams.train(encode_text(str(folder / "text"), subwords), subwords, 2).save(folder / "sub")
    save_safetensors(run, folder / "run")
    config = tiny_config("text.txt").model
    save_file(dump(config, random_params(build_model(config, words.size))), folder / "torch")
    save_file(dump(config, random_params(build_model(config, words.size))), folder / "torch2")
    return {path.name: path for path in folder.iterdir()}


class Pipes:
    """Make pipes with the names of files in another folder; each delivers its content once."""

    def __init__(self, folder):
        self.folder, self.open = folder, []

    def __call__(self, name, content):
        reading, writing = os.pipe()
        self.open.append(reading)
        threading.Thread(target=self._write, args=(writing, content), daemon=True).start()
        (self.folder / name).symlink_to(f"/dev/fd/{reading}")
        return self.folder / name

    @staticmethod
    def _write(writing, content):
        with open(writing, "wb") as file:
            file.write(content)

    def close(self):
        for reading in self.open:
            os.close(reading)


WAYS = ("pipe", "gzip", "pipe of gzip")

#: A command for each kind of reader: these read files in every way, the others a pipe of gzip, which has both.
READERS = ("eval", "rescore", "import", "ngram train", "ngram eval ARPA", "train --tokenizer")


@pytest.fixture(params=WAYS)
def given(request, tmp_path):
    """Return a function that provides some content under the name that a command reads."""
    folder = tmp_path / "other"
    folder.mkdir()
    pipes = Pipes(folder)

    def compressed(name, content):
        (folder / name).write_bytes(gzip.compress(content))
        return folder / name

    ways = {"pipe": pipes, "gzip": compressed, "pipe of gzip": lambda name, c: pipes(name, gzip.compress(c))}
    yield ways[request.param]
    pipes.close()


def figures(outcome, out):
    """Return the results of a command without times, paths and identifiers of runs."""
    left_out = ("environment", "run_id", "time_use")
    assert outcome.code == 0, outcome
    last = outcome.out.splitlines()[-1]
    if not last.startswith("{"):
        return ngrams.load(out).describe(), {k: v.tolist() for k, v in _arrays(ngrams.load(out)).items()}

    def kept(value, key=""):
        if isinstance(value, dict):
            return {k: kept(v, k) for k, v in value.items() if "second" not in k and k not in left_out}
        if isinstance(value, list):
            return [kept(each) for each in value]
        return os.path.basename(value) if isinstance(value, str) and os.sep in value else value

    return kept(json.loads(last))


def _arrays(model):
    return {f"{k} {name}": array for k, level in enumerate(model.levels) for name, array in level._asdict().items()}


@pytest.fixture(scope="module")
def plain():
    """Return a function that runs a command on plain files, once for each name, and returns its results."""
    return {}


@pytest.mark.parametrize(
    ("name", "given"),
    [(name, way) for name in COMMANDS for way in WAYS if name in READERS or way == "pipe of gzip"],
    indirect=["given"],
)
def test_every_file_of_a_command(name, files, plain, given, trained, tmp_path, rnnlm):
    def run(place, out):
        places = {}  # a file that is named twice is one pipe
        words = []
        for word in COMMANDS[name].split():
            if word.startswith("{"):
                file = word[1:-1]
                if file not in places:
                    places[file] = place(file)
            words.append({"[trained]": trained, "[out]": out}.get(word, places.get(word[1:-1], word)))
        return figures(rnnlm(*words), out)

    if name not in plain:
        plain[name] = run(files.__getitem__, tmp_path / "a" / "out")
    found = run(lambda file: given(file, files[file].read_bytes()), tmp_path / "b" / "out")
    assert found == plain[name]


@pytest.mark.parametrize("source", ["json", "python"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_configurations_of_aot(source, mark, given):
    config = tiny_config("text.txt")
    content = mark + (to_json(config) if source == "json" else CONFIG)
    path = given("config", content.encode())
    found, run = aot._read(str(path))
    assert run is None
    assert found.model.hidden_size == 8 and (source == "python" or found == config)


def in_bash(command):
    """Run a command in bash, and return its last line as JSON."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {key: value for key, value in json.loads(done.stdout.splitlines()[-1]).items() if key != "data"}


def test_as_bash_gives_them(files, trained, tmp_path):
    program = shlex.join(PROGRAM)
    model = files["kn3"]
    long = tmp_path / "long.txt"
    long.write_text(text(500))
    assert long.stat().st_size > 2 * 4096
    compressed = tmp_path / "long.txt.gz"
    compressed.write_bytes(gzip.compress(long.read_bytes()))
    ways = [f"--data {long}", f"--data <(cat {long})", f"--data <(gzip -c {long})", f"--data {compressed}"]
    ways += [f"--data /dev/stdin < {long}", f"--data /dev/stdin < <(cat {long})"]
    found = []
    for way in ways:
        each = in_bash(f"{program} ngram eval {model} --json {way}")
        found.append({key: value for key, value in each.items() if "second" not in key})
    assert found == [found[0]] * len(ways)
    assert found[0]["words"] == len(long.read_text().split()) + len(long.read_text().splitlines())


def test_the_script_of_an_exported_model(trained, tmp_path, rnnlm):
    assert rnnlm("export", trained, "--out", tmp_path / "model", "--platforms", "cpu").code == 0
    file = tmp_path / "text"
    file.write_text("\ufeff" + text(20))
    script = f"{shlex.quote(sys.executable)} {tmp_path / 'model' / 'score.py'} --json"
    ways = [str(file), f"<(cat {file})", f"<(gzip -c {file})"]
    found = [in_bash(f"{script} {way}") for way in ways]
    assert found == [found[0]] * 3
    assert found[0]["oov"] == 0


def test_a_pipe_is_read_to_its_end_and_errors_say_so(trained, tmp_path, refuse):
    pipes = Pipes(tmp_path)
    refuse("eval", trained, "--data", pipes("empty", b""), saying="empty is empty")
    refuse("eval", trained, "--data", pipes("latin", b"a " * 6000 + b"\xe9\n"), saying="is not UTF-8 (at byte 12000)")
    cut = gzip.compress(text(500).encode())[:-20]
    (tmp_path / "cut.gz").write_bytes(cut)
    for command in (["eval", trained, "--data"], ["ngram", "eval"], ["import"]):
        more = {"ngram": ["--data", tmp_path / "cut.gz"], "import": ["--run", tmp_path / "new"]}.get(command[0], [])
        refuse(*command, tmp_path / "cut.gz", *more, saying="cut.gz is damaged")
        refuse(*command, pipes(f"{command[0]}.cut", cut), *more, saying="cut is damaged")
    pipes.close()
    assert not RunFolder(tmp_path / "new").exists()


def test_models_named_by_their_descriptors(files, trained, rnnlm):
    """Two pipes have two names."""
    done = in_bash(
        f"{shlex.join(PROGRAM)} compare <(cat {files['kn3']}) <(cat {files['arpa']}) --data {files['text']} --json"
    )
    assert len({row["name"] for row in done["rows"]}) == 2
