"""Runs of small models that are changed by hand, to hold interventions against."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.components import (
    Component,
    Part,
    embedding,
    head,
    mlp,
    neurons,
    positions,
)
from tests.plain_transformer import BEFORE, LOGITS, POSITIONS, Kind, Plain, Questions

KINDS = {
    "attention": Kind(),
    "MLP": Kind(mlp="relu"),
    "MLP and LayerNorm": Kind(mlp="gelu", norm="LN"),
    "MLP and RMSNorm before attention": Kind(mlp="relu", norm="RMS", norm_at=BEFORE[:1]),
}
TASK = Questions()
OF_ALL = {
    "embedding": embedding,
    "positions": positions,
    "a head": head(0, 1),
    "a head of the last layer": head(1, 0),
    "heads of both layers": head(0, 0) + head(1, 1),
    "heads of a layer": head(0, 0) + head(0, 1),
}
OF_MLPS = {
    "an mlp": mlp(0),
    "an mlp and a head": mlp(1) + head(0, 0),
    "all neurons": neurons(1),
    "three neurons": neurons(0, 1, 3, 9),
    "neurons of both layers": neurons(0, 2) + neurons(1, 0, 5),
}


@cache
def model_of(kind: Kind) -> Subject:
    """The model itself."""
    return kind.subject(TASK)


def by_hand(kind: Kind, tokens: Tensor = TASK.inputs, **changes: Any) -> Plain:
    """A plain run with these changes."""
    run = Plain(kind, kind.weights(), tokens, **changes)
    assert run.logits.shape == (len(tokens), POSITIONS, LOGITS)
    return run


def at_answers(values: Tensor) -> Tensor:
    """Of values [input position ...] those of the cases."""
    return torch.stack([values[row, position] for row, position in TASK.answer_positions.tolist()])


def agrees(outcome: Any, expected: Plain) -> None:
    """Both are the same."""
    assert (plain(outcome.logits) - at_answers(expected.logits)).abs().max() < 1e-9


def only_where_asked(new: Tensor, old: Tensor) -> Tensor:
    """The new values at the answers, the old ones elsewhere."""
    made = old.clone()
    for row, position in TASK.answer_positions.tolist():
        made[row, position] = new[row, position]
    return made


def putting(parts: Iterable[Part], put: Callable[[Any, Tensor], Tensor]) -> Any:
    """By what is written where, what is there instead: `put` is given the place and the value."""

    def write(where: Any, value: Tensor) -> Tensor:
        for part in parts:
            if where == place(part):
                chosen = list(part.which) or slice(None)
                value = value.clone()
                value[..., chosen] = put(where, value)[..., chosen]
        return value

    return write


def place(part: Part) -> Any:
    """Where the plain run writes it."""
    match part.kind:
        case "head":
            return ("head", part.layer, part.index)
        case "mlp" | "neurons":
            return (part.kind, part.layer)
    return part.kind


def written(kind: Kind, seen: dict[Any, Tensor], component: Component) -> Any:
    """What components add to the residual stream."""
    total: Any = 0
    for part in component.parts:
        value = seen[place(part)]
        if part.kind == "neurons":
            chosen = list(part.which) or slice(None)
            W_out = kind.weights()[f"blocks.{part.layer}.mlp.W_out"]
            value = value[..., chosen] @ W_out[chosen]
        total = total + value
    return total


def refused(sentence: str, ask: Callable[[], Any]) -> None:
    """What is asked is refused with this sentence, or one that has it."""
    with pytest.raises(CannotJudge, match=re.escape(sentence)):
        ask()
