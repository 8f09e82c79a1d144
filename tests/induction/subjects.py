"""Models of induction for tests: from weights or files, on the task of their own blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mechanistic_claims.checkpoint.read import read_checkpoint
from mechanistic_claims.session.opened import Opened
from models.induction import FAMILY
from models.induction.task import Layout
from tests.kill import subject_with

FIXED = {"layout": Layout(32, 32)}
"""Every block has 32 tokens."""


def subject_of(weights: Mapping[str, Tensor], **asked: Any) -> Opened:
    """Everything about a model of canonical weights, asked on its own sequences or on others."""
    return subject_with("induction", weights, **asked)


def shipped(name: str) -> dict[str, Tensor]:
    """The canonical weights of a checkpoint in models/induction/checkpoints."""
    path = FAMILY.reference.parent / f"{name}.safetensors"
    return FAMILY.reading.canonical(read_checkpoint(path, "induction", FAMILY))
