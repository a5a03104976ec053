"""A checkpoint with a truncated, missing or changed file is detected, and never read as a sound one."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from rnnlm_jax.config import fixed_options_digest, replace
from rnnlm_jax.jobs.checkpoints import folder
from rnnlm_jax.jobs.run_folder import RunFolder, read_config_and_identity, write_config
from tests.cli.conftest import everything, one_line
from tests.training.tiny import assert_same_bits, last_checkpoint

# Orbax's errors in the background are reported by Python's garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

#: Files of a checkpoint whose loss changes nothing that is read: the arrays are found, and verified, without them.
SPARE = ("_sharding", "array_metadatas", "commit_success", "ocdbt.process_0", "_CHECKPOINT_METADATA", "_METADATA")


def newest(run, which):
    return max((run / "checkpoints" / which).iterdir(), key=lambda path: int(path.name))


def only(run, which):
    """Return the newest checkpoint, after all others are deleted."""
    checkpoint = newest(run, which)
    for path in (run / "checkpoints").iterdir():
        for other in path.iterdir():
            if other != checkpoint and (which == "best" or path.name == which):
                shutil.rmtree(other)
    return checkpoint


def kind(path):
    """Return the kind of a file: its name without digits."""
    return "/".join(part if len(part) < 32 else "*" for part in path.parts)


def files_of(checkpoint):
    return {path: kind(path.relative_to(checkpoint)) for path in sorted(checkpoint.rglob("*")) if path.is_file()}


def holds_arrays(name):
    return "/d/*" in name


def damage(path, how):
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(("which", "how"), [("best", "truncate"), ("best", "delete"), ("last", "truncate")])
def test_every_file_in_turn(run, rnnlm, which, how):
    original, reported = last_checkpoint(run, "last")[0].params, set()
    checkpoint = only(run, which)
    command = ["sample", run] if which == "best" else ["train", "--run", run, "--resume", "--epochs", "1"]
    for path, name in files_of(checkpoint).items():
        if which == "last" and name.startswith("params/"):
            continue  # as in the best one
        content = path.read_bytes()
        damage(path, how)
        if path.exists() and path.read_bytes() == content:
            continue
        before = everything(run)
        outcome = rnnlm(*command)
        if outcome.code == 2:
            reported.add(name)
            message = one_line(outcome.err)
            assert str(checkpoint.parent) in message
            assert "restore the folder from a copy" in message or "holds no checkpoint" in message
            assert everything(run) == before
        else:  # nothing that was lost is needed: the parameters are those that were saved
            assert outcome.code == 0, outcome
            assert which == "best" or "resuming at step" in outcome.out, name  # not begun anew
            assert any(part in name for part in SPARE), name
            if which == "last":
                assert_same_bits(last_checkpoint(run, "last")[0].params, original)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert "about/metadata" in reported
    assert any(holds_arrays(name) for name in reported), reported
    assert rnnlm(*command).code == 0


@pytest.mark.parametrize(("which", "item"), [("best", "params"), ("last", "params"), ("last", "training")])
def test_one_flipped_bit(run, rnnlm, which, item):
    """Orbax reads a flipped bit without an error; the digests detect it."""
    checkpoint = only(run, which)
    command = ["sample", run] if which == "best" else ["train", "--run", run, "--resume"]
    biggest = max((checkpoint / item / "d").iterdir(), key=lambda path: path.stat().st_size)
    content = biggest.read_bytes()
    rng, reported = np.random.default_rng(0), 0
    for place in rng.integers(0, len(content), 12).tolist():
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        biggest.write_bytes(bytes(flipped))
        outcome = rnnlm(*command)
        if outcome.code == 0:
            # A bit of padding or of an unused field: what was read is what was saved, digests and all.
            continue
        reported += 1
        assert "is damaged" in one_line(outcome.err)
    biggest.write_bytes(content)
    assert reported >= 6
    assert rnnlm(*command).code == 0


def test_a_changed_number_is_detected_by_its_digest(run, refuse, monkeypatch):
    """The arrays that the library reads are compared with those that were saved."""
    digests = folder.digests

    def flipped(arrays):
        changed = {name: np.array(value) for name, value in arrays.items()}
        changed["embedding"].view(np.uint8).flat[0] ^= 1
        return digests(changed)

    monkeypatch.setattr(folder, "digests", flipped)
    refuse("sample", run, saying="wrong digest of embedding")


def test_one_of_another_model(run, refuse):
    config, identity = read_config_and_identity(RunFolder(run))
    other = replace(config, model={"cell": "lstm"})
    write_config(RunFolder(run), other, identity)
    refuse("sample", run, saying="config.json has other options than the run was begun with")
    write_config(RunFolder(run), other, dataclasses.replace(identity, options=fixed_options_digest(other)))
    refuse("sample", run, saying="was written with other options than the run's config.json says")


def test_a_save_under_way_elsewhere_is_left_alone(run, rnnlm):
    """Reading a run must not delete files of a training process that is still writing."""
    unfinished = run / "checkpoints" / "best" / "99.orbax-checkpoint-tmp"
    unfinished.mkdir()
    (unfinished / "part").write_bytes(b"half")
    assert rnnlm("sample", run).code == 0
    assert Path(unfinished / "part").read_bytes() == b"half"
