"""Projects of somebody else: a folder with claims/ and models/ in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.runs import ROOT, Run, run_in_a_fork

CHECKPOINTS = ROOT / "models/min_of_two/checkpoints"
PART = Path("claims/min_of_two/test_qk_circuit.py")
SUCCESSOR = Path(__file__).parent / "successor"
FILES = {
    "family.py": "models/successor/__init__.py",
    "network.py": "models/successor/network.py",
    "story.py": "claims/successor/__init__.py",
    "table.py": "claims/successor/test_table.py",
}
TABLE = Path(FILES["table.py"])
WORKERS = ("-n", "2")
WAYS = [(), pytest.param(WORKERS, marks=pytest.mark.slow)]
OF_MIN = {"refuted": 3, "refuted as expected": 1, "holds": 1}  # of seed5, in one part of the story
OF_THREE_WRONG = {"refuted": 1, "refuted as expected": 1, "holds": 2}
OF_ALL_RIGHT = {"refuted as expected": 1, "holds": 3}


def add_min_of_two(project: Path) -> None:
    """min_of_two with its reference, and one part of its story."""
    (project / PART).parent.mkdir(parents=True)
    shutil.copytree(ROOT / "models", project / "models", ignore=shutil.ignore_patterns("seed?.*"))
    shutil.copyfile(ROOT / PART, project / PART)
    story = PART.with_name("__init__.py")
    before = (ROOT / story).read_text().partition("STORY")[0]
    (project / story).write_text(before + "STORY = ('qk_circuit',)\nDECIDED_FOR = 40_000\n")
    (project / "claims" / "__init__.py").touch()


def add_successor(project: Path) -> None:
    """Another model, of which every claim holds but the overstated one."""
    for name, where in FILES.items():
        path = project / where
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SUCCESSOR / name, path)
    folder = project / "models" / "successor" / "checkpoints"
    folder.mkdir()
    torch.save(successor_weights(), folder / "reference.pt")


def add_checkpoints(project: Path) -> None:
    """In `runs/` one of min_of_two, two of successor, one of neither, and one that is cut off."""
    runs = project / "runs"
    runs.mkdir()
    shutil.copyfile(CHECKPOINTS / "refuted/seed5.safetensors", runs / "seed5.safetensors")
    torch.save(successor_weights(wrong=3), runs / "three_wrong.pt")
    torch.save(successor_weights(), runs / "all_right.pth")
    torch.save({"x": torch.ones(2)}, runs / "other.pt")
    (runs / "broken.pt").write_bytes((runs / "three_wrong.pt").read_bytes()[:300])


def add_twin(project: Path) -> None:
    """A model that every checkpoint of successor is one of too, with the same claims."""
    for folder in ("claims", "models"):
        shutil.copytree(project / folder / "successor", project / folder / "twin")
    for path in (project / "models" / "twin").glob("*.py"):
        path.write_text(path.read_text().replace("successor", "twin"))


def successor_weights(tokens: int = 10, wrong: int = 0) -> dict[str, Tensor]:
    """Weights that give the next token a lead of 2 logits, but for the first few tokens.

    The temperature is none: it is infinite, and the family counts it as a buffer.
    """
    write = 2 * torch.eye(tokens).roll(1, dims=1)
    write[:wrong] = 0
    return {
        "read.weight": torch.eye(tokens),
        "write.weight": write,
        "temperature": torch.tensor(torch.inf),
    }


def judged(project: Path, *arguments: str | Path, of: tuple[str, ...] = (), **more: str) -> Run:
    """Run pytest on all claims of a project, or those named, against files in its runs/."""
    given = [f"--checkpoint=runs/{name}" for name in of]
    what = [] if any(str(argument).startswith("claims") for argument in arguments) else ["claims"]
    off = ("-p", "no:cacheprovider")
    return run_in_a_fork(*what, *given, *arguments, *off, cwd=project, **more)


def headings(run: Run) -> dict[tuple[str, str], dict[str, int]]:
    """By checkpoint and model, how many claims came under each heading."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for properties in run.claims.values():
        refuted = properties["verdict"] == "refuted"
        expected = refuted and properties["told_too_strongly"]
        heading = "refuted as expected" if expected else properties["verdict"]
        of_pair = found.setdefault((properties["checkpoint"], properties["model"]), {})
        of_pair[heading] = of_pair.get(heading, 0) + 1
    return found
