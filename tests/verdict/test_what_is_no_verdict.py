"""Claims that end without a verdict, or in another way than they say: judged in one run."""

from __future__ import annotations

import json
import re

import pytest

from mechanistic_claims.verdict.document import read_verdicts
from tests.verdict.written import GOOD, PROPERTY, in_project


def saying(line: str) -> str:
    """The claim, with another line in place of its verdict."""
    return GOOD[: GOOD.index("    verdict(")] + f"    assert circuits\n    {line}\n"


ONE_BOUND_ON_THE_CHECKPOINT = (
    "verdict(1, at_least=0, at_most=None if circuits.ov().matrix.std() > 1 else 1)"
)
MISSPELT = "verdict(circuits.nothing, at_least=0)"
OF_TORCH = "verdict((circuits.ov().matrix @ circuits.ov().matrix).sum(), at_least=0)"
NO_VERDICT = {
    "if task is None: verdict(1, at_least=0)": "ended without a verdict",
    "verdict(float('nan'), at_least=0)": "measured nan",
    "verdict(share(task.operands[:0] > 0), at_least=0)": "the set of inputs is empty",
    "verdict(1, at_least=0, at_most=1)": "a verdict takes one bound",
    "verdict(1)": "measured 1; an untrained model has 1. It has no bound: give at_least, at_most",
    ONE_BOUND_ON_THE_CHECKPOINT: "on an untrained model, its control: a verdict takes one bound",
    "verdict(circuits.ov((0, 0)).matrix.std(), at_least=0)": "a tuple is no component: expected",
    "verdict(1, at_least=0, picture=circuits.ov().matrix)": "the picture is a Tensor: expected one",
    "verdict(1, at_least=0, picture=Heatmap('A', task.operands, 'y', 'x', 'unit'))": (
        "the picture: Heatmap takes [y x], and this is [200]. A matrix is Heatmap"
    ),
    "verdict(1, at_least=0, picture=Attention('A', circuits.ov().matrix))": (
        "Attention takes [head position position], and this is [201 200]"
    ),
    "verdict(at(circuits.ov().matrix, task.operands[:3]).mean(), at_least=0)": (
        "at: 3 places of 201 cases: expected one for each input"
    ),
    MISSPELT: "no attribute 'nothing'",
    OF_TORCH: "shapes cannot be multiplied",
    **dict.fromkeys(
        ("pytest.skip('not today')", "pytest.xfail('never mind')", "pytest.importorskip('no')"),
        "a claim gives a verdict; it can't be skipped",
    ),
}
NOT_A_NUMBER = GOOD.replace("verdict(0.5", "verdict(float('nan')")
HIDDEN = GOOD.replace("    verdict(", "    try: verdict(") + "    except AssertionError: pass\n"
JUDGED_TOGETHER = {
    **{line: saying(line) for line in NO_VERDICT},
    **{
        mark: NOT_A_NUMBER.replace("@evidence", f"{mark}\n@evidence")
        for mark in ("@pytest.mark.xfail", "@pytest.mark.skip")
    },
    "hidden": HIDDEN.replace("[0.3]", "[0.9]"),
    "no control": GOOD.replace("(task, ", "(tmp_path, task, "),
    "smallest example": PROPERTY.replace("at_least=30.0", "at_least=48.0"),
    "worst example": PROPERTY.replace("at_least=30.0", "at_least=1.0"),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """What became of each of these claims, which are judged in one run."""
    folder = tmp_path_factory.mktemp("judged")
    names = {f"test_new_{number}": name for number, name in enumerate(JUDGED_TOGETHER)}
    claims = (JUDGED_TOGETHER[of].replace("test_new", name) for name, of in names.items())
    status, output = in_project(folder, "\n".join(claims))
    assert status == pytest.ExitCode.TESTS_FAILED, output
    assert read_verdicts(folder / "found")
    (checkpoint,) = json.loads((folder / "found").read_text())["checkpoints"]
    found = {
        re.search(r"test_new_\d+", record["claim"])[0]: record for record in checkpoint["claims"]
    }
    assert found.keys() == names.keys(), output
    # Each of them fails a run: pytest lists it, but for one without a bound, which is in a table.
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S+::(test_new_\d+)", output, re.MULTILINE))
    unbound = {test for test, record in found.items() if "unbound" in record}
    wrong = {test for test, record in found.items() if record["verdict"] != "holds"}
    assert (failed, len(unbound)) == (wrong - unbound, 1)
    assert "1 hold, 0 refuted as expected, 2 refuted, 1 without a bound, 18 errors" in output
    written = (folder / "claims/min_of_two/test_new.py").read_text().splitlines()
    beside = {"written": written, "output": " ".join(output.split())}
    return {names[test]: record for test, record in found.items()} | beside


@pytest.mark.parametrize(("line", "said"), NO_VERDICT.items())
def test_what_is_no_verdict_is_an_error(judged, line, said):
    """Of the control alone where the checkpoint itself would have had a verdict."""
    assert judged[line]["verdict"] == "error"
    assert said in judged[line]["error"]
    of_control = "its control" in judged[line]["error"]
    assert of_control == (line == ONE_BOUND_ON_THE_CHECKPOINT)


def test_what_an_author_did_not_mean_to_raise_says_where(judged):
    for line, kind in ((OF_TORCH, "RuntimeError"), (MISSPELT, "AttributeError")):
        said = re.match(r"(\w+) in claims/min_of_two/test_new\.py:(\d+): ", judged[line]["error"])
        assert said, judged[line]["error"]
        assert said[1] == kind
        assert judged["written"][int(said[2]) - 1].strip() == line


def test_claims_that_one_error_befell_are_named(judged):
    nan = judged["verdict(float('nan'), at_least=0)"]["error"]
    named = ", ".join(["“A sentence about 0.3.”"] * 2)
    assert f"error in {named}: {nan}" in judged["output"]


@pytest.mark.parametrize("mark", ["@pytest.mark.xfail", "@pytest.mark.skip"])
def test_a_mark_does_not_hide_an_error(judged, mark):
    assert judged[mark]["verdict"] == "error"


def test_a_hidden_refutation_is_a_refutation(judged):
    assert judged["hidden"]["verdict"] == "refuted"


def test_a_claim_that_asks_for_what_has_no_control(judged):
    said = judged["no control"]["error"]
    assert "asks for tmp_path; a claim may ask for task, weights" in said


def test_a_property_is_refuted_by_its_smallest_example(judged):
    found = judged["smallest example"]
    assert (found["verdict"], found["at_least"]) == ("refuted", 48.0)
    assert found["sentence"] == "Every token's own logit is above thirty."


def test_a_property_that_holds_reports_its_worst_example(judged):
    found = judged["worst example"]
    assert (found["verdict"], found["at_least"]) == ("holds", 1.0)
