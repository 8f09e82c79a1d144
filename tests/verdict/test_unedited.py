"""An intervention's number stands beside the same number of the model as it is."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from mechanistic_claims.measurement.interventions.unedited import Unedited
from mechanistic_claims.measurement.interventions.verbs import Interventions
from mechanistic_claims.outputs.report.judged import read_run
from tests.verdict.written import in_project

slow = partial(pytest.param, marks=pytest.mark.slow)
CLAIM = '''
import torch
from mechanistic_claims import head, ratio

@evidence("intervention")
def test_new({asks}, verdict):
    """A sentence."""
    {lines}
'''
RIGHT = 0.9997
"""The accuracy of min_of_two's reference: README."""
FIXTURES = """
import pytest
made = []

@pytest.fixture(scope="session")
def without(intervene):
    from mechanistic_claims import head
    made.append(1)
    return intervene.ablate(head(0, 0), "zero")

@pytest.fixture(scope="session")
def halved(activations):
    made.append(1)
    return activations.correct.double() / 2
"""


def judged(folder: Path, lines: str, asks: str = "intervene", *more: str) -> tuple[int, str, dict]:
    of_model = folder / "claims/min_of_two"
    of_model.mkdir(parents=True)
    (of_model / "conftest.py").write_text(FIXTURES)
    status, output = in_project(folder, CLAIM.format(lines=lines, asks=asks), *more)
    return status, output, json.loads((folder / "found").read_text())["checkpoints"][0]["claims"][0]


HEAD = 'intervene.ablate(head(0, 0), "zero")'


@pytest.mark.parametrize(
    ("lines", "asks"),
    [
        slow(f"verdict(share({HEAD}.correct), at_most=0.5)", "intervene"),
        ("verdict(share(without.correct), at_most=0.5)", "without"),
        slow("verdict(share(intervene.on(task).ablate(head(0, 0), 'mean').correct), at_most=0.5)",
             "intervene, task"),
        slow("verdict(share(intervene.attend(0).correct), at_most=0.9)", "intervene"),
    ],
    ids=["a verb", "a fixture", "another domain", "attention"],
)  # fmt: skip
def test_it_is_that_of_the_model_as_it_is(tmp_path, lines, asks):
    _, output, claim = judged(tmp_path, lines, asks, "-v", "--alluredir=results")
    assert claim["unedited"] == pytest.approx(RIGHT, abs=5e-6), output
    assert claim["measured"] < 0.9
    assert f"without that {RIGHT}" in " ".join(output.split())
    (read,) = read_run(tmp_path / "results").claims
    assert read.record.verdict.unedited == claim["unedited"]


def test_a_refuted_one_is_told_beside_it(tmp_path):
    status, output, _ = judged(tmp_path, f"verdict(share({HEAD}.correct), at_least=0.5)")
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "done to the model: head 0.0 ablated (zero), at every position" in output
    assert f"without that it is {RIGHT}." in output


def test_a_bound_is_chosen_by_it(tmp_path):
    _, output, _ = judged(tmp_path, f"verdict(share({HEAD}.correct), at_least=None)")
    said = f"Where nothing is done to the model it is {RIGHT}."
    assert said in " ".join(output.split())


@pytest.mark.parametrize(
    ("lines", "asks"),
    [
        ("assert intervene\n    verdict(share(activations.correct), at_least=0.9)",
         "activations, intervene"),
        (f"lost = activations.margin - {HEAD}.margin > 0\n    "
         "verdict(share(activations.correct[lost]), at_least=0.9)", "activations, intervene"),
    ],
    ids=["nothing is edited", "of what was lost"],
)  # fmt: skip
def test_there_may_be_none(tmp_path, lines, asks):
    _, output, claim = judged(tmp_path, lines, asks)
    assert "unedited" not in claim, output
    assert "without that" not in output


def test_a_property_has_none(tmp_path):
    """It would be drawn anew within each example."""
    claim = """
@evidence("intervention")
@given(token=st.integers(0, 1))
@reproducible(examples=2)
def test_new(intervene, verdict, token):
    \"\"\"A sentence.\"\"\"
    verdict(share(intervene.attend(token).correct), at_most=0.9)
"""
    _, output = in_project(tmp_path, claim)
    (found,) = json.loads((tmp_path / "found").read_text())["checkpoints"][0]["claims"]
    assert found["edits"] == ["attention of head 0.0 set, at the answers"], output
    assert "unedited" not in found


def test_each_verdict_has_the_same_one_beside_it(tmp_path):
    """Of several the one that counts, and not what would count without edits."""
    lines = (
        f"without = {HEAD}\n    "
        "for number in (share(~without.correct) / 2, share(without.correct)):\n"
        "        verdict(number, at_most=0.9)"
    )
    _, output, claim = judged(tmp_path, lines, "intervene")
    assert claim["measured"] == pytest.approx(0.495, abs=0.001), output
    assert claim["unedited"] == pytest.approx((1 - RIGHT) / 2, abs=1e-6)


def test_what_is_made_without_edits_is_kept(tmp_path):
    """A fixture of the claims' own is made for the checkpoint and for its control, and once more
    for all claims if it is made by edits.
    """
    lines = (
        "from claims.min_of_two.conftest import made\n    "
        "assert halved.numel()\n    "
        "verdict(share(without.correct), at_most=0.5)\n\n"
        "test_again = test_new\n\n"
        '@evidence("weights")\n'
        "def test_so_often(circuits, verdict):\n"
        '    """Last."""\n'
        "    from claims.min_of_two.conftest import made\n"
        "    verdict(len(made) * circuits.ov().matrix.isfinite().all(), at_most=5)"
    )
    _, output, _ = judged(tmp_path, lines, "halved, without")
    found = json.loads((tmp_path / "found").read_text())["checkpoints"][0]["claims"]
    by_name = {one["claim"].rsplit("::")[-1]: one for one in found}
    assert by_name["test_so_often"]["measured"] == 5, output
    assert by_name["test_again"]["unedited"] == pytest.approx(RIGHT, abs=5e-6)


def test_every_verb_gives_the_models_own_run(reference):
    unedited = Unedited(reference.activations)
    for verb in ("ablate", "patch", "cut", "attend", "put", "exchange_value"):
        assert hasattr(Interventions, verb)
        assert getattr(unedited, verb)(1, how="any") is reference.activations
    with pytest.raises(AttributeError):
        _ = unedited.nothing


@pytest.mark.parametrize(
    ("lines", "is_read"),
    [
        ("verdict(share(activations.correct), at_least=0.9)", False),
        slow("verdict(share(without.correct), at_most=0.9)", True),
        slow("verdict(share(without.correct), at_least=0.9)", True),
        ("both = intervene.after(without).ablate(embedding, 'mean')\n    "
         "verdict(share(both.correct), at_most=0.9)", True),
        slow("other = intervene.attend(0)\n    verdict(share(without.correct), at_most=1)", False),
    ],
    ids=["another", "read", "refuted", "done after", "one of two"],
)  # fmt: skip
def test_what_comes_of_an_edit_is_read(tmp_path, lines, is_read):
    """Or a claim would be told as an intervention whose number is the model's as it is."""
    made = f"from mechanistic_claims import embedding\n    without = {HEAD}\n    "
    _, output, claim = judged(tmp_path, made + lines, "intervene, activations")
    said = "it was made, and nothing was measured of the edited run: the number is of another one."
    assert (said in " ".join(output.split())) != is_read, output
    assert (claim["verdict"] == "error") != is_read
