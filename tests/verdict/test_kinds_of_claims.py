"""Rivals, claims beside other sets, fixtures of a story's own, and controls that have no number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.domain import Measured
from mechanistic_claims.measurement.matched import others_like
from mechanistic_claims.model.components import head, mlp
from mechanistic_claims.verdict.document import checked_of
from mechanistic_claims.verdict.headings import Heading
from mechanistic_claims.verdict.judging import require_change
from mechanistic_claims.verdict.record import Told
from mechanistic_claims.verdict.verdict import held_to
from tests.verdict.written import in_project

TRAINED = "circuits.ov().matrix.std() > 1"
CLAIM = '''
from mechanistic_claims import rival

@evidence("weights")
def test_new(circuits, verdict):
    """A sentence."""
    assert circuits
    {lines}
'''
OWN = """
import pytest

made = []

@pytest.fixture{scope}
def spread_of_ov(circuits):
    made.append(1)
    return circuits.ov().matrix.std()

@pytest.fixture{scope}
def twice(spread_of_ov):
    {gives} 2 * float(spread_of_ov)
"""


def judged(
    folder: Path, lines: str, mark: str = "", more: tuple[str, ...] = ()
) -> tuple[int, str, dict[str, object]]:
    claim = CLAIM.format(lines=lines).replace("@evidence", f"{mark}@evidence")
    status, output = in_project(folder, claim, *more)
    found = json.loads((folder / "found").read_text())
    checked_of(found["checkpoints"])  # it is read back as it was
    return status, output, found["checkpoints"][0]["claims"][0]


@pytest.mark.parametrize(
    ("low", "high", "margin"), [(0.5, 0.5, 0.1), (0.45, 0.55, 0.05), (0.3, 0.5, -0.1)]
)
def test_a_rival_is_excluded_by_all_of_an_interval(low, high, margin):
    found = held_to(Measured(0.5, low=low, high=high), at_most=0.4, excluded=True)
    assert found.margin == pytest.approx(margin)
    assert str(found.bound) == "> 0.4"


def test_a_rival_on_its_own_bound_is_not_excluded():
    assert not held_to(0.4, at_most=0.4, excluded=True).holds
    assert not held_to(0.4, within=(0.1, 0.4), excluded=True).holds
    assert held_to(0.5, within=(0.1, 0.4), excluded=True).holds
    assert str(held_to(0.5, within=(0.1, 0.4), excluded=True).bound) == "not 0.1..0.4"


def test_a_rival_that_an_untrained_model_excludes_too(tmp_path):
    status, output, claim = judged(tmp_path, "verdict(0.5, at_most=0.4)", "@rival\n")
    assert status == 0, output
    assert "rivals excluded" in output
    assert (claim["verdict"], claim["heading"], claim["rival"]) == ("holds", "rival excluded", True)


def test_a_rival_that_is_not_excluded_fails_the_run(tmp_path):
    status, output, claim = judged(tmp_path, "verdict(0.3, at_most=0.4)", "@rival\n")
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "a rival story is not excluded: A sentence." in output
    assert "Give the bound that this story really needs, or claim another number" in output
    assert (claim["verdict"], claim["heading"]) == ("refuted", "refuted")


@pytest.mark.parametrize(
    ("other", "heading", "more"),
    [(0.2, Heading.HOLDS, ()), (0.4, Heading.NOT_PARTICULAR, ("--alluredir=results",))],
)
def test_what_other_sets_keep_too_is_not_particular(tmp_path, other, heading, more):
    lines = f"verdict(0.5 if {TRAINED} else 0.0, at_least=0.3, beside=[0.1, {other}])"
    status, output, claim = judged(tmp_path, lines, more=more)
    assert status == 0, output
    assert claim["heading"] == heading.word
    assert claim["beside"] == [0.1, other]
    assert ("1 say little" in output) == (heading is Heading.NOT_PARTICULAR)
    results = map(Path.read_text, (tmp_path / "results").glob("*-result.json"))
    pictures = [one["name"] for text in results for one in json.loads(text)["attachments"]]
    assert pictures == ["Beside other sets of components"] * len(more)


def test_other_sets_have_as_many_heads_of_each_layer(small):
    read = small.weights.W_Q.new_zeros(2, 6, 5, 1)
    weights = replace(small.weights, W_Q=read, W_K=read, W_V=read, W_O=read.mT)
    chosen = head(0, 1) + head(1, 2) + head(1, 3)
    found = others_like(chosen, weights)
    assert len({other.parts for other in found}) == 20
    for other in found:
        assert sorted(part.layer for part in other.parts) == [0, 1, 1]
        assert not set(other.parts) & set(chosen.parts)
    assert [other.parts for other in others_like(chosen, weights)] == [o.parts for o in found]
    assert len(others_like(head(0, 0), weights)) == 5, "all there are"
    with pytest.raises(CannotJudge, match="layer 0 has 2 heads beside"):
        others_like(head(0, 0) + head(0, 1) + head(0, 2) + head(0, 3), weights)
    with pytest.raises(CannotJudge, match="of heads only"):
        others_like(mlp(0), weights)


def own(folder: Path, scope: str = '(scope="session")', gives: str = "return") -> tuple[int, str]:
    of_model = folder / "claims" / "min_of_two"
    of_model.mkdir(parents=True)
    (of_model / "conftest.py").write_text(OWN.format(scope=scope, gives=gives))
    claim = CLAIM.format(lines="verdict(twice, at_least=3.0)").replace("circuits", "twice")
    return in_project(folder, claim)


def test_a_fixture_of_its_own_is_made_for_the_control_too(tmp_path):
    status, output = own(tmp_path)
    assert status == 0, output
    claim = json.loads((tmp_path / "found").read_text())["checkpoints"][0]["claims"][0]
    assert claim["heading"] == "holds"
    assert 0 < claim["control"]["measured"] < 1 < claim["measured"]


@pytest.mark.parametrize(("scope", "gives"), [("", "return"), ('(scope="session")', "yield")])
def test_a_fixture_of_its_own_is_made_once_and_returns(tmp_path, scope, gives):
    status, output = own(tmp_path, scope, gives)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert 'write it with @pytest.fixture(scope="session"), and return the value' in output


def test_an_untrained_model_may_have_no_such_number(tmp_path):
    lines = f"verdict(share(circuits.ov().matrix[:, 0][{TRAINED}:] > -1e9), at_least=0.3)"
    lines = lines.replace(f"{TRAINED}:", f"(0 if {TRAINED} else 10**6):")
    status, output, claim = judged(tmp_path, lines)
    assert status == 0, output
    assert claim["heading"] == "not compared"
    why = "a share of no cases: the set of inputs is empty."
    assert claim["control"] == {"measured": None, "verdict": "refuted", "why": why}
    assert f"An untrained model: {why}" in output
    assert "not compared: an untrained model has no such number" in output
    assert " none " in output
    assert "1 say little" in output


def test_an_untrained_model_whose_number_keeps_the_bound_passes_it(tmp_path):
    """Though its limit does not: a number that is noise is not another one."""
    lines = (
        "import torch\n    from mechanistic_claims import drawn, mean\n    "
        f"values = torch.linspace(0.9, 1.1, 40) if {TRAINED} else torch.linspace(-9, 11, 40)\n    "
        "verdict(mean(drawn(values)), at_least=0.3)"
    )
    status, output, claim = judged(tmp_path, lines)
    assert status == 0, output
    assert claim["control"]["measured"] > 0.3
    assert (claim["heading"], claim["control"]["verdict"]) == ("says nothing", "holds")


@pytest.mark.parametrize(
    ("share", "bound", "heading"),
    [
        (1, "at_least=0.99", "not shown false"),
        pytest.param(0, "at_most=0.01", "not shown false", marks=pytest.mark.slow),
        (0.9, "at_least=0.99", "refuted as expected"),
        (0.97, "at_least=0.98", "not shown false"),
        pytest.param(1, "at_least=0.9", "holds after all", marks=pytest.mark.slow),
    ],
)
def test_too_few_draws_do_not_show_a_sentence_to_be_false(tmp_path, share, bound, heading):
    lines = (
        "from mechanistic_claims.measurement.domain import Measured\n    "
        f"verdict(Measured.sampled({share}, 300), {bound})"
    )
    status, output, claim = judged(
        tmp_path,
        lines,
        "from mechanistic_claims import refuted\n@refuted('few')\n",
        ("-rA", "--alluredir=results"),
    )
    assert status == 0, output
    assert claim["heading"] == heading
    few = heading == "not shown false"
    assert ("not shown to be false, as expected: too few draws" in output) == few
    assert ("not established, draw more" in output) == few
    assert ("0 hold, 0 refuted as expected, 1 say little, 0 refuted" in output) == few


NOTHING = "positions ablated (mean), at every position, which changes nothing"
ZERO = "head 0.1 ablated (zero), at every position, where it is zero already"


def test_an_intervention_that_changes_nothing_shows_nothing():
    """If it is not a precondition that nothing changes; to put zero there is to take away."""
    claim = Told("claims/toy/test_a.py::test_new", "toy", "a", "It is not needed.", "intervention")
    found = held_to(1, at_least=0.99)
    with pytest.raises(CannotJudge, match="which changes nothing: what is put there is what is"):
        require_change(replace(found, edits=(NOTHING,)), claim)
    require_change(replace(found, edits=(NOTHING,)), replace(claim, precondition=True))
    for edits in ((), (ZERO,), (NOTHING, ZERO)):
        require_change(replace(found, edits=edits), claim)
