"""Types and shapes: mypy sees claims as it sees the rest, and annotations are true at run time.

A claim is written without annotations, since what it asks for is known by its name. Here each name
is given its type, and mypy is run on the claims with these. What a fixture of one's own gives may
be anything.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import jaxtyping
import pytest
import torch

from mechanistic_claims.measurement.measures import margin
from mechanistic_claims.session.given import MAY_ASK_FOR
from tests.runs import ROOT

IMPORTS = """
from typing import Any
from collections.abc import Callable
from models.{model}.task import Task
from mechanistic_claims.measurement.activations import Activations
from mechanistic_claims.measurement.certificates.certificate import Certificates
from mechanistic_claims.measurement.certificates.proof import Proof
from mechanistic_claims.measurement.circuits import Circuits
from mechanistic_claims.measurement.domain import Measured
from mechanistic_claims.measurement.interventions.verbs import Interventions
from mechanistic_claims.model.weights import Weights
from mechanistic_claims.verdict.verdict import Judge
"""
TYPES = {
    "task": "Task",
    "weights": "Weights",
    "circuits": "Circuits",
    "activations": "Activations",
    "intervene": "Interventions",
    "certificate": "Certificates",
    "proof": "Proof",
    "sampled": "Callable[[int, int], Measured]",
    "verdict": "Judge",
}


def annotated(source: str, model: str) -> str:
    """A file of claims with the types of what they ask for."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for argument in node.args.args:
                argument.annotation = ast.parse(TYPES.get(argument.arg, "Any"), mode="eval").body
            is_test = node.name.startswith("test_")
            node.returns = ast.Constant(None) if is_test else ast.Name("Any")
    return IMPORTS.format(model=model) + ast.unparse(tree)


def checked(folder: Path, *changes: tuple[str, str]) -> str:
    """What mypy says of all claims and of their own fixtures, with something changed in them."""
    files = sorted((ROOT / "claims").glob("*/*.py"))
    for path in files:
        source = path.read_text()
        for change in changes:
            source = source.replace(*change)
        text = annotated(source, path.parent.name)
        (folder / f"{path.parent.name}_{path.name}").write_text(text)
    configuration = ROOT / "pyproject.toml"
    command = [sys.executable, "-m", "mypy", "--config-file", configuration, folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_mypy_sees_claims(tmp_path):
    assert set(TYPES) == {*MAY_ASK_FOR, "verdict"}
    assert "Success: no issues found" in checked(tmp_path)
    wrong = checked(
        tmp_path,
        ("task.min_position", "task.min_positon"),
        ("task.second_copy", "task.second_copies"),
        ("activations.neurons(0)", "activations.neuron(0)"),
    )
    assert '"Task" has no attribute "min_positon"; maybe "min_position"' in wrong
    assert '"Task" has no attribute "second_copies"; maybe "second_copy"' in wrong
    in_own_fixture = r"modular_addition_conftest\.py:\d+: error: \"Activations\" has no attribute"
    assert re.search(in_own_fixture + ' "neuron"', wrong)


def test_shapes_are_checked_where_tests_call():
    with pytest.raises(jaxtyping.TypeCheckError, match="labels"):
        margin(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long))
    assert margin(torch.eye(3), torch.arange(3)).tolist() == [1, 1, 1]
