"""A model of which only the names of its weights are known."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mechanistic_claims import Checkpoint


@dataclass(frozen=True)
class Named:
    names: Collection[str]
    buffers: tuple[str, ...] = ()

    def fits(self, checkpoint: Checkpoint) -> str:
        return "" if {*checkpoint.tensors} == {*self.names} else "its names are others."
