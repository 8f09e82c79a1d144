"""xdist's workers of a run in a fork: forked too, from a process as the run was at its start.

xdist starts Python anew for each of them, and importing is most of what such a worker does. Here a
process waits that has imported what the run had, and nothing of pytest: each worker is forked from
it, and told over its input and output what any other is told. Workers of `run_in_a_process` are
started as xdist does: what is about how they start, or that hashes of theirs differ, is run so.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

LONGEST = 2**20
"""Bytes of what a worker is asked for: the variables of its environment."""


def fork_workers() -> None:
    """From now on xdist's workers of this process are forked from one that is as it is now."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        ours.close()
        _wait_to_fork(theirs)
    theirs.close()

    from execnet import gateway_io

    create = gateway_io.create_io

    def created(spec: Any, execmodel: Any) -> Any:
        if not spec.popen or spec.python:
            return create(spec, execmodel)
        return _worker(ours, execmodel)

    gateway_io.create_io = created


def _worker(asked: socket.socket, execmodel: Any) -> Any:
    """A worker as execnet knows one: what it is told and tells, and whether it lives."""
    from execnet.gateway_base import Popen2IO

    given, to_it = os.pipe()
    from_it, told = os.pipe()
    until_it_ends, lives = os.pipe()
    start = json.dumps({"variables": dict(os.environ), "cwd": os.getcwd()}).encode()
    socket.send_fds(asked, [start], [given, told, lives])
    for theirs in (given, told, lives):
        os.close(theirs)
    pid = int(asked.recv(LONGEST))

    class Worker(Popen2IO):  # type: ignore[misc]
        def wait(self) -> int:
            with os.fdopen(until_it_ends, "rb", closefd=False) as end:
                end.read()
            return 0

        def kill(self) -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return Worker(os.fdopen(to_it, "wb"), os.fdopen(from_it, "rb"), execmodel)


def _wait_to_fork(asked: socket.socket) -> None:
    """Fork a worker as often as one is asked for, until the run has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the run's, and that ends this
    while True:
        start, descriptors, *_ = socket.recv_fds(asked, LONGEST, 3)
        if not start:
            os._exit(0)
        if pid := os.fork():
            asked.send(str(pid).encode())
        else:
            asked.close()
            _work(*descriptors[:2], **json.loads(start))
        for descriptor in descriptors:
            os.close(descriptor)


def _work(given: int, told: int, variables: Mapping[str, str], cwd: str) -> None:
    """Be a worker: do what is said on one descriptor, tell of it on the other."""
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    for descriptor, ours in ((0, given), (1, told)):
        os.dup2(ours, descriptor)
        os.close(ours)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    exec(eval(sys.stdin.readline()), {"__name__": "__main__"})
    sys.stderr.flush()
    os._exit(0)
