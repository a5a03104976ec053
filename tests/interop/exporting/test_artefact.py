"""The folder that leaves: it runs with jax and NumPy alone, and says the same nats."""

import dataclasses
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from rnnlm_jax.cli.text_input import encode_text
from rnnlm_jax.config import replace
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.perplexity import text_nll
from rnnlm_jax.interop.exporting import export_run, load_safetensors, score
from rnnlm_jax.jobs.run_folder import build_model
from tests.training.tiny import random_params

#: All that jax needs of others, and nothing else of what is installed here.
INSTALLED = ("jax", "jaxlib", "numpy", "numpy.libs", "ml_dtypes", "opt_einsum", "scipy", "scipy.libs")
#: Runs a program in such an environment, and refuses whatever else would be imported from anywhere but its own folder.
ALONE = """
import runpy, sys
packages, program, *words = sys.argv[1:]
sys.path.append(packages)
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("rnnlm_jax", "flax", "optax", "safetensors", "orbax", "jaxtyping", "tqdm", "absl"):
            raise AssertionError(f"{name} was asked for")
sys.meta_path.insert(0, Refuse())
sys.argv = [program, *words]
runpy.run_path(program, run_name="__main__")
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Run a program with jax and NumPy alone, as ``python PROGRAM WORDS``."""
    packages = tmp_path_factory.mktemp("site-packages")
    for name in INSTALLED:
        place = Path(jax.__file__).parent.parent / name
        if place.exists():
            (packages / name).symlink_to(place)

    def run(program, *words, folder=None):
        command = [sys.executable, "-I", "-S", "-B", "-c", ALONE, packages, program, *words]
        environment = {"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"}
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=120, env=environment, cwd=folder
        )

    return run


def test_it_scores_a_text_with_jax_and_numpy_alone(small_run, artefact, corpus, alone):
    done = alone(artefact / "score.py", corpus, "--tokens", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    *shown, line, last = done.stdout.splitlines()
    figures = json.loads(last)
    text = encode_text(str(corpus), small_run.vocabulary)
    with jax.enable_x64(False):
        wanted = text_nll(small_run.model, small_run.params, text, small_run.vocabulary)
    np.testing.assert_allclose(figures["token_nats"], wanted, rtol=1e-5)
    assert figures["nats"] == pytest.approx(wanted.sum(), rel=1e-6)
    assert (figures["tokens"], figures["oov"]) == (len(text), text.oov) == (len(shown), 1)
    assert f"perplexity {np.exp(wanted.mean()):.3f}" in line
    assert small_run.vocabulary.describe() in line


def test_the_readme_is_true(artefact, alone, tmp_path):
    readme = (artefact / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(
        f"import sys; sys.path.append({str(artefact)!r})\n{example}\nprint(log_probs.shape, len(state))\n"
    )
    done = alone(program, folder=artefact)
    assert done.stderr == ""
    assert done.stdout.startswith("(3, ")
    assert set(re.findall(r"^\| `([^`]+)`", readme, re.MULTILINE)) == {
        *(path.name for path in artefact.iterdir() if path.is_file() and path.name != "README.md"),
        "flatbuffers/",
    }


def test_what_cannot_be_scored_is_one_line(artefact, alone, tmp_path):
    done = alone(artefact / "score.py", tmp_path / "nothing.txt")
    assert done.returncode == 2
    assert re.fullmatch(r"score\.py: error: .*nothing\.txt: No such file or directory; check .*\n", done.stderr)


@pytest.mark.parametrize(
    ("content", "change", "said"),
    [
        (b"\n\n", {}, "is empty"),
        (b"the cat\ncaf\xe9\n", {}, "is not UTF-8 (in the line at byte 8)"),
        (b"quid est veritas\n", {}, "none of the 3 tokens"),
        (b"the cat\nthe unicorn sat\n", {"unk": None}, "'unicorn' in line 2 of"),
        (b"the cat\n", {"level": "phone"}, "is of a later version"),
    ],
)
def test_texts_that_cannot_be_read(artefact, tmp_path, content, change, said):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(score.Refused, match=re.escape(said)):
        score.encode(str(path), json.loads((artefact / "vocabulary.json").read_text()) | change)


@pytest.mark.parametrize("level", ["word", "char", "byte"])
def test_texts_are_read_as_the_library_reads_them(tmp_path, level):
    from rnnlm_jax.data import build_vocabulary

    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffthe café\r\n\n\x0bthe  <unk> zebra\u2028the end".encode())
    lines = ["the café", "the <unk> end\u2028\x0b bzr<>unk"]
    vocabulary = build_vocabulary(lines, level)
    vocabulary.save(tmp_path / "vocabulary.json")
    ids, unknown = score.encode(str(path), json.loads((tmp_path / "vocabulary.json").read_text()))
    wanted = encode_text(str(path), vocabulary)
    assert ids.dtype == np.int32
    assert ids.tolist() == wanted.tokens.tolist()
    # U+2028 is a character of words: neither zebra+the nor end without it is known
    assert unknown == wanted.oov == (2 if level == "word" else 0)


def test_subwords_are_cut_by_their_tokenizer(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    cut = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0, "the": 1, "cat": 2, "</s>": 3}, "<unk>"))
    cut.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    vocabulary = {"level": "subword", "tokens": ["<unk>", "the", "cat", "</s>"], "unk": "<unk>", "eos": "</s>"}
    path = tmp_path / "text.txt"
    path.write_text("the cat\nthe dog\n")
    ids, unknown = score.encode(str(path), vocabulary | {"tokenizer": cut.to_str()})
    assert (ids.tolist(), unknown) == ([1, 2, 3, 1, 0, 3], 1)


@pytest.mark.parametrize("name", ["score.jax", "model.safetensors", "vocabulary.json", "manifest.json"])
def test_damage_is_noticed(small_run, artefact, name, tmp_path):
    for path in artefact.iterdir():
        (tmp_path / path.name).symlink_to(path)
    content = bytearray((artefact / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(score.Refused, match="damaged"):
        score.check(tmp_path)


def test_the_manifest_is_true(small_run, artefact):
    manifest = score.check(artefact)
    assert manifest["platforms"] == ["cpu", "cuda", "tpu"]
    assert (manifest["written_by"]["jax"], manifest["x64"]) == (jax.__version__, False)
    assert manifest["whole_run"] is True
    low, high = manifest["calling_convention"]["supported_by_that_jax"]
    assert low <= manifest["calling_convention"]["version"] <= high
    for kind, leading in (("model", None), ("state", "B")):
        arrays = score.read_tensors(artefact / f"{kind}.safetensors")
        described = manifest["params" if kind == "model" else "state"]
        assert described.keys() == arrays.keys()
        for name, array in arrays.items():
            shape = list(array.shape) if leading is None else [leading, *array.shape[1:]]
            assert described[name] == {"dtype": str(array.dtype), "shape": shape}
    files = {str(path.relative_to(artefact)) for path in artefact.rglob("*") if path.is_file()}
    assert files == {*manifest["sha256"], "manifest.json"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((artefact / name).read_bytes()).hexdigest() == digest
    assert not [name for name in files if str(Path(__file__).parents[3]).encode() in (artefact / name).read_bytes()]
    assert all((artefact / name).stat().st_mode & 0o444 == 0o444 for name in files)


def test_flatbuffers_comes_along_whole(artefact):
    place = Path(importlib.util.find_spec("flatbuffers").origin).parent
    for path in (artefact / "flatbuffers").iterdir():
        assert path.read_bytes() == (place / path.name).read_bytes()


@pytest.mark.parametrize(
    ("platforms", "said"), [(["cpu", "abacus"], "not 'abacus'"), ([], "at least one"), (["cpu", "cpu"], "each once")]
)
def test_impossible_platforms(small_run, tmp_path, platforms, said):
    with pytest.raises(UserError, match=said):
        export_run(small_run, tmp_path / "out", platforms)
    assert list(tmp_path.iterdir()) == []


def test_parameters_that_are_no_numbers_do_not_leave(small_run, tmp_path):
    bad = small_run.params._replace(embedding=small_run.params.embedding.at[0].set(np.nan))
    with pytest.raises(UserError, match=r"not finite \(embedding\)"):
        export_run(dataclasses.replace(small_run, params=bad), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_composed_input_layer_leaves_as_a_table(small_run, tmp_path):
    config = replace(small_run.config, model={"input": "char-cnn", "input_options": (("filters", "3+4"),)})
    model = build_model(config.model, small_run.vocabulary.size, words=small_run.words)
    run = dataclasses.replace(small_run, config=config, model=model, params=random_params(model))
    manifest = export_run(run, tmp_path / "out", ["cpu"])
    assert manifest["whole_run"] is False
    assert manifest["params"]["embedding"]["shape"] == [run.vocabulary.size, 8]
    assert "rnnlm-jax import" not in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(UserError, match="holds no run"):
        load_safetensors(tmp_path / "out" / "model.safetensors")
