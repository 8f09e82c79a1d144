"""SmolLM2 and mutants of it, judged: `pytest -n 0 tests/benchmarks/bench_language_model.py`.

`JUDGED=claims/smollm2/test_attention_sink.py` before it judges a part of the story. The weights are
fetched into runs/smollm2, if they are not there.

A claim's seconds are those of pytest's own report: with its untrained control, and with whatever it
is the first to need (the model itself, the heads that are picked).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tabulate import tabulate

from tests.benchmarks.in_turn import cost_of, pytest_command, show
from tests.conftest import ROOT
from tests.smollm2.mutants import MUTANTS

JUDGED = os.environ.get("JUDGED", "claims/smollm2").split()
CACHE = ROOT / "runs" / "smollm2"
TYPES = ("float32", "bfloat16")
BARE = """
import sys, time, torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(
    sys.argv[1], dtype="auto", attn_implementation="eager", local_files_only=True
)
tokens = torch.randint(1_000, 40_000, (32, 101))
for _ in range(2):
    start = time.perf_counter()
    with torch.no_grad():
        model(tokens, logits_to_keep=1)
    print(time.perf_counter() - start)
"""
"""Seconds of a forward pass whose last rows alone are unembedded."""
FOUND: dict[str, dict[str, dict[str, str]]] = {}
"""Of each model that was judged here, what the report says of each claim."""


def printed(*command: str | Path, **variables: str) -> list[str]:
    environment = os.environ | variables
    given = [sys.executable, *map(str, command)]
    done = subprocess.run(given, cwd=ROOT, env=environment, check=True, capture_output=True)
    return done.stdout.decode().splitlines()


def folder_of(model: str, tmp_path: Path) -> Path:
    """Where the weights are: those of a mutant in a temporary folder."""
    dtype = model if model in TYPES else "float32"
    fetch = ("-m", "mechanistic_claims", "fetch", "smollm2", "--dtype", dtype)
    folder = Path(printed(*fetch, MECHANISTIC_CLAIMS_CACHE=str(CACHE))[-1])
    if model in TYPES:
        return folder
    printed("-m", "tests.smollm2.mutants", folder, model, tmp_path / "mutant")
    return tmp_path / "mutant"


def bare_pass(folder: Path) -> float:
    return min(map(float, printed("-c", BARE, folder)))


def reported(junit: Path) -> dict[str, dict[str, str]]:
    """By claim, what pytest's report says of it, and its seconds."""
    found = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        said = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        if "claim" in said:
            found[said["claim"].partition("::test_")[2]] = said | {"seconds": case.attrib["time"]}
    return found


@pytest.mark.parametrize("model", [*TYPES, *MUTANTS])
def test_verdicts_and_costs(capsys, tmp_path, model):
    """Each claim's verdict, its seconds, and these over a bare pass before and after the run."""
    folder, junit = folder_of(model, tmp_path), tmp_path / "junit.xml"
    given = (*JUDGED, "-n", "0", f"--checkpoint={folder}", f"--junitxml={junit}")
    before = bare_pass(folder)
    cost = cost_of(pytest_command(*given), allowed=(0, 1))
    bare = (before + bare_pass(folder)) / 2
    FOUND[model] = reported(junit)
    rows = [
        (
            claim,
            *(said.get(name, "") for name in ("measured", "bound", "verdict", "control")),
            f"{float(said['seconds']):.1f}",
            f"{float(said['seconds']) / bare:.1f}",
        )
        for claim, said in FOUND[model].items()
    ]
    heads = (model, "measured", "bound", "verdict", "untrained", "s", "bare passes")
    show(
        capsys,
        [
            tabulate(rows, heads, disable_numparse=True),
            f"wall {cost.wall:.0f} s, {cost.wall / bare:.1f} bare passes of {bare:.1f} s; "
            f"CPU {cost.cpu:.0f} s, peak of a process {cost.peak:.0f} MiB",
        ],
    )
    shutil.rmtree(tmp_path / "mutant", ignore_errors=True)


def test_which_claims_fall(capsys):
    """All that were judged here side by side: what is measured, and what is not as of the first."""
    if not FOUND:
        pytest.skip("no model was judged")
    first = next(iter(FOUND.values()))

    def cell(claim: str, model: str) -> str:
        said = FOUND[model].get(claim, {})
        verdict = said.get("verdict", "not judged")
        same = verdict == first[claim]["verdict"]
        return f"{said.get('measured', '')} {'' if same else verdict.upper()}".strip()

    rows = [
        (claim, said.get("bound", ""), *(cell(claim, m) for m in FOUND))
        for claim, said in first.items()
    ]
    show(capsys, [tabulate(rows, ("", "bound", *FOUND), disable_numparse=True)])
