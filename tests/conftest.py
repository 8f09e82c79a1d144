"""What the suite's own tests share: small models, checkpoint files, and runs of the claims."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from filelock import FileLock
from torch import Tensor
from xdist.scheduler import LoadFileScheduling

from tests.shapes import check_shapes

if any("bench_" in argument or argument == "slow" for argument in sys.argv):
    os.environ["CHECK_SHAPES"] = "no"  # in workers too: it takes its time
os.environ["MECHANISTIC_CLAIMS_CACHE"] = "/dev/null/cache"  # whatever a developer has, or root may
if os.environ.get("CHECK_SHAPES") != "no":
    check_shapes()  # before anything has taken a function as it is

from mechanistic_claims.checkpoint.read import read_checkpoint
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.session.workers import available_cores, worker_count
from models.min_of_two import FAMILY
from models.min_of_two.weights import bridge_state_dict, untrained_parameters, with_zero_biases
from tests.projects import CHECKPOINTS, add_checkpoints, add_min_of_two, add_successor
from tests.runs import ROOT, Run, run_in_a_fork

DIFFERENT = CHECKPOINTS / "refuted/seed5.safetensors"
REAL = ROOT.parent / "shared/checkpoints/min_int_model.pt"
QK = "claims/min_of_two/test_qk_circuit.py"
OV = "claims/min_of_two/test_ov_circuit.py"
LONGEST = (
    *("test_cluster.py", "test_real_model.py", "test_kill_matrix.py", "test_pages.py"),
    *("test_survivors.py", "test_wheel.py", "test_hostile_checkpoints.py", "test_certified.py"),
    *("test_exact.py", "test_gate.py", "test_runs.py", "test_survey.py", "test_certificates.py"),
    *("test_where.py", "test_new.py"),
)
"""The files that take longest, the longest first: what starts last should end soon."""
CPU = torch.device("cpu")


def small_weights(operands: int = 7, d_model: int = 5, seed: int = 0) -> dict[str, Tensor]:
    """Canonical weights of a small untrained model."""
    return with_zero_biases(untrained_parameters(operands, d_model, d_model, seed))


def subject_of(path: Path, model: str = "min_of_two") -> Subject:
    """Everything about the checkpoint of a file, on the CPU."""
    family = import_module(f"models.{model}").FAMILY
    checkpoint = read_checkpoint(path, model, family)
    return Subject(checkpoint, family.build(checkpoint, CPU), CPU)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """The tests of a file share what they build; what takes longest starts first."""
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    last = len(LONGEST)
    rank = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, last))


@pytest.fixture(scope="session", autouse=True)
def a_share_of_the_cores() -> None:
    """Workers, and the runs that they start, don't take each other's cores.

    Threads of torch that have no core each wait for the others by spinning: two workers of two
    threads on two cores need up to ninety times as long for small steps as one.
    """
    threads = max(1, available_cores() // worker_count())
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_gradients() -> object:
    """Tests measure; those that train say so."""
    with torch.no_grad():
        yield


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Print a figure after the tests, from whichever worker it comes."""

    def show(title: str, text: str) -> None:
        request.node.user_properties.append(("shown", (title, text)))

    return show


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = (report for found in terminalreporter.stats.values() for report in found)
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == "shown" and report.when == "call":
                title, text = value
                terminalreporter.section(title)
                terminalreporter.write_line(text)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write canonical weights as a checkpoint that the bridge could load."""

    def save(weights: dict[str, Tensor], name: str = "model.safetensors", **metadata: str) -> Path:
        path = tmp_path / name
        safetensors.torch.save_file(bridge_state_dict(weights), path, metadata or None)
        return path

    return save


@pytest.fixture
def small(save: Callable[..., Path]) -> Subject:
    """A small untrained model, from a file."""
    return subject_of(save(small_weights()))


@pytest.fixture(scope="session")
def reference() -> Subject:
    """The shipped reference checkpoint."""
    with torch.no_grad():
        return subject_of(FAMILY.reference)


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two models, which no test changes."""
    project = tmp_path_factory.mktemp("two_models")
    for add in (add_min_of_two, add_successor, add_checkpoints):
        add(project)
    return project


@pytest.fixture
def changed(two_models: Path, tmp_path: Path) -> Path:
    """A project of two models for a test to change."""
    shutil.copytree(two_models, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(scope="session")
def run_claims() -> Callable[..., Run]:
    """Run `pytest` with these arguments as a user would, and read its JUnit file."""
    return run_in_a_fork


@pytest.fixture(scope="session")
def shipped(run_claims: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All shipped checkpoints and the one that differs, in one run of two workers.

    It is made once for all workers of these tests; its verdicts are beside its JUnit file.
    """
    of_all = tmp_path_factory.getbasetemp()
    of_all = of_all.parent if "PYTEST_XDIST_WORKER" in os.environ else of_all
    kept, verdicts = of_all / "shipped.pickle", of_all / "shipped.json"
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            files = [*sorted(CHECKPOINTS.glob("*.safetensors")), DIFFERENT]
            given = [f"--checkpoint={path}" for path in files]
            run = run_claims("claims/", "-n", "2", f"--verdicts={verdicts}", *given)
            kept.write_bytes(pickle.dumps(replace(run, verdict_file=verdicts)))
    shipped: Run = pickle.loads(kept.read_bytes())
    return shipped


@pytest.fixture(scope="session")
def results(run_claims: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one part of the story leaves of a checkpoint that refutes some of it, for a report."""
    folder = tmp_path_factory.mktemp("report") / "results"
    done = run_claims(QK, f"--alluredir={folder}", "--checkpoint", DIFFERENT)
    assert done.status == pytest.ExitCode.TESTS_FAILED, done.output
    return folder


def without_rounding(record: dict[str, Any]) -> dict[str, Any]:
    """What a claim's record or verdict says, but for how large a rounding was.

    Claims that are held to what rounding may lose measure how the model was computed: one thread
    adds in another order than two.
    """
    if record.get("bound") != "≤ 1" and record.get("at_most") != 1:
        return record
    return {
        name: record.get(name) for name in ("claim", "verdict", "control_verdict", "exceptions")
    }


def training_of(path: Path) -> dict[str, Any]:
    """What a checkpoint of the project's own training says about itself."""
    return json.loads(read_checkpoint(path, "min_of_two").metadata["training"])
