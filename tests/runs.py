"""Runs of pytest as a user starts them, each in a process of its own.

The process is forked from one that has imported torch and transformer_lens, and nothing of this
project or of pytest: importing them anew is most of a run. What is about processes or imports
themselves starts a new one.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.workers import fork_workers

ROOT = Path(__file__).parent.parent
TOO_LONG = 900
"""Seconds: no process that the tests start takes so long, on however slow a machine."""
SUITE = [sys.executable, "-m", "mechanistic_claims"]
KNOWN = ("-W", "ignore:Module already imported")
"""What is said since a fork has imported something before pytest."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["torch", "transformer_lens.model_bridge", "scipy.special", "hypothesis"]
)


@dataclass(frozen=True)
class Run:
    """What a run of pytest printed, its exit status, and its JUnit file."""

    status: int
    output: str
    junit: Path
    verdict_file: Path | None = None

    @cached_property
    def claims(self) -> dict[tuple[str, str], dict[str, str]]:
        """The properties of each claim, by its name without the checkpoint, and the checkpoint."""
        found = {}
        cases = ElementTree.parse(self.junit).iter("testcase") if self.junit.exists() else ()
        for case in cases:
            properties = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
            if "checkpoint" in properties:
                name = case.attrib["name"].replace(f"{properties['checkpoint']}-", "")
                found[name, properties["checkpoint"]] = properties
        return found

    def verdicts(self, checkpoint: str) -> dict[str, str]:
        """Verdict by claim of one checkpoint."""
        return {
            claim: properties["verdict"]
            for (claim, of), properties in self.claims.items()
            if of == checkpoint
        }


def environment(**more: str) -> dict[str, str]:
    """That of a user's terminal of a hundred columns, with byte code, and no pytest around it."""
    outer = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    outer.pop("PYTHONDONTWRITEBYTECODE", None)
    return outer | {"COLUMNS": "100", **more}


def started(
    main: Callable[[list[str]], int],
    *arguments: str | Path,
    output: str,
    errors: str,
    cwd: Path = ROOT,
    **more: str,
) -> multiprocessing.process.BaseProcess:
    """A process that runs a command of this project, which is where these outputs go."""
    given = (list(map(str, arguments)), str(cwd), environment(**more), output, errors)
    process = FORKS.Process(target=_run, args=(main, *given))
    process.start()
    return process


def done(process: multiprocessing.process.BaseProcess) -> int:
    """The exit status, waited for."""
    process.join(TOO_LONG)
    assert process.exitcode is not None, f"it takes longer than {TOO_LONG} s"
    return process.exitcode


def run_in_a_fork(*arguments: str | Path, cwd: Path = ROOT, **more: str) -> Run:
    """Run pytest with these arguments."""
    junit = Path(tempfile.mkdtemp()) / "junit.xml"
    given = [*KNOWN, *arguments, f"--junitxml={junit}"]
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as output:
        to = output.name
        status = done(started(pytest_main, *given, output=to, errors=to, cwd=cwd, **more))
        return Run(status, output.read(), junit)


def suite(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command of `mechanistic-claims`."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("output", "errors")]
        output, errors = map(str, paths)
        status = done(started(suite_main, *arguments, output=output, errors=errors, cwd=cwd))
        said = (path.read_text(encoding="utf-8") for path in paths)
        return subprocess.CompletedProcess(arguments, status, *said)


def pytest_main(given: list[str]) -> int:
    import pytest

    sys.argv = ["pytest", *given]
    return pytest.console_main()


def suite_main(given: list[str]) -> int:
    from mechanistic_claims.__main__ import main

    return main(given)


def _run(
    main: Callable[[list[str]], int],
    given: list[str],
    cwd: str,
    variables: Mapping[str, str],
    output: str,
    errors: str,
) -> None:
    gc.freeze()  # pytest collects garbage three times, and what was imported is none
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    sys.stdout, sys.stderr = (open(fd, "w", closefd=False) for fd in (1, 2))  # noqa: SIM115
    sys.dont_write_bytecode = False
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    sys.path[:] = [path for path in sys.path if path not in ("", str(ROOT))]

    import torch

    if threads := variables.get("OMP_NUM_THREADS"):  # torch has read the one of its own start
        torch.set_num_threads(int(threads))
    if any(one.startswith("-n") for one in given):
        fork_workers()
    try:
        status = main(given)
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run_in_a_process(*arguments: str | Path, cwd: Path = ROOT, **more: str) -> Run:
    """The same in a process that has imported nothing."""
    junit = Path(tempfile.mkdtemp()) / "junit.xml"
    command = [sys.executable, "-m", "pytest", *map(str, arguments), f"--junitxml={junit}"]
    done = run_command(command, cwd, **more)
    return Run(done.returncode, done.stdout + done.stderr, junit)


def run_command(
    command: list[str], cwd: Path = ROOT, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=TOO_LONG,
        check=False,
    )


def verdicts_in(path: Path) -> dict[str, Any]:
    """What a file of --verdicts says, but for when."""
    found: dict[str, Any] = json.loads(path.read_text())
    assert set(found.pop("times")) == {"started", "seconds"}
    return found
