"""Comparisons: both sides run in turn on the same machine, and what each cost is printed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds, and peak memory in MiB, of a process with its workers."""

    wall: float
    cpu: float
    peak: float


def cost_of(
    command: list[str],
    cwd: Path = ROOT,
    allowed: tuple[int, ...] = (0, 5),
    threads: int | None = None,
) -> Cost:
    """Run a command that must end as allowed. Byte code is written, as it is for a user."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    assert os.waitstatus_to_exitcode(status) in allowed, command
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def pytest_command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *map(str, arguments)]


def in_turn(
    benchmark: Any,
    sides: dict[str, Callable[[], Cost]],
    rounds: int = 3,
    of: Callable[[list[float]], float] = statistics.median,
) -> dict[str, Cost]:
    """Run every side once to warm up, then in turn; the median of each, for the record too.

    Where others use the machine, `of=min` says more.
    """
    names = list(sides)
    for side in sides.values():
        side()
    costs: dict[str, list[Cost]] = {name: [] for name in names}

    def round_of_all() -> None:
        for name, side in sides.items():
            costs[name].append(side())

    benchmark.pedantic(round_of_all, rounds=rounds)
    medians = {
        name: Cost(*(of([getattr(c, f) for c in found]) for f in Cost.__annotations__))
        for name, found in costs.items()
    }
    for name, cost in medians.items():
        benchmark.extra_info[name] = vars(cost)
    return medians


def show(capsys: Any, lines: list[str]) -> None:
    with capsys.disabled():
        print("", *lines, sep="\n")
