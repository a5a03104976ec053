"""A checkpoint written while training goes on: what it holds, when it counts, and what becomes of errors."""

import asyncio
import dataclasses
import gc
import logging
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.config import Config
from rnnlm_jax.jobs.checkpoints import CheckpointFolder, about, folder
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
    """Digests wait until this is set."""
    event, digests = threading.Event(), folder.digests

    def late(arrays):
        assert event.wait(30) or not arrays
        return digests(arrays)

    monkeypatch.setattr(folder, "digests", lambda arrays: late(arrays) if arrays else {})
    return event


def test_what_is_saved_is_the_state_at_that_moment_and_counts_once_its_digests_are_there(checkpoints, state, held):
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


@pytest.mark.parametrize("noticed", ["save", "wait"])
def test_an_error_of_the_background_is_told_in_one_line_at_the_next_occasion(checkpoints, state, monkeypatch, noticed):
    checkpoints.save(state, position(4), OWN)

    def full(about):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(about, "to_text", full)
        checkpoints.save(state, position(5), OWN, background=True)
        with pytest.raises(UserError, match="cannot save the checkpoint of step 5 .*No space left") as told:
            checkpoints.wait() if noticed == "wait" else checkpoints.save(state, position(6), OWN, background=True)
    assert "\n" not in str(told.value)
    assert checkpoints.steps() == [4]


def test_what_was_discarded_can_be_written_again(checkpoints, state):
    for step in (1, 2, 3):
        checkpoints.save(state, position(step), OWN, background=True)
    checkpoints.save(state, position(3), OWN)  # is there already
    assert checkpoints.steps() == [2, 3]
    checkpoints.discard(3, 4)
    assert checkpoints.steps() == [2]
    checkpoints.save(state, position(3), OWN)
    assert checkpoints.steps() == [2, 3]


def test_every_bit_of_what_stands_beside_the_arrays_counts(checkpoints, state):
    text = about.to_text(about.About(position(12), OWN, {"params": {"w": "ab12"}}))
    assert about.from_text(text).position == position(12)
    for place in range(len(text)):
        for bit in range(7):
            flipped = text[:place] + chr(ord(text[place]) ^ (1 << bit)) + text[place + 1 :]
            with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
                about.from_text(flipped)


def test_of_many_files_that_cannot_be_read_one_is_told(checkpoints, caplog, monkeypatch):
    """All leaves are read at once; what the second one's error would have said is not left to be logged by asyncio."""
    monkeypatch.setattr(logging.getLogger("asyncio"), "filters", [])
    state = {"params": {f"w{i}": jnp.full((500,), float(i)) for i in range(40)}}
    checkpoints.save(state, position(4), OWN)
    for file in checkpoints.folder.glob("4/params/d/*"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged") as told:
        CheckpointFolder(checkpoints.folder).restore(state, OWN, 4)
    assert "\n" not in str(told.value)

    async def lose():
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep("no number"))])  # pyright: ignore[reportArgumentType]

    asyncio.run(lose())
    gc.collect()
    logging.getLogger("asyncio").error("of something else")
    assert [record.message for record in caplog.records if record.name == "asyncio"] == ["of something else"]
