"""A pytest plugin: the first worker dies at the point that WORKER_DIES_AT names, as hook:count."""

import os
import signal

import pytest

HOOK, _, COUNT = os.environ.get("WORKER_DIES_AT", "").partition(":")
REACHED = {"count": 0}


def reach(hook: str) -> None:
    if hook == HOOK and os.environ.get("PYTEST_XDIST_WORKER") == "gw0":
        REACHED["count"] += 1
        if REACHED["count"] == int(COUNT):
            os.kill(os.getpid(), signal.SIGKILL)


def pytest_sessionstart():
    reach("start")


def pytest_collection_finish():
    reach("collected")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    reach("setup")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    reach("call")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown():
    reach("teardown")


def pytest_runtest_logfinish():
    reach("reported")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    reach("finish")
