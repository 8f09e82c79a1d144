"""Claims as they were judged, and how they are told on a terminal."""

from __future__ import annotations

import io
import math

from rich.console import Console

from mechanistic_claims.outputs.table import lines_of
from mechanistic_claims.verdict.headings import Heading
from mechanistic_claims.verdict.record import Checked, Control, Held, Record, Told
from mechanistic_claims.verdict.verdict import Verdict, held_to

HELD = Held("runs/one.pt", "toy", "one.pt", "0" * 64, "cpu", "float32", 256)


def record(sentence="It attends to the min.", heading=Heading.HOLDS, exceptions=(), **given):
    part, kind = given.pop("part", "attention"), given.pop("evidence", "activations")
    told = Told(f"claims/toy/test_{part}.py::test_new", "toy", part, sentence, kind)
    numbers = {
        "measured": 0.99965,
        "at_least": 0.99,
        "domain": "exhaustive",
        "margin": None,
    } | given
    found = held_to(numbers["measured"], at_least=numbers["at_least"], exceptions=exceptions)
    margin = found.margin if numbers["margin"] is None else numbers["margin"]
    verdict = Verdict(
        found.measured,
        found.bound,
        margin,
        numbers["domain"],
        found.exceptions,
        found.exception_count,
        best=numbers.get("best", math.nan),
        limits=numbers.get("limits"),
    )
    return Record(told, HELD, heading, verdict, Control(0.005, holds=False))


def told(*records, width=100, whole=True, every=False, colour=False):
    file = io.StringIO()
    console = Console(
        file=file, width=width, highlight=False, force_terminal=colour, no_color=not colour
    )
    for line in lines_of(Checked(HELD, records), width, whole=whole, every=every):
        console.print(line, soft_wrap=True)
    return file.getvalue().splitlines()
