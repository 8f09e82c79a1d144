"""An interrupt is never ignored."""

from __future__ import annotations

import gc
import signal

import pytest

from fixtures.model import collect_garbage


def test_an_interrupt_waits_for_the_garbage_to_be_collected():
    """Raised in a callback of the collector it would be ignored."""
    told = []

    def interrupt(phase, info):
        if phase == "stop" and not told:
            told.append(phase)
            signal.raise_signal(signal.SIGINT)

    gc.disable()
    gc.callbacks.append(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            collect_garbage()
    finally:
        gc.callbacks.remove(interrupt)
        gc.enable()
    assert told
