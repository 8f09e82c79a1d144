"""Each command and each block of code in the project's pages runs as it is printed.

They run in the order of the page, in a copy of the project that has two of its models, and some
parts of the story of one.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from mechanistic_claims.model.names import Names
from mechanistic_claims.outputs.report.allure import run_allure
from tests.runs import ROOT, environment, run_in_a_fork, suite

PARTS = {"min_of_two": ("behavior", "ov_circuit", "qk_circuit"), "induction": ("behavior",)}
CHECKPOINTS = ("reference", "seed1", "seed5")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATUS = re.compile(r"  # exits with (\d)$")
SIMPLE = re.compile(r"(pytest|mechanistic-claims) ([^'|&;<>$*?~`]|'[^']*')*")
"""A command that a shell has nothing to do for but to split it. That these programs start is for
`.ci/run` and test_wheel.py to see.
"""
IN_CI = ("python -m pip install -e . && pytest claims/", 'python -m pip install -e ".[dev')
"""Run by `.ci/run` in a fresh environment."""
ELSEWHERE = {
    "smollm2": "tests/smollm2: it fetches half a gigabyte",
    "--cluster": "tests/cluster: on nodes that are killed, too",
    "path/to/folder": "tests/authoring/test_new_language.py",
    "pytest tests/": "by .ci/run",
    "pytest -n 0 tests/benchmarks": "a benchmark",
}
SHORTER = {
    "--seeds 0-31": "--seeds 0,1",
    "train min_of_two": "train min_of_two --epochs 2",
    "sweep min_of_two": "sweep min_of_two --epochs 2",
    "train induction": "train induction --steps 2",
    "../mechanistic-claims": str(ROOT),
}
"""What takes too long to be run as it is printed, and what lies elsewhere."""


COUNTER = """
import torch
from torch import nn
from transformer_lens.hook_points import HookPoint


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(3, 8)
        self.cell = nn.GRUCell(8, 8, bias=False)
        self.hooks = nn.ModuleList(HookPoint() for _ in range(8))
        self.out = nn.Linear(8, 9)

    def forward(self, tokens):
        state, states = torch.zeros(len(tokens), 8), []
        for hook, token in zip(self.hooks, tokens.T):
            state = hook(self.cell(self.embed(token), state))
            states.append(state)
        return self.out(torch.stack(states, dim=1))
"""
"""A network of the reader's that is no transformer."""


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        return self.text.splitlines() if self.language == "bash" else []


def blocks_of(page: Path) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page.read_text("utf-8"))]


pages = pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])


@pages
def test_code_stands_in_blocks_with_a_language(page):
    text = BLOCK.sub("", page.read_text("utf-8"))
    assert "```" not in text
    assert not re.search(r"^(\t| {4})\S", text, re.MULTILINE), "an indented block"
    assert {block.language for block in blocks_of(page)} <= {"bash", "python", "text"}


@pages
def test_links_lead_somewhere(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings]
            assert fragment in slugs, target


def test_readme_is_one_page():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 110


def test_all_that_ci_runs_is_in_readme():
    commands = [command for block in blocks_of(ROOT / "README.md") for command in block.commands]
    for begins in IN_CI:
        assert sum(command.startswith(begins) for command in commands) == 1


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two models with fewer checkpoints, and a checkpoint of the reader's own."""
    copy = tmp_path / "clone"
    files = [ROOT / "pyproject.toml", ROOT / "conftest.py"]
    files += [path for folder in ("claims", "models") for path in (ROOT / folder).rglob("*.*")]
    for path in (path.relative_to(ROOT) for path in files if path.is_file()):
        of_model = len(path.parts) < 3 or path.parts[1] in PARTS
        of_weights = path.suffix == ".safetensors" and path.stem not in CHECKPOINTS
        if of_model and not of_weights and path.suffix != ".pyc":
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, copy / path)
    for model, parts in PARTS.items():
        keep_parts(copy / "claims" / model, parts)
    (copy / "runs").mkdir()
    sizes = {"head": 4, "d_model": 16, "d_head": 4, "d_mlp": 32, "token": 12, "logit": 12}
    axes = Names(1, "gelu", "LN", positions=True).axes
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn([(sizes | {"position": 8})[a] for a in of.split()], generator=generator)
        for name, of in axes.items()
    }
    torch.save({"model": weights}, copy / "runs/mine.pt")
    (copy / "bracket_gru.py").write_text(COUNTER)
    shapes = {"embed.weight": (3, 8), "cell.weight_ih": (24, 8), "cell.weight_hh": (24, 8)}
    shapes |= {"out.weight": (9, 8), "out.bias": (9,)}
    counter = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    torch.save(counter, copy / "runs/counter.pt")
    return copy


def keep_parts(claims: Path, parts: tuple[str, ...]) -> None:
    story = claims / "__init__.py"
    told = re.sub(r"^STORY = \(.*?\)$", f"STORY = {parts}", story.read_text(), flags=re.M | re.S)
    assert told != story.read_text()
    story.write_text(told + "\nSTEPS = ()  # they name claims of all parts\n")
    for path in claims.glob("test_*.py"):
        if path.stem.removeprefix("test_") not in parts:
            path.unlink()


@pytest.mark.slow
@pages
def test_every_block_runs(page, project):
    for number, block in enumerate(blocks_of(page)):
        if block.language == "python":
            run_python(block, project, number)
        for command in block.commands:
            run_command(command, project)


@pytest.mark.slow
def test_verdicts_are_those_that_readme_shows(project):
    shown = [block.text for block in blocks_of(ROOT / "README.md") if block.language == "text"]
    said = run_command("pytest claims/min_of_two/test_qk_circuit.py", project)
    assert [text for text in shown if text in said] == shown, said


def run_python(block: Block, project: Path, number: int) -> None:
    """A claim as a claim of min_of_two; all else as a script."""
    if "def test_" in block.text:
        (project / "claims/min_of_two/test_of_a_page.py").write_text(block.text)
        run_command("pytest claims/min_of_two/test_of_a_page.py", project)
    else:
        (project / f"block_{number}.py").write_text(block.text)
        run_command(f"python block_{number}.py", project)


def run_command(line: str, project: Path) -> str:
    """A line of bash, which ends as the page says."""
    expected = int(found[1]) if (found := STATUS.search(line)) else 0
    if line.startswith(IN_CI) or any(part in line for part in ELSEWHERE):
        return ""
    for printed, shorter in SHORTER.items():
        line = line.replace(printed, shorter)
    if "pip install" in line:
        line = line.replace("install", "install --dry-run --no-deps", 1)
        line = line.replace('-e ".[', f'-e "{ROOT}[')
    if "report" in line and "pip" not in line and not has_allure(project):
        return ""
    begun = time.monotonic()
    run = (in_a_fork if SIMPLE.fullmatch(line) else in_a_shell)(line, project)
    print(f"{time.monotonic() - begun:4.0f} s  {line}")
    said = f"{run.stdout}{run.stderr}"
    assert run.returncode == expected, f"{line}\n{said}"
    assert "does not provide the extra" not in said, line
    return said


def in_a_shell(line: str, project: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=project,
        env=environment(PATH=path, PYTHONPATH=str(project)),
        capture_output=True,
        text=True,
        check=False,
    )


def in_a_fork(line: str, project: Path) -> subprocess.CompletedProcess[str]:
    """What a shell would start, without importing torch anew."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "mechanistic-claims":
        return suite(*arguments, cwd=project)
    run = run_in_a_fork(*arguments, cwd=project)
    return subprocess.CompletedProcess(line, run.status, run.output, "")


def has_allure(project: Path) -> bool:
    """Whether a report can be made here; tests/outputs say why where it can't."""
    try:
        run_allure(None, "--version", folder=project)
    except Exception:
        return False
    return True
