"""Whole runs on a tiny language model: what an earlier one kept of its untrained model serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.runs import Run, run_in_a_fork, verdicts_in

pytestmark = pytest.mark.slow
CALLED = "calls.txt"
TASK = """
import torch
from dataclasses import dataclass

@dataclass
class Task:
    sizes: object
    device: torch.device
    is_sample = True
    answer_positions = tuple(range(11))

    def __post_init__(self):
        from drawing import SEED
        generator = torch.Generator().manual_seed(SEED)
        self.inputs = torch.randint(self.sizes.tokens, (20, 12), generator=generator)
        self.labels = self.inputs[:, 1:].flatten()
"""
CLAIM = f'''
import pytest
from mechanistic_claims import evidence, mean

TIMES = 1.0

@evidence("behavior")
@pytest.mark.parametrize("at_most", [50.0])
def test_the_loss(activations, scale, verdict, at_most):
    """The loss is small."""
    with open("{CALLED}", "a") as calls:
        calls.write("x")
    from scaling import LATE

    verdict(mean(TIMES * LATE * scale * activations.loss), at_most=at_most)
'''
CLAIMED = {"claims/tiny/test_behavior.py", "claims/tiny/test_more.py"}
OTHER = CLAIM.replace("test_the_loss", "test_the_same").replace(CALLED, "more.txt")
FILES = {
    "drawing.py": "SEED = 0\n",
    "scaling.py": "LATE = 1.0\n",
    "conftest.py": "",
    "models/__init__.py": "",
    "models/tiny/task.py": TASK,
    "models/tiny/__init__.py": """
from pathlib import Path
from mechanistic_claims import causal_lm

FAMILY = causal_lm(reference=Path("weights"), task="models.tiny.task:Task")
""",
    "claims/__init__.py": "",
    "claims/tiny/__init__.py": "",
    "claims/tiny/conftest.py": """
import pytest

@pytest.fixture(scope="session")
def scale():
    return 1.0
""",
    "claims/tiny/test_behavior.py": CLAIM,
    "claims/tiny/test_more.py": OTHER,
}
EDITS = {
    "claims/tiny/test_behavior.py": ("TIMES = 1.0", "TIMES = 1.5"),
    "claims/tiny/conftest.py": ("return 1.0", "return 1.5"),
    "models/tiny/task.py": ("manual_seed(SEED)", "manual_seed(SEED + 1)"),
    "drawing.py": ("SEED = 0", "SEED = 7"),
    "scaling.py": ("LATE = 1.0", "LATE = 1.5"),
}


@pytest.fixture
def project(tmp_path) -> Path:
    """Its claims write down how often they are called; what both import is loaded late."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    for name, text in FILES.items():
        tmp_path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath(name).write_text(text)
    for name, theta in {"weights": 10_000.0, "rotated": 100.0}.items():
        config = LlamaConfig(
            vocab_size=97,
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=6,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=32,
            rope_parameters={"rope_type": "default", "rope_theta": theta},
        )
        with torch.random.fork_rng():
            torch.manual_seed(1)
            AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
    return tmp_path


def judged(project: Path, *given: str, what: str = "claims/tiny/test_behavior.py") -> Run:
    """Judge claims on one thread, with a cache of the project's own."""
    more = ("-p", "no:cacheprovider", "--verdicts=found.json", *given)
    variables = {"MECHANISTIC_CLAIMS_CACHE": str(project / "cache"), "OMP_NUM_THREADS": "1"}
    run = run_in_a_fork(what, *more, cwd=project, **variables)
    assert run.status == 0, run.output
    return run


def found(project: Path) -> list[dict]:
    """The claims of the last run, of each checkpoint."""
    return [
        claim
        for checkpoint in verdicts_in(project / "found.json")["checkpoints"]
        for claim in checkpoint["claims"]
    ]


def control(project: Path) -> tuple[float, bool, int]:
    """Its number, whether it was kept, and how often the claim was called since it was asked."""
    (one,) = found(project)
    calls = project / CALLED
    count = len(calls.read_text())
    calls.unlink()
    return one["control"]["measured"], one["control"].get("kept", False), count


def test_it_serves_again_until_something_is_edited(project):
    """Each number of an edited claim is the one that is measured where nothing is kept."""
    run = judged(project)
    assert "kept" not in run.output
    measured, *how = control(project)
    assert how == [False, 2]
    run = judged(project, "-n", "0")
    assert "1 number of untrained models kept from earlier runs" in run.output
    assert control(project) == (measured, True, 1)
    judged(project, "--fresh-controls")
    assert control(project) == (measured, False, 2)
    for name, (old, new) in EDITS.items():
        text = project.joinpath(name).read_text()
        assert old in text
        project.joinpath(name).write_text(text.replace(old, new))
        judged(project)
        other, *how = control(project)
        assert how == [False, 2], name
        assert abs(other - measured) > 1e-4, name
        measured = other
    judged(project)
    assert control(project) == (measured, True, 1)


def test_of_each_configuration_there_is_one(project):
    """Two files of the same shapes: heads attend otherwise where positions rotate otherwise."""
    judged(project, "--checkpoint=weights")
    of_weights, *_ = control(project)
    judged(project, "--checkpoint=weights", "--checkpoint=rotated")
    first, second = found(project) if "weights" in first_path(project) else found(project)[::-1]
    assert first["control"] == {"measured": of_weights, "verdict": "holds", "kept": True}
    assert "kept" not in second["control"]
    of_rotated = second["control"]["measured"]
    assert of_rotated != of_weights
    judged(project, "--checkpoint=rotated", "--fresh-controls")
    assert found(project)[0]["control"]["measured"] == of_rotated


def first_path(project: Path) -> str:
    return verdicts_in(project / "found.json")["checkpoints"][0]["path"]


def test_workers_change_nothing(project):
    """Neither what is drawn, nor what is measured of it; and what they keep is whole."""
    judged(project, "-n", "2", what="claims")
    of_two = verdicts_in(project / "found.json")
    controls = [json.loads(path.read_bytes()) for path in project.glob("cache/controls/*")]
    assert {one["key"]["claim"].partition("::")[0] for one in controls} == CLAIMED
    judged(project, "-n", "0", "--fresh-controls", what="claims")
    assert verdicts_in(project / "found.json") == of_two
    run = judged(project, "-n", "0", what="claims")
    assert "2 numbers of untrained models kept from earlier runs" in run.output
    kept = verdicts_in(project / "found.json")
    for claim in kept["checkpoints"][0]["claims"]:
        assert claim["control"].pop("kept")
    assert kept == of_two


def test_without_a_place_for_it_all_is_measured(project):
    run = run_in_a_fork("claims/tiny/test_behavior.py", "-p", "no:cacheprovider", cwd=project)
    assert run.status == 0, run.output
    assert len((project / CALLED).read_text()) == 2
