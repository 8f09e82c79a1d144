"""A Ray cluster: verdicts as from one machine, whatever dies; real nodes, real workers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter

import psutil
import pytest

from models.min_of_two import FAMILY
from tests.conftest import CHECKPOINTS, DIFFERENT, QK, ROOT, without_rounding
from tests.runs import SUITE, TOO_LONG, run_in_a_process

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
OV = "claims/min_of_two/test_ov_circuit.py"
RECIPE = [f"--{name}=8" for name in ("d-model", "d-head")] + ["--threads=1"]


def verdicts_of(path):
    found = json.loads(path.read_text())
    del found["times"]
    for checkpoint in found["checkpoints"]:
        checkpoint["claims"] = list(map(without_rounding, checkpoint["claims"]))
    return found


def named(folder):
    """Allure's results by claim and checkpoint, each as often as it is there."""
    found = Counter()
    for path in folder.glob("*-result.json"):
        result = json.loads(path.read_text())
        labels = {label["name"]: label["value"] for label in result["labels"]}
        found[result["fullName"], result["name"], labels["checkpoint"], result["status"]] += 1
    return found


@pytest.mark.slow
def test_verdicts_files_and_allure_are_as_from_one_machine(run_claims, tmp_path):
    """Also of a file that is broken, one that is not there by its turn, and one that is refuted."""
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(FAMILY.reference.read_bytes()[:5000])
    given = [f"--checkpoint={path}" for path in (broken, FAMILY.reference, DIFFERENT)]
    parts = [OV, "claims/min_of_two/test_preconditions.py", QK]
    runs = {}
    for name, more in {"here": ["-n", "0"], "cluster": ["--cluster"]}.items():
        folder = tmp_path / name
        written = [f"--verdicts={folder}.json", f"--alluredir={folder}"]
        runs[name] = run_claims(*parts, "-k", "not strong", *given, *more, *written)
    here, there = runs.values()
    assert (here.status, there.status) == (1, 1)
    assert verdicts_of(tmp_path / "cluster.json") == verdicts_of(tmp_path / "here.json")
    assert named(tmp_path / "cluster") == named(tmp_path / "here")
    assert len(list((tmp_path / "cluster").glob("*-attachment.svg"))) > 0
    assert there.claims.keys() == here.claims.keys()
    for key, found in there.claims.items():
        assert without_rounding(found) == without_rounding(here.claims[key])
    assert "checkpoints: 3 done, 2 refuted or in error, 0 left" in there.output
    assert f"\n{broken}: not a complete safetensors file" in there.output
    assert "warning" not in there.output


@pytest.mark.slow
def test_a_baseline_goes_along(run_claims, tmp_path):
    """And the option that refutes what lost of its margin."""
    baseline = tmp_path / "baseline.json"
    run_claims(OV, "--verdicts", baseline)
    found = json.loads(baseline.read_text())
    for claim in found["checkpoints"][0]["claims"]:
        claim["margin"] = claim.get("margin", 0) + 10
    baseline.write_text(json.dumps(found))
    given = ["--baseline", baseline, "--max-drop", "0.5"]
    here, there = run_claims(OV, *given), run_claims(OV, *given, "--cluster")
    assert (here.status, there.status) == (1, 1)
    assert "--max-drop is 0.5" in there.output
    assert there.claims == here.claims


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--address", "10.0.0.1:6379"], "give --cluster too"),
        (["--cluster", "-n", "2"], "leave -n away"),
        (["--cluster", "--pdb"], "leave --pdb, --trace and --setup-show away"),
        (["--cluster", "--device", "cuda:0"], "Ray chooses the GPU; give cuda"),
    ],
)
def test_what_a_cluster_can_not_do_is_refused(run_claims, arguments, said):
    run = run_claims(OV, *arguments)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert said in run.output
    assert "Traceback" not in run.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([OV, "--address", "127.0.0.1:9"], "no Ray cluster answers"),
        ([OV, "--device", "cuda"], "a task needs a node with 1 cores and a GPU"),
        (["tests/session/test_selection.py"], "--cluster judges claims"),
    ],
)
def test_what_a_cluster_has_not_is_said(run_claims, arguments, said):
    if "--device" in arguments and ray._private.accelerators.NvidiaGPUAcceleratorManager:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU here, and this is about clusters without one")
    run = run_claims(*arguments, "--cluster")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert said in run.output
    assert "Traceback" not in run.output


def test_without_ray_it_is_said_how_to_get_it(tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError('no ray here')")
    run = run_in_a_process(OV, "--cluster", PYTHONPATH=str(tmp_path))
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "--cluster: Ray is not installed (no ray here)" in run.output
    assert "mechanistic-claims[cluster]" in run.output


@pytest.fixture
def two_nodes():
    """A cluster of two nodes with a core each: real ones, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    second = cluster.add_node(num_cpus=1)
    yield cluster, second
    cluster.shutdown()


def killed_while(cluster, node, task, command):
    """The output of a command, with a node killed as soon as it is doing a task of it."""
    (raylet,) = node.all_processes["raylet"]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while f"ray::{task}" not in titles(raylet.process.pid):
            assert process.poll() is None, "it ended before the node did anything"
            time.sleep(0.05)
        time.sleep(0.2)  # into the task
        cluster.remove_node(node, allow_graceful=False)
        status = process.wait(timeout=TOO_LONG)
        output.seek(0)
        return status, output.read()


def titles(pid):
    """What the processes below one call themselves."""
    found = set()
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found.update(child.cmdline()[:1])
    return found


@pytest.mark.slow
def test_a_node_that_is_killed_loses_and_doubles_no_verdict(run_claims, tmp_path, two_nodes, show):
    cluster, second = two_nodes
    content = [path.read_bytes() for path in sorted(CHECKPOINTS.glob("*.safetensors"))]
    for number in range(24):
        path = tmp_path / "runs" / f"{number}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content[number % len(content)])
    given = [OV, QK, f"--checkpoint={tmp_path}/runs/*.safetensors"]
    allure, verdicts = tmp_path / "allure", tmp_path / "cluster.json"
    command = [sys.executable, "-m", "pytest", *given, f"--verdicts={verdicts}"]
    command += [f"--alluredir={allure}", "--cluster", f"--address={cluster.address}"]
    status, said = killed_while(cluster, second, "judge_checkpoint", command)
    assert status == 0, said
    run_claims(*given, "-n", "2", f"--verdicts={tmp_path}/here.json", f"--alluredir={tmp_path}/a")
    found, expected = verdicts_of(verdicts), verdicts_of(tmp_path / "here.json")
    assert found == expected
    assert named(allure) == named(tmp_path / "a")
    claims = [claim["claim"] for one in found["checkpoints"] for claim in one["claims"]]
    assert set(Counter(claims).values()) == {24}
    show("a node killed on the way", f"{len(claims)} verdicts, lost 0, doubled 0")


@pytest.mark.slow
def test_a_sweep_whose_node_is_killed_ends_in_the_same_weights(tmp_path, two_nodes):
    cluster, second = two_nodes
    recipe = [*RECIPE, "--number-of-operands=10,60", "--seeds=0-7", "--epochs=700"]
    command = [*SUITE, "sweep", "min_of_two", *recipe]
    more = [f"--out={tmp_path}/there", f"--address={cluster.address}", "--", "-q", "-k", "copying"]
    status, said = killed_while(cluster, second, "train", [*command, *more])
    assert status == 0, said
    assert "8 checkpoints of min_of_two, 3,600 inputs" in said
    here = [*SUITE, "train", "min_of_two", *recipe, f"--out={tmp_path}/here"]
    subprocess.run(here, cwd=ROOT, check=True, capture_output=True)
    written = sorted((tmp_path / "here").rglob("*.safetensors"))
    assert len(written) == 16
    for path in written:
        other = tmp_path / "there" / path.relative_to(tmp_path / "here")
        assert other.read_bytes() == path.read_bytes()
    assert not list((tmp_path / "there").rglob("*.training"))


@pytest.mark.slow
def test_what_kills_every_worker_is_no_verdict():
    """A checkpoint whose tasks die on every node: listed, and the run fails."""
    killer = {"PYTEST_PLUGINS": "tests.cluster.worker_killer", "WORKER_DIES_AT": "call:3"}
    run = run_in_a_process(
        OV, "--cluster", PYTEST_XDIST_WORKER="gw0", PYTHONPATH=str(ROOT), **killer
    )
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "lost on the cluster" in run.output
    assert "5 of 5 selected claims have no verdict" in run.output


@pytest.mark.slow
def test_checkpoints_of_two_models(run_claims, two_models, tmp_path):
    """Each is held to the claims of its own; what a .gitignore names is on the nodes all the same.

    successor can't be built without the .pt file that it ships.
    """
    project = tmp_path / "project"
    shutil.copytree(two_models, project)
    (project / ".gitignore").write_text("*.pt\n")
    family = project / "models/successor/__init__.py"
    text = family.read_text()
    family.write_text(
        text.replace(
            "        network = ", "        self.reference.read_bytes()\n        network = "
        )
    )
    files = ("three_wrong.pt", "seed5.safetensors", "all_right.pth")
    given = [f"--checkpoint=runs/{name}" for name in files]
    runs = {}
    for name, more in {"here": ["-n", "0"], "cluster": ["--cluster"]}.items():
        written = f"--verdicts={tmp_path / name}.json"
        runs[name] = run_claims("claims", *given, *more, written, cwd=project)
    here, there = runs.values()
    assert there.status == here.status == 1, there.output
    assert verdicts_of(tmp_path / "cluster.json") == verdicts_of(tmp_path / "here.json")
    assert "error" not in {claim["verdict"] for claim in here.claims.values()}
    assert "checkpoints: 3 done, 2 refuted or in error, 0 left" in there.output
    none = run_claims("claims", "--checkpoint=runs/other.pt", "--cluster", cwd=project)
    assert none.status == pytest.ExitCode.USAGE_ERROR
    assert "of none of the models whose claims are selected" in none.output
