"""Signals that ask for an end: noted at once, heeded between steps, and twice is enough."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from rnnlm_jax.jobs.stopping import SIGNALS, STOPPED, Stopped, StopRequest, stop_on_signals

#: Does long work in one call that lets no Python handler run, as a compilation does, and asks itself to stop meanwhile.
BUSY = """
import hashlib, os, signal, sys, threading, time
from rnnlm_jax.jobs.stopping import stop_on_signals
lose, signals = sys.argv[1] == "nothing to lose", [getattr(signal, name) for name in sys.argv[2:]]
def ask():
    for number in signals:
        time.sleep(0.2)
        os.kill(os.getpid(), number)
def say(message):
    os.write(2, message.encode() + b"\\n")
with stop_on_signals(say) as stop:
    stop.nothing_to_lose = lose
    threading.Thread(target=ask, daemon=True).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)  # a minute
"""


@pytest.fixture(autouse=True)
def _interrupts_are_heard():
    """Whoever starts the suite may have SIGINT ignored, as shells do for what runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_request(number):
    said = []
    before = [signal.getsignal(each) for each in SIGNALS]
    with stop_on_signals(said.append) as stop:
        stop.check()
        assert not stop.before(1)
        os.kill(os.getpid(), number)
        for _ in range(1000):
            threading.Event().wait(0.005)
            if stop.asked:
                break
        assert stop.before(2)
        with pytest.raises(Stopped, match=f"stopped by {number.name}"):
            stop.check()
    assert len(said) == 1
    assert number.name in said[0]
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert "stop on signals" not in {thread.name for thread in threading.enumerate()}


def test_another_thread_than_the_main_one_has_no_signals():
    found = []

    def work():
        with stop_on_signals(found.append) as stop:
            found.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(found[0], StopRequest)
    assert not found[0].asked


@pytest.mark.parametrize(
    ("lose", "signals", "code"),
    [("nothing to lose", ["SIGTERM"], STOPPED), ("much to lose", ["SIGTERM", "SIGINT"], 128 + signal.SIGINT)],
)
def test_amid_one_long_call(lose, signals, code):
    done = subprocess.run([sys.executable, "-c", BUSY, lose, *signals], capture_output=True, timeout=50)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
