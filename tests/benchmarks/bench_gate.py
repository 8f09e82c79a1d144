"""What a gate costs: `pytest -n 0 tests/benchmarks/bench_gate.py`."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from importlib import import_module
from shutil import rmtree

import pytest

from models.min_of_two import FAMILY
from tests.benchmarks.in_turn import Cost, cost_of, in_turn, pytest_command, show
from tests.conftest import ROOT

OPERANDS, SHIPPED = (50, 113, 200, 400), 200
SIZES = ROOT / "runs" / "sizes"

SIZES_OF = {
    "min_of_two": "n_layers=1, n_heads=1, d_model=32, d_head=32, n_ctx=3, d_vocab=201, "
    "d_vocab_out=200, attn_only=True",
    "modular_addition": "n_layers=1, n_heads=4, d_model=128, d_head=32, n_ctx=3, d_vocab=114, "
    "d_vocab_out=113, d_mlp=512, act_fn='relu'",
    "induction": "n_layers=2, n_heads=2, d_model=64, d_head=32, n_ctx=64, d_vocab=64, "
    "d_vocab_out=64, attn_only=True",
    "max_of_four": "n_layers=1, n_heads=1, d_model=32, d_head=32, n_ctx=4, d_vocab=64, "
    "d_vocab_out=64, attn_only=True",
}
INPUTS_OF = {
    "min_of_two": "torch.cartesian_prod(*[torch.arange(200)] * 2, torch.tensor([200]))",
    "modular_addition": "torch.cartesian_prod(*[torch.arange(113)] * 2, torch.tensor([113]))",
    "induction": "torch.randint(64, (256, 64))",
    "max_of_four": "torch.randint(64, (2**15, 4))",
}
BARE = """
import torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

torch.set_num_threads({threads})
for _ in range({times}):
    config = TransformerBridgeConfig(
        {sizes}, normalization_type=None, architecture="TransformerLensNative",
    )
    bridge = TransformerBridge.boot_native(config)
    inputs = {inputs}
    with torch.no_grad():
        bridge.run_with_cache(inputs)
"""
"""A network of a model's size runs on all of its inputs; which weights it has costs nothing."""


def bare(times=1, threads=2, model="min_of_two"):
    """A process that makes a model so many times and runs it with a full cache."""
    of_model = {"sizes": SIZES_OF[model], "inputs": INPUTS_OF[model]}
    script = BARE.format(times=times, threads=threads, **of_model)
    return lambda: cost_of([sys.executable, "-c", script])


def copies(folder, count, of=FAMILY.reference, prefix="copy"):
    """So many checkpoints with the same weights under names of their own."""
    paths = [folder / f"{prefix}{i}.safetensors" for i in range(count)]
    for path in paths:
        path.write_bytes(of.read_bytes())
    return [f"--checkpoint={path}" for path in paths]


@pytest.mark.parametrize("model", SIZES_OF)
def test_a_gate_over_a_bare_run(benchmark, capsys, model):
    """`pytest claims/MODEL -n auto` over a process that only runs the model once with a cache."""
    runs = {
        name: partial(cost_of, pytest_command(f"claims/{model}", *name.split()))
        for name in ("-n auto", "-n 0", "-n 2")
    }
    costs = in_turn(benchmark, {"bare run": bare(model=model), **runs})
    lines = [
        f"{model} {name:10} wall {cost.wall:6.2f} s "
        f"({cost.wall / costs['bare run'].wall:.2f} x bare)   CPU {cost.cpu:6.2f} s   "
        f"peak of a process {cost.peak:.0f} MiB"
        for name, cost in costs.items()
    ]
    show(capsys, lines)


def test_collecting_over_an_empty_folder(benchmark, capsys, tmp_path):
    """What `pytest --collect-only claims/` adds to that of a folder without a test."""
    costs = in_turn(
        benchmark,
        {
            "empty": lambda: cost_of(pytest_command("--collect-only", "."), cwd=tmp_path),
            "claims": lambda: cost_of(pytest_command("--collect-only", "claims/")),
        },
        rounds=9,
    )
    added = costs["claims"].wall - costs["empty"].wall
    lines = [f"{name:10} wall {cost.wall:6.3f} s" for name, cost in costs.items()]
    show(capsys, [*lines, f"claims add {added:.3f} s"])


@pytest.mark.parametrize("workers", ["0", "auto"])
def test_each_further_checkpoint(benchmark, capsys, tmp_path, workers):
    """CPU seconds and peak memory of runs over 1, 10 and 100 checkpoints, beside bare runs."""
    counts = (1, 10, 100)

    def side(count):
        command = pytest_command("claims/min_of_two", "-n", workers, *copies(tmp_path, count))
        return lambda: cost_of(command)

    sides = {str(count): side(count) for count in counts}
    bare_runs = {"bare": bare(1, threads=1), "11 bare": bare(11, threads=1)}
    costs = in_turn(benchmark, {**bare_runs, **sides}, rounds=1)
    each_bare = (costs["11 bare"].cpu - costs["bare"].cpu) / 10
    lines = [
        f"-n {workers}, {count:3} checkpoints: wall {costs[str(count)].wall:6.2f} s, "
        f"CPU {costs[str(count)].cpu:6.2f} s, peak of a process {costs[str(count)].peak:6.0f} MiB"
        for count in counts
    ]
    lines.append(f"a bare run with a full cache, imports aside: {each_bare:.2f} s of CPU")
    for fewer, more in ((1, 10), (10, 100)):
        each = (costs[str(more)].cpu - costs[str(fewer)].cpu) / (more - fewer)
        lines.append(
            f"each further checkpoint, {fewer} to {more}: {each:.2f} s of CPU, "
            f"{each / each_bare:.1f} bare runs"
        )
    show(capsys, lines)


@pytest.mark.parametrize(
    ("workers", "threads"), [("auto", None), ("0", 1), ("0", 2)], ids=["auto", "1", "2"]
)
def test_each_of_twenty_more(benchmark, capsys, tmp_path, workers, threads):
    """Wall and CPU seconds of one more checkpoint, from 2 to 22, in turn with bare runs."""
    given = copies(tmp_path, 22)

    def side(count):
        command = pytest_command("claims/min_of_two", "-n", workers, *given[:count])
        return partial(cost_of, command, threads=threads)

    bare_runs = {"bare": bare(1, threads=1), "11 bare": bare(11, threads=1)}
    costs = in_turn(benchmark, {**bare_runs, "2": side(2), "22": side(22)}, of=min)

    def each(fewer, more, count, what):
        return (getattr(costs[more], what) - getattr(costs[fewer], what)) / count

    lines = [
        f"-n {workers}, {threads or 'its own'} threads: {what} {one:.2f} s a checkpoint, "
        f"{one / a_bare:.1f} bare runs of {a_bare:.2f} s"
        for what in ("wall", "cpu")
        for one, a_bare in [(each("2", "22", 20, what), each("bare", "11 bare", 10, what))]
    ]
    show(capsys, lines)


@pytest.mark.parametrize("model", ["min_of_two", "max_of_four"])
@pytest.mark.parametrize("count", [1, 20])
def test_what_a_report_adds(benchmark, capsys, tmp_path, count, model):
    """Which part of a run with --alluredir is for the report, and what the report takes itself.

    Copies of a checkpoint are judged one by one, as others are, and each is drawn.
    """
    given = copies(tmp_path, count, import_module(f"models.{model}").FAMILY.reference)
    claims = pytest_command(f"claims/{model}", "-n", "0", *given)
    results, out = tmp_path / "results", tmp_path / "claims.html"

    def judged() -> Cost:
        rmtree(results, ignore_errors=True)
        return cost_of([*claims, f"--alluredir={results}"])

    report = [sys.executable, "-m", "mechanistic_claims", "report", results, "--out", out]
    costs = in_turn(
        benchmark,
        {
            "without": partial(cost_of, claims),
            "with": judged,
            "report": partial(cost_of, [*map(str, report)], threads=1),
        },
        of=min,
    )
    lines = [
        f"{model}, {count} checkpoints, {name:8} wall {cost.wall:6.2f} s   CPU {cost.cpu:6.2f} s"
        for name, cost in costs.items()
    ]
    added = 1 - costs["without"].cpu / costs["with"].cpu
    lines.append(
        f"for the report: {added:.0%} of the CPU seconds of a run with it; "
        f"its file has {out.stat().st_size / 1e6:.1f} MB"
    )
    show(capsys, lines)


def test_a_checkpoint_against_the_number_of_operands(benchmark, capsys, tmp_path):
    """CPU seconds of one more checkpoint of N numbers: seed 0 of the recipe.

    The first time it trains those that are not shipped, for ten minutes of two cores.
    """
    sizes = ",".join(str(n) for n in OPERANDS if n != SHIPPED)
    size = f"--number-of-operands={sizes}"
    train = ["-m", "mechanistic_claims", "train", "min_of_two", "--seeds=0", size, f"--out={SIZES}"]
    subprocess.run([sys.executable, *train], cwd=ROOT, check=True)
    sides = {}
    for n in OPERANDS:
        path = FAMILY.reference if n == SHIPPED else SIZES / f"n{n}-d32-h32" / "seed0.safetensors"
        for count in (1, 3):
            given = copies(tmp_path, count, path, f"{n}-")
            command = pytest_command("claims/min_of_two", "-n", "0", *given)
            sides[f"{n}, {count}"] = partial(cost_of, command, allowed=(0, 1))
    costs = in_turn(benchmark, sides, rounds=1)
    each = {n: (costs[f"{n}, 3"].cpu - costs[f"{n}, 1"].cpu) / 2 for n in OPERANDS}
    lines = [
        f"N={n:3}: {seconds:5.2f} s of CPU for each further checkpoint of {n * n:,} inputs, "
        f"{costs[f'{n}, 1'].cpu:5.2f} s for the first with all that is made once, "
        f"peak {costs[f'{n}, 3'].peak:.0f} MiB"
        for n, seconds in each.items()
    ]
    show(capsys, lines)
