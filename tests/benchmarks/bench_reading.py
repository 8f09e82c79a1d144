"""What reading a file costs, beside torch.load: `pytest -n 0 tests/benchmarks/bench_reading.py`.

torch.load(weights_only=True, mmap=True) needs a process of its own, with limits: a few bytes make
it fill the memory. So each side is a process, and imports are counted apart.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from models.min_of_two import FAMILY
from tests.benchmarks.in_turn import cost_of, in_turn, pytest_command, show

NOTHING = "import torch, mechanistic_claims.checkpoint.read, models.min_of_two"
OURS = (
    NOTHING
    + """
from pathlib import Path
found = mechanistic_claims.checkpoint.read.read_checkpoint(
    Path({path!r}), "min_of_two", models.min_of_two.FAMILY
)
assert len(found.tensors) == 12
"""
)
LIBRARY = (
    NOTHING
    + """
import resource
resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))
torch.load({path!r}, weights_only=True, mmap=True)
"""
)


WRITE = """
import argparse, sys, torch
from pathlib import Path
from safetensors.torch import load_file
weights = load_file(sys.argv[1])
contents = [
    weights,
    {"model": weights, "optimizer": {"exp_avg": torch.ones(1_500_000)}},
    {"model": weights, "replay": torch.ones(2**29)},
    {"model": weights, "args": argparse.Namespace(lr=0.1)},
]
for path, content in zip(sys.argv[2:], contents):
    torch.save(content, path)
"""
"""The reference as training loops save it. A process that had so much would hand its peak down."""
FILES = ("weights alone", "beside 6 MB", "beside 2 GiB", "with arguments")


def files(folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"saved{at}.pt" for at, name in enumerate(FILES)}
    given = map(str, (FAMILY.reference, *paths.values()))
    subprocess.run([sys.executable, "-c", WRITE, *given], check=True)
    return paths


def test_reading_over_torch_load(benchmark, capsys, tmp_path):
    """Wall seconds and peak memory of a process that reads a file, imports taken off."""
    sides = {"imports": partial(cost_of, [sys.executable, "-c", NOTHING])}
    for name, path in files(tmp_path).items():
        for how, script in (("ours", OURS), ("torch.load", LIBRARY)):
            command = [sys.executable, "-c", script.format(path=str(path))]
            sides[f"{how}, {name}"] = partial(cost_of, command, allowed=(0, 1))
    costs = in_turn(benchmark, sides)
    imports = costs.pop("imports")
    lines = [
        f"{name:28} wall {cost.wall - imports.wall:6.3f} s   CPU {cost.cpu - imports.cpu:6.3f} s   "
        f"peak {cost.peak:6.0f} MiB"
        for name, cost in costs.items()
    ]
    show(capsys, [f"imports {imports.wall:.3f} s, {imports.peak:.0f} MiB", *lines])


def test_a_gate_on_a_large_file(benchmark, capsys, tmp_path):
    """The same claims of the same weights, alone and beside 2 GiB of something else."""
    paths = files(tmp_path)
    sides = {
        name: partial(
            cost_of, pytest_command("claims/min_of_two", "-n", "0", f"--checkpoint={paths[name]}")
        )
        for name in ("weights alone", "beside 2 GiB")
    }
    costs = in_turn(benchmark, sides, rounds=1)
    show(
        capsys,
        [f"{name:16} wall {c.wall:6.2f} s, peak {c.peak:.0f} MiB" for name, c in costs.items()],
    )
