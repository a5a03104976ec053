"""Compiled programs kept on disk: nothing is compiled twice, and no state of the folder breaks a command."""

import os
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

from rnnlm_jax.cli import cache_folder
from rnnlm_jax.cli.compilation_cache import ENABLED, FOLDER, OFF, _jax_settings, kept_programs
from rnnlm_jax.cli.main import COMMANDS, UNCACHED
from tests.cli.conftest import one_line
from tests.training.tiny import TINY, TRAINING_PROGRAM

SAID = re.compile(r"^rnnlm-jax: (\d+) compiled programs read from (.+), (\d+) compiled anew$", re.MULTILINE)


@pytest.fixture
def misses():
    """Return a function that counts the programs that jax has compiled and given to the cache."""
    events = []

    def listen(event, **_):
        events.append(event)

    jax.monitoring.register_event_listener(listen)
    yield lambda: events.count("/jax/compilation_cache/cache_misses")
    jax.monitoring.unregister_event_listener(listen)


def said(outcome):
    """Return programs read, the folder, and programs compiled, as printed on standard error."""
    assert outcome.code == 0, outcome
    assert "compiled" not in outcome.out
    ((read, folder, anew),) = SAID.findall(outcome.err.replace("\r", "\n"))
    return int(read), folder, int(anew)


def test_training_again_compiles_nothing(corpus, tmp_path):
    """Two starts in two processes: no name or order in a program may depend on the process."""
    folder = tmp_path / "compiled"
    words = ["train", *TINY, "--optimizer=sgd", "--data", str(corpus), "--compilation-cache", str(folder), "--run"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}

    def start(run):
        done = subprocess.run([*TRAINING_PROGRAM, *words, run], capture_output=True, env=environment, text=True)
        assert done.returncode == 0, done.stderr
        for line in done.stderr.replace("\r", "\n").splitlines():  # jax loads programs without a word
            assert not line.strip() or line.startswith(("rnnlm-jax: ", "training"))
        ((read, where, anew),) = SAID.findall(done.stderr)
        return int(read), where, int(anew)

    read, where, anew = start(tmp_path / "one")
    assert (read, where) == (0, str(folder))
    assert anew == len(list(folder.glob("*-cache"))) > 10
    assert start(tmp_path / "two") == (anew, str(folder), 0)
    assert len(list(folder.glob("*-cache"))) == anew


def test_sampling_again_compiles_nothing(trained, tmp_path, rnnlm, misses):
    words = ["sample", trained, "--prompt=the", "--max-tokens=5", "--compilation-cache", tmp_path / "compiled"]
    jax.clear_caches()
    _, _, anew = said(rnnlm(*words))
    assert anew == misses() > 0
    jax.clear_caches()
    assert said(rnnlm(*words)) == (anew, str(tmp_path / "compiled"), 0)
    assert misses() == anew


def use(number):
    """Compile a program that no other test compiles, and run it."""
    jax.clear_caches()
    return float(jax.jit(lambda x: x * number + 1)(np.float32(2)))


def test_off_keeps_nothing_and_prints_nothing(tmp_path, capsys, misses):
    with _jax_settings({FOLDER: str(tmp_path)}), kept_programs(OFF):
        use(1)
    assert list(tmp_path.iterdir()) == []
    assert misses() == 0
    assert capsys.readouterr() == ("", "")


def test_the_setting_of_jax_keeps_nothing_unless_a_folder_is_given(tmp_path, capsys):
    with _jax_settings({ENABLED: False, FOLDER: str(tmp_path)}):
        with kept_programs(None):
            use(2)
        assert list(tmp_path.iterdir()) == []
        with kept_programs(str(tmp_path)):  # the option is preferred to the setting
            use(2)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_option_is_preferred_to_the_setting_and_both_to_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNLM_JAX_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    own = tmp_path / "caches" / "rnnlm_jax" / "compiled" / cache_folder.processor_id()
    for setting, choice, folder in (
        (tmp_path / "setting", tmp_path / "chosen", tmp_path / "chosen"),
        (tmp_path / "setting", None, tmp_path / "setting"),
        (None, None, own),
    ):
        with _jax_settings({FOLDER: setting and str(setting)}):
            before = {name: getattr(jax.config, name) for name in (FOLDER, ENABLED)}
            with kept_programs(choice and str(choice)):
                use(3)
            assert before == {name: getattr(jax.config, name) for name in (FOLDER, ENABLED)}
        assert len(list(folder.glob("*-cache"))) == 1
    assert own.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the standard says to ignore
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder.compiled_folder() == tmp_path / ".cache" / "rnnlm_jax" / "compiled"
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(tmp_path / "ours"))
    assert cache_folder.compiled_folder() == tmp_path / "ours" / "compiled"


def test_different_processors_have_different_folders(monkeypatch):
    names = set()
    for flags in ("sse avx", "avx sse", "sse avx avx512f"):
        text = f"processor\t: 0\nflags\t\t: {flags}\ncpu MHz\t: {id(flags)}\n\nprocessor\t: 1\n"
        monkeypatch.setattr(Path, "read_text", lambda path, text=text: text)
        names.add(cache_folder.processor_id())
    assert len(names) == 2


def test_a_folder_that_cannot_be_written(trained, tmp_path, rnnlm):
    (tmp_path / "file").write_text("not a folder")
    outcome = rnnlm("sample", trained, "--compilation-cache", tmp_path / "file" / "below")
    assert outcome.code == 0
    assert outcome.out.endswith("\n")
    assert re.fullmatch(r"rnnlm-jax: warning: .*file/below: Not a directory.*--compilation-cache\n", outcome.err)


def test_a_folder_that_is_removed_meanwhile(tmp_path, capsys):
    folder = tmp_path / "compiled"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with kept_programs(str(folder)):
            use(4)
            shutil.rmtree(folder)
            folder.write_text("in the way")
            assert use(5) == 11
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("rnnlm-jax: warning: not all compiled programs could be kept")
    assert "2 compiled anew" in second


def test_damaged_files_are_replaced(tmp_path, capsys):
    for damage, anew in ((None, 1), (100, 1), (None, 0), (0, 1), (None, 0)):
        if damage is not None:
            (kept,) = tmp_path.glob("*-cache")
            os.truncate(kept, damage)
        with kept_programs(str(tmp_path)):
            assert use(6) == 13
        assert one_line_of(capsys) == (1 - anew, str(tmp_path), anew)


def test_a_program_with_a_changed_byte_is_compiled_again(tmp_path, capsys):
    with kept_programs(str(tmp_path)):
        use(7)
    (kept,) = tmp_path.glob("*-cache")
    for place in (40, 0.5, 0.9):
        content = bytearray(kept.read_bytes())
        content[place if isinstance(place, int) else int(place * len(content))] ^= 1
        kept.write_bytes(content)
        capsys.readouterr()
        with kept_programs(str(tmp_path)):
            assert use(7) == 15
        assert one_line_of(capsys) == (0, str(tmp_path), 1)


def one_line_of(capsys):
    err = capsys.readouterr().err
    ((read, folder, anew),) = SAID.findall(err)
    assert err.count("\n") == 1, err
    return int(read), folder, int(anew)


def test_files_used_longest_ago_are_deleted_first(tmp_path):
    for age, name in enumerate(["new", "middle", "old"]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_bytes(bytes(100))
        os.utime(folder / "file", (1e9 - age, 1e8))  # read at, written at
    for limit, left in ((300, "new middle old"), (299, "new middle"), (150, "new"), (0, "")):
        cache_folder.prune(tmp_path, limit)
        assert {path.parent.name for path in tmp_path.rglob("file")} == set(left.split())
    cache_folder.prune(tmp_path / "nowhere")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_compiles_has_the_option(rnnlm, command):
    help = "--help-all" if command in ("train", "aot", "task") else "--help"
    assert ("--compilation-cache" in rnnlm(command, help).out) is (command not in UNCACHED)


def test_an_empty_folder_name_is_refused(rnnlm):
    outcome = rnnlm("sample", "run", "--compilation-cache=")
    assert outcome.code == 2
    assert "neither a folder nor off" in one_line(outcome.err)
