"""The collector of garbage, while a run may be interrupted."""

from __future__ import annotations

import gc
import weakref

from mechanistic_claims.session.device import collect


class Cycle:
    def __init__(self):
        self.itself = self


def test_callbacks_that_would_swallow_an_interruption_are_not_called():
    called: list[str] = []

    def callback(phase: str, _: object) -> None:
        called.append(phase)

    gc.callbacks.insert(0, callback)
    try:
        known, cycle = [*gc.callbacks], weakref.ref(Cycle())
        collect()
        assert gc.callbacks == known
        assert cycle() is None
        assert not called
        gc.collect()
        assert called == ["start", "stop"]
    finally:
        gc.callbacks.remove(callback)
