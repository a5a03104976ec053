"""Checkpoints written in the background: their contents, when they are committed, and their errors."""

import asyncio
import dataclasses
import gc
import logging
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.config import Config
from rnnlm_jax.errors import CheckpointError
from rnnlm_jax.jobs.checkpoints import CheckpointFolder, folder, metadata
from rnnlm_jax.jobs.checkpoints.orbax_logging import quiet_orbax
from rnnlm_jax.jobs.run_folder import START
from rnnlm_jax.jobs.run_identity import RunIdentity

OWN = RunIdentity.begin(Config(), "words")


def position(step):
    return dataclasses.replace(START, step=step, interval={"nats": 0.1, "tokens": 3, "norms": [0.5]})


@pytest.fixture
def checkpoints(tmp_path):
    return CheckpointFolder(tmp_path / "last", keep=2)


@pytest.fixture
def state():
    return {"params": {"w": jnp.arange(300_000, dtype=jnp.float32), "n": jnp.int32(7)}}


@pytest.fixture
def held(monkeypatch):
    """An event; digests wait until it is set."""
    event, digests = threading.Event(), folder.digests

    def late(arrays):
        assert event.wait(30) or not arrays
        return digests(arrays)

    monkeypatch.setattr(folder, "digests", lambda arrays: late(arrays) if arrays else {})
    return event


def test_the_state_at_that_moment_is_saved_and_committed_with_its_digests(checkpoints, state, held):
    before = jax.tree.map(np.array, state)
    step = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf * 2 + 1, tree), donate_argnums=0)
    checkpoints.save(state, position(5), OWN, background=True)
    for _ in range(3):
        state = step(state)
    jax.block_until_ready(state)
    assert checkpoints.steps() == []
    assert CheckpointFolder(checkpoints.folder).steps() == []
    held.set()
    checkpoints.wait()
    assert checkpoints.steps() == [5]
    trees, found = CheckpointFolder(checkpoints.folder).restore(state, OWN, 5)
    assert found == position(5)
    for one, two in zip(jax.tree.leaves(trees), jax.tree.leaves(before), strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("call", ["save", "wait"])
def test_an_error_in_the_background_is_raised_in_one_line_by_the_next_call(checkpoints, state, monkeypatch, call):
    checkpoints.save(state, position(4), OWN)

    def full(metadata):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "to_text", full)
        checkpoints.save(state, position(5), OWN, background=True)
        with pytest.raises(CheckpointError, match="cannot save the checkpoint of step 5 .*No space left") as raised:
            checkpoints.wait() if call == "wait" else checkpoints.save(state, position(6), OWN, background=True)
    assert "\n" not in str(raised.value)
    assert checkpoints.steps() == [4]


def test_discarded_checkpoints_can_be_written_again(checkpoints, state):
    for step in (1, 2, 3):
        checkpoints.save(state, position(step), OWN, background=True)
    checkpoints.save(state, position(3), OWN)  # exists already
    assert checkpoints.steps() == [2, 3]
    checkpoints.discard(3, 4)
    assert checkpoints.steps() == [2]
    checkpoints.save(state, position(3), OWN)
    assert checkpoints.steps() == [2, 3]


def test_a_flipped_bit_in_the_metadata_is_detected(checkpoints, state):
    text = metadata.to_text(metadata.CheckpointMetadata(position(12), OWN, {"params": {"w": "ab12"}}))
    assert metadata.from_text(text).position == position(12)
    for place in range(len(text)):
        for bit in range(7):
            flipped = text[:place] + chr(ord(text[place]) ^ (1 << bit)) + text[place + 1 :]
            with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
                metadata.from_text(flipped)


def lose_an_exception():
    """Have asyncio log that the exception of a task was never retrieved."""

    async def lose():
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep("no number"))])  # pyright: ignore[reportArgumentType]

    asyncio.run(lose())
    gc.collect()


def test_one_error_is_raised_for_many_files_that_cannot_be_read(checkpoints, caplog):
    """All leaves are read at once; the errors of the others are not logged, and logging is as before."""
    hook, filters = sys.unraisablehook, [list(logging.getLogger(name).filters) for name in ("absl", "asyncio")]
    state = {"params": {f"w{i}": jnp.full((500,), float(i)) for i in range(40)}}
    checkpoints.save(state, position(4), OWN)
    for file in checkpoints.folder.glob("4/params/d/*"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged") as raised:
        CheckpointFolder(checkpoints.folder).restore(state, OWN, 4)
    assert "\n" not in str(raised.value)
    del raised
    gc.collect()
    assert [record.message for record in caplog.records if record.name in ("absl", "asyncio")] == []
    assert sys.unraisablehook is hook
    assert [logging.getLogger(name).filters for name in ("absl", "asyncio")] == filters
    lose_an_exception()
    assert ["never retrieved" in record.message for record in caplog.records if record.name == "asyncio"] == [True]


def test_orbax_is_quiet_while_a_checkpoint_is_written_in_the_background(checkpoints, state, held):
    hook, level = sys.unraisablehook, logging.getLogger("absl").level
    checkpoints.save(state, position(4), OWN, background=True)
    assert sys.unraisablehook is not hook
    held.set()
    checkpoints.wait()
    assert sys.unraisablehook is hook
    assert logging.getLogger("absl").level == level


def test_quiet_blocks_may_overlap():
    hook, outer, inner = sys.unraisablehook, quiet_orbax(), quiet_orbax()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert sys.unraisablehook is not hook
    inner.__exit__(None, None, None)
    assert sys.unraisablehook is hook
