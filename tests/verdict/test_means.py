"""Limits of what is found with means of draws in the model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from scipy import stats

from mechanistic_claims.measurement.domain import Domain, Measured
from mechanistic_claims.verdict.means import GIVEN, TOO, is_much, rests_on_means, with_means
from mechanistic_claims.verdict.verdict import Judge, held_to
from tests.verdict.written import in_project

DRAWS, T = 400, stats.t.ppf(0.999, 4)


def verdict(share=0.9, draws=DRAWS, **bound):
    found = held_to(Measured.sampled(share, draws), **bound or {"at_least": 0.8})
    return replace(found, edits=("mlp 1 ablated (mean), at every position",))


def test_distances_of_limits_add_up_as_squares():
    """Of a share the limits of draws, and t times how far halves are off."""
    plain = verdict()
    found = with_means(plain, [0.91, 0.88, 0.9, 0.9])
    off = T * math.sqrt((0.01**2 + 0.02**2) / 4)
    low, high = plain.limits
    assert found.limits == pytest.approx(
        (0.9 - math.hypot(0.9 - low, off), 0.9 + math.hypot(high - 0.9, off))
    )
    assert found.margin == pytest.approx(found.limits[0] - 0.8)
    assert found.best == pytest.approx(found.limits[1] - 0.8)
    assert "approximate 99.9% limit, Student's t, of the means put there too" in found.domain
    assert found.draws == DRAWS


def test_a_number_that_halves_move_is_open():
    """The one that had limits of 0.0345 to 0.0646 where of other draws it was 0.3955."""
    plain = verdict(0.048, 2000, at_most=0.07)
    assert plain.holds
    found = with_means(plain, [0.02, 0.2, 0.1, 0.3])
    assert found.word == "not established"
    assert found.would_tell.startswith("draw more, about")


def test_one_that_none_moves_keeps_its_limits():
    plain = verdict()
    assert with_means(plain, [0.9] * 4) == plain


@pytest.mark.parametrize("number", [None, math.nan, math.inf])
def test_a_half_without_a_number_leaves_no_limit(number):
    found = with_means(verdict(), [0.9, 0.9, 0.9, number])
    assert found.limits == (-math.inf, math.inf)
    assert found.word == "not established"


def test_without_halves_limits_are_given_the_means():
    plain = verdict()
    found = with_means(plain, [])
    assert (found.limits, found.margin) == (plain.limits, plain.margin)
    assert found.domain == f"sampled (400 draws, 99.9% limit, {GIVEN})"


@pytest.mark.parametrize(
    ("edit", "domain", "does"),
    [
        ("mlp 1 ablated (mean), at every position", Domain("sampled", 9), True),
        ("head 0.1 cut from mlp 1 (mean over positions), at all", Domain("sampled", 9), True),
        ("mlp 1 ablated (zero), at every position", Domain("sampled", 9), False),
        ("mlp 1 ablated (mean), at every position", Domain(), False),
    ],
)
def test_which_numbers_rest_on_means(edit, domain, does):
    found = held_to(Measured(0.5, domain), at_least=0.1)
    assert rests_on_means(replace(found, edits=(edit,))) == does


CLAIM = '''
from mechanistic_claims import head, mean

@evidence("intervention")
@pytest.mark.parametrize("how", ["mean", "zero"])
def test_new(intervene, activations, task, verdict, how):
    """A sentence of {how}."""
    lost = intervene.ablate(head(0, 0), how).loss - activations.loss
    verdict(mean(lost[task.second_copy]), at_least=-1e3)
'''


def test_a_claim_is_measured_again_with_each(tmp_path):
    """On draws, of a mean; and the same number by hand."""
    from mechanistic_claims import head, mean, open_checkpoint

    _, output = in_project(tmp_path, CLAIM, "-v", model="induction")
    found = json.loads((tmp_path / "found").read_text())["checkpoints"][0]["claims"]
    by_mean, by_zero = sorted(found, key=lambda one: "zero" in one["claim"])
    assert TOO in by_mean["domain"], output
    assert TOO not in by_zero["domain"]
    of = open_checkpoint("induction", "models/induction/checkpoints/reference.safetensors")

    def number(subject):
        lost = subject.intervene.ablate(head(0, 0), "mean").loss - subject.activations.loss
        return mean(lost[subject.task.second_copy])

    whole = number(of)
    of_halves = [float(number(of.with_means_of(half))) - whole for half in range(4)]
    off = T * math.sqrt(sum(float(one) ** 2 for one in of_halves) / 4)
    assert off > 0
    low, high = by_mean["limits"]
    assert low == pytest.approx(whole - math.hypot(whole - whole.low, off), rel=1e-6)
    assert high == pytest.approx(whole + math.hypot(whole.high - whole, off), rel=1e-6)
    said = "where a mean of draws is put into the model, limits allow for other means, roughly"
    assert said in " ".join(output.split())


PROPERTY = """
from mechanistic_claims import head, mean

@evidence("intervention")
@given(index=st.integers(0, 1))
@reproducible(examples=3)
def test_new(intervene, activations, task, verdict, index):
    \'\'\'A sentence.\'\'\'
    lost = intervene.ablate(head(0, index), "mean").loss - activations.loss
    verdict(mean(lost[task.second_copy]), at_least=-1e3)
"""


@pytest.mark.slow
def test_a_property_is_given_its_means(tmp_path):
    """It would be drawn anew within each example."""
    _, output = in_project(tmp_path, PROPERTY, model="induction")
    (found,) = json.loads((tmp_path / "found").read_text())["checkpoints"][0]["claims"]
    assert GIVEN in found["domain"], output
    assert found["verdict"] == "holds"


def test_of_several_numbers_the_one_counts_whose_limits_are_worst():
    """With what means may be off, in either order."""
    exact, by_mean = held_to(Measured.sampled(0.9, 400), at_least=0.8), verdict(0.92)

    def known(found):
        return with_means(found, [0.5, 0.9, 0.9, 0.9]) if found.measured == 0.92 else found

    for order in ((0.9, 0.92), (0.92, 0.9)):
        judge = Judge(known=known)
        for one in order:
            judge(Measured.sampled(one, 400), at_least=0.8)
        assert judge.verdict.word == "not established"
    assert exact.holds
    assert by_mean.holds


def test_what_takes_long_is_not_measured_again(reference):
    assert not is_much(reference)
    task = SimpleNamespace(inputs=reference.task.inputs[:1].expand(10**7, -1))
    assert is_much(SimpleNamespace(checkpoint=reference.checkpoint, task=task))
