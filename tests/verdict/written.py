"""Claims that are written to be run, in a project of their own."""

from __future__ import annotations

from pathlib import Path

from tests.runs import ROOT, run_in_a_fork

HEAD = """
import pytest
from hypothesis import given, strategies as st
from mechanistic_claims import Attention, Heatmap, at, evidence, reproducible, share
"""
GOOD = '''
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.3])
def test_new(task, circuits, verdict, at_least):
    """A sentence about {at_least}."""
    verdict(0.5 if circuits.ov().matrix.std() > 1 else 0.0, at_least=at_least)
'''
PROPERTY = '''
@evidence("weights")
@given(token=st.integers(0, 199))
@reproducible(examples=50)
def test_new(circuits, verdict, token):
    """Every token's own logit is above {limit}."""
    verdict(circuits.ov().matrix[token, token], at_least=30.0, exceptions=[token])
'''.replace("{limit}", "thirty")


def in_project(
    folder: Path,
    claims: str,
    *more: str,
    story: str = "()",
    what: str = "claims",
    model: str = "min_of_two",
) -> tuple[int, str]:
    """Run these claims in a project of their own, which has nothing but claims and models."""
    (folder / "models").symlink_to(ROOT / "models")
    of_model = folder / "claims" / model
    of_model.mkdir(parents=True, exist_ok=True)
    (folder / "claims" / "__init__.py").touch()
    (of_model / "__init__.py").write_text(f"STORY = {story}\n")
    (of_model / "test_new.py").write_text(HEAD + claims)
    (folder / "checks").symlink_to("claims")
    alone = ("-p", "no:cacheprovider", "--verdicts=found")
    done = run_in_a_fork(what, *alone, *more, cwd=folder)
    return done.status, done.output
