"""Signals that ask a process to stop: recorded at once, checked between steps; the second one ends it."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from rnnlm_jax.jobs.stopping import SIGNALS, STOPPED, Stopped, StopRequest, stop_on_signals

#: Makes one long call during which Python runs no signal handlers, like a compilation, and sends itself signals.
BUSY = """
import hashlib, os, signal, sys, threading, time
from rnnlm_jax.jobs.stopping import stop_on_signals
may_exit, signals = sys.argv[1] == "may exit", [getattr(signal, name) for name in sys.argv[2:]]
def ask():
    for number in signals:
        time.sleep(0.2)
        os.kill(os.getpid(), number)
def say(message):
    os.write(2, message.encode() + b"\\n")
with stop_on_signals(say) as stop:
    stop.may_exit_at_once = may_exit
    threading.Thread(target=ask, daemon=True).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)  # a minute
"""


@pytest.fixture(autouse=True)
def _no_signal_is_ignored():
    """Shells ignore SIGINT in background processes, and ``nohup`` SIGHUP; this suite may be such a process."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_makes_the_request(number):
    messages = []
    before = [signal.getsignal(each) for each in SIGNALS]
    with stop_on_signals(messages.append) as stop:
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
    assert len(messages) == 1
    assert number.name in messages[0]
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert "stop on signals" not in {thread.name for thread in threading.enumerate()}


def test_outside_the_main_thread_no_request_is_made():
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
    ("may_exit", "signals", "code"),
    [("may exit", ["SIGTERM"], STOPPED), ("may not exit", ["SIGTERM", "SIGINT"], 128 + signal.SIGINT)],
)
def test_signals_end_a_process_during_one_long_call(may_exit, signals, code):
    done = subprocess.run([sys.executable, "-c", BUSY, may_exit, *signals], capture_output=True, timeout=50)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
