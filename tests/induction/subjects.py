"""Models of induction for tests: from weights or files, on the task of their own blocks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from claims.induction import conftest
from mechanistic_claims.checkpoint.read import Checkpoint, read_checkpoint
from mechanistic_claims.measurement.subject import Subject
from models.induction import FAMILY
from models.induction.task import Layout, Task

CPU = torch.device("cpu")
FIXED = Layout(32, 32)
"""Every block has 32 tokens."""
FIXTURES = {"heads": inspect.unwrap(conftest.heads)}


def subject_of(weights: Mapping[str, Tensor], layout: Layout | None = None) -> Subject:
    """Everything about a model of canonical weights, asked on its own sequences or on others."""
    checkpoint = Checkpoint(Path("written"), "induction", "", weights)
    parts = FAMILY.build(checkpoint, CPU)
    if layout is not None:
        assert isinstance(parts.task, Task)
        parts = replace(parts, task=replace(parts.task, layout=layout))
    return Subject(checkpoint, parts, CPU)


def shipped(name: str) -> dict[str, Tensor]:
    """The canonical weights of a checkpoint in models/induction/checkpoints."""
    path = FAMILY.reference.parent / f"{name}.safetensors"
    return FAMILY.reading.canonical(read_checkpoint(path, "induction", FAMILY.buffers))
