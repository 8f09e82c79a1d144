"""Beside ordinary tests, options and fixtures of others the plugin neither clashes nor acts."""

from __future__ import annotations

import shutil

import pytest

from tests.conftest import DIFFERENT, QK
from tests.runs import ROOT, run_in_a_fork

ORDINARY = """
import pytest

def test_theirs(device, checkpoint):
    assert (device, checkpoint) == ("tpu", "mine")

def test_that_fails():
    assert 1 == 2

@pytest.mark.xfail
def test_that_is_expected_to_fail(task):
    assert task == 0
"""
OPTIONS = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--device", default="tpu", choices=("tpu", "npu"))
    parser.addoption("--checkpoint", default="mine")

@pytest.fixture
def device(request):
    return request.config.getoption("--device")

@pytest.fixture
def checkpoint(request):
    return request.config.getoption("checkpoint")
"""
OF_A_CLAIM = "\n@pytest.fixture\ndef task():\n    return 1\n"


@pytest.fixture
def project(tmp_path):
    """A repository with claims below a folder, and tests of its own."""
    for name in ("claims", "models"):
        shutil.copytree(ROOT / name, tmp_path / "lab" / name, symlinks=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_theirs.py").write_text(ORDINARY)
    (tmp_path / "tests" / "conftest.py").write_text(OF_A_CLAIM.replace("\n@", "import pytest\n\n@"))
    (tmp_path / "conftest.py").write_text(OPTIONS)
    return tmp_path


def what_it_says(output: str) -> list[str]:
    """Without the time it took, and the list of plugins."""
    lines = (line for line in output.splitlines() if not line.startswith("plugins: "))
    return [
        line.rpartition(" in ")[0] or line for line in lines if "generated xml file" not in line
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["tests"],
        ["tests", "--device", "npu", "-rA"],
        pytest.param(["tests", "-n2"], marks=pytest.mark.slow),
    ],
)
def test_other_tests_run_as_if_it_were_not_installed(project, arguments):
    """Their options are theirs; nothing is said of claims, and the exit status is pytest's."""
    runs = [
        run_in_a_fork(*arguments, *off, "-p", "no:cacheprovider", cwd=project)
        for off in ([], ["-p", "no:mechanistic_claims.plugin"])
    ]
    assert runs[0].status == runs[1].status == pytest.ExitCode.TESTS_FAILED
    there, not_there = (what_it_says(run.output) for run in runs)
    if arguments[-1] == "-n2":
        there, not_there = there[-3:], not_there[-3:]
    assert there == not_there
    assert "claim" not in "\n".join(there)


def test_options_of_the_same_names_are_theirs_and_ours_have_longer_ones(project):
    """Their fixtures of those names don't reach a claim."""
    claims = project / "lab" / QK
    run = run_in_a_fork(claims, "--device", "npu", "--checkpoint", "else", cwd=project)
    assert run.status == 0, run.output
    assert "reference.safetensors" in run.output
    ours = [f"--claims-checkpoint={DIFFERENT}", "--claims-device", "cpu"]
    run = run_in_a_fork(claims, *ours, cwd=project)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "seed5.safetensors (sha256" in run.output
    help_ = run_in_a_fork("--help", cwd=project).output
    assert "--claims-device=DEVICE\n" in help_
    assert "--claims-verdicts=FILE, --verdicts=FILE" in help_


def test_a_fixture_in_the_place_of_ours_is_said(project):
    """A claim would be judged of something else, silently."""
    conftest = project / "conftest.py"
    conftest.write_text(OPTIONS + OF_A_CLAIM)
    run = run_in_a_fork(project / "lab" / QK, cwd=project)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "its fixture task is that of conftest in a plugin, not the suite's. Rename" in run.output
    assert run_in_a_fork("tests", cwd=project).status == pytest.ExitCode.TESTS_FAILED


def test_both_in_one_run(project):
    """Ordinary tests keep their place, their order and their count."""
    theirs = project / "tests" / "test_theirs.py"
    theirs.write_text(ORDINARY.replace("assert 1 == 2", "assert 1 == 1"))
    part = project / "lab" / QK
    run = run_in_a_fork(theirs, part, f"{theirs}::test_theirs", cwd=project)
    assert run.status == 0, run.output
    assert "tests/test_theirs.py ..x" in run.output
    assert "4 hold, 1 refuted as expected, 0 refuted" in run.output
    failing = run_in_a_fork(part, "tests", "--claims-fail-on=critical", cwd=project)
    assert failing.status == 0
    theirs.write_text(ORDINARY)
    assert run_in_a_fork(part, "tests", "--fail-on=critical", cwd=project).status == 1


def test_claims_in_the_wrong_place_are_said(tmp_path):
    """What looks like a claim and is none never passes."""
    head = "from mechanistic_claims import evidence\n\n"
    claim = head + "@evidence('weights')\ndef test_it():\n    pass\n"
    (tmp_path / "claims" / "model").mkdir(parents=True)
    (tmp_path / "claims" / "model" / "test_part.py").write_text(claim)
    run = run_in_a_fork("claims", cwd=tmp_path)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "test_it has an @evidence and is in no folder of claims: a claim is a test" in run.output
    (tmp_path / "models" / "model").mkdir(parents=True)
    (tmp_path / "models" / "model" / "__init__.py").write_text("FAMILY = None")
    (tmp_path / "claims" / "test_above.py").write_text("def test_it():\n    pass\n")
    (tmp_path / "claims" / "model" / "test_part.py").unlink()
    run = run_in_a_fork("claims", cwd=tmp_path)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "test_it is no claim: it is in no claims/NAME/." in run.output


def test_folders_of_these_names_may_be_somebody_elses(tmp_path):
    """Of claims to an insurance, say: `__pycache__` and `tests` are in both."""
    for of in ("claims", "models"):
        (tmp_path / of / "tests").mkdir(parents=True)
        (tmp_path / of / "__pycache__").mkdir()
        for package in (tmp_path / of, tmp_path / of / "tests"):
            (package / "__init__.py").touch()
    (tmp_path / "claims" / "tests" / "test_payment.py").write_text("def test_it():\n    pass\n")
    run = run_in_a_fork("claims", cwd=tmp_path)
    assert run.status == 0
    assert "device: " not in run.output


def test_a_verdict_without_a_checkpoint_is_an_error(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it(verdict):\n    verdict(1, at_least=0)\n")
    run = run_in_a_fork("test_it.py", cwd=tmp_path)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "there is no checkpoint for it: a claim is a test in claims/NAME/" in run.output


def test_a_plugin_that_comes_too_late_is_said(project):
    """Named by a conftest.py only, it is loaded after the checkpoint was taken for a test."""
    (project / "conftest.py").write_text('pytest_plugins = ["mechanistic_claims.plugin"]')
    claims = project / "lab" / QK
    off = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = run_in_a_fork(claims, "--claims-checkpoint", DIFFERENT, cwd=project, **off)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "mechanistic_claims was loaded by a conftest.py alone. That is too late" in run.output
    given = ("-p", "mechanistic_claims.plugin")
    assert run_in_a_fork(claims, *given, cwd=project, **off).status == 0
    assert run_in_a_fork(claims, cwd=project).status == 0


def test_a_clone_is_judged_from_above_it(project):
    """Also where it is met on the way, and its conftest.py is not the first."""
    shutil.copyfile(ROOT / "conftest.py", project / "lab" / "conftest.py")
    (project / "pytest.ini").write_text("[pytest]\n")
    run = run_in_a_fork("-k", "test_the_row_is_strictly_decreasing", cwd=project)
    assert run.status == 0, run.output
    assert "0 hold, 1 refuted as expected, 0 refuted" in run.output
