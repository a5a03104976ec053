"""Connections between the processes of a job, with threads in place of processes."""

import json
import socket
import threading
import time

import pytest

from rnnlm_jax import UserError
from rnnlm_jax.jobs.liveness import Hub, Relay, Timeouts, free_local_port, join_processes
from rnnlm_jax.jobs.stopping import Stopped, StopRequest

TIMEOUTS = Timeouts(start_timeout=20.0, partner_timeout=1.0)


class Process:
    """A process of a job: its request to stop, the processes it lost, and its error."""

    def __init__(self, port, process, processes=2, timeouts=TIMEOUTS):
        self.stop, self.losses, self.error = StopRequest(), [], None
        self._place = (("localhost", port), process, processes)
        self._options = {"timeouts": timeouts, "listener": self.stop, "lost": self._lose}
        self._thread = threading.Thread(target=self._join, daemon=True)
        self._thread.start()

    def _join(self):
        try:
            self.stop.job = join_processes(*self._place, **self._options)
        except UserError as error:
            self.error = str(error)

    def _lose(self, process, reason):
        self.losses.append((process, reason))
        threading.Event().wait()  # instead of ending the process

    def joined(self):
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def port():
    """The port of a job of two processes with a hub."""
    port = free_local_port()
    Hub(port, 2, free_local_port(), timeouts=TIMEOUTS)
    return port


@pytest.fixture
def pair(port):
    both = [Process(port, k) for k in range(2)]
    return [process.joined() for process in both]


def test_all_stop_at_the_same_check(pair):
    """They stop at the first check that neither has made yet."""
    for process, checks in zip(pair, (3, 7), strict=True):
        for _ in range(checks):
            process.stop.check()
    pair[0].stop.job.ask_to_stop("SIGTERM")
    until(lambda: all(process.stop.asked for process in pair))
    for process, checks in zip(pair, (3, 7), strict=True):
        for _ in range(checks, 7):
            process.stop.check()
        with pytest.raises(Stopped, match="stopped by SIGTERM in process 0"):
            process.stop.check()
        assert not process.losses


def test_no_process_exits_at_once_unless_all_may(pair):
    pair[0].stop.may_exit_at_once = True
    pair[1].stop.job.ask_to_stop("SIGHUP")
    for process in pair:
        until(lambda process=process: process.stop.asked)
        assert process.stop.before(1)
        assert "SIGHUP in process 1" in process.stop.name


def test_a_lost_process_is_reported_once(pair):
    pair[1].stop.job._connection.close()
    until(lambda: pair[0].losses)
    assert pair[0].losses == [(1, "its connection is closed")]


def test_a_silent_process_is_lost(port):
    first = Process(port, 0)
    with socket.create_connection(("localhost", port)) as silent:
        silent.sendall(json.dumps({"hello": 1, "processes": 2}).encode() + b"\n")
        began = time.monotonic()
        until(lambda: first.losses)
        assert 0.9 < time.monotonic() - began < 10
    assert first.losses == [(1, "not heard of for 1 s, `partner_timeout`")]


def test_leaving_waits_for_all_and_loses_no_process(pair):
    threads = [threading.Thread(target=process.stop.job.leave, daemon=True) for process in pair]
    threads[0].start()
    threads[0].join(0.3)
    assert threads[0].is_alive()
    threads[1].start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    for process in pair:
        process.stop.job._connection.close()
    time.sleep(0.1)
    assert [process.losses for process in pair] == [[], []]


def test_two_processes_with_one_index_are_refused_while_all_wait(port):
    processes = [Process(port, 1), Process(port, 1)]
    for process in processes:
        assert "two processes were started with `process_id` 1: give each its own" in process.joined().error


def test_a_second_process_with_one_index_does_not_disturb_a_job_that_has_begun(port, pair):
    again = Process(port, 1).joined()
    assert "two processes were started with `process_id` 1" in again.error
    time.sleep(0.3)
    assert [process.losses for process in pair] == [[], []]


def test_processes_that_do_not_join_are_named():
    timeouts, port = Timeouts(start_timeout=1.0, partner_timeout=1.0), free_local_port()
    Hub(port, 3, free_local_port(), timeouts=timeouts)
    error = Process(port, 0, 3, timeouts).joined().error
    assert "processes 1, 2 of 3 did not come within 1 s (`start_timeout`)" in error
    nobody = Process(free_local_port(), 1, 3, timeouts).joined().error
    assert "no process 0 answers at localhost:" in nobody
    assert "\n" not in error + nobody


def test_another_number_of_processes_is_refused(port):
    assert "process 0 was started with `processes` 2, and this one with 3" in Process(port, 1, 3).joined().error


def test_other_programs_are_disconnected(port):
    with socket.create_connection(("localhost", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n")
        assert stranger.recv(10) == b""


def test_the_relay_stays_open_when_the_far_end_is_gone():
    """Otherwise jax's client would abort its process."""
    port, service_port = free_local_port(), free_local_port()
    Hub(port, 2, service_port, timeouts=TIMEOUTS)
    with socket.create_server(("127.0.0.1", service_port)) as service:
        host, _, local = Relay("localhost", port).address.rpartition(":")
        with socket.create_connection((host, int(local))) as client:
            client.sendall(b"ping")
            far, _ = service.accept()
            assert far.recv(10) == b"ping"
            far.sendall(b"pong")
            assert client.recv(10) == b"pong"
            far.close()
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(10)
