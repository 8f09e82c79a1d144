"""Models written by hand: what they answer is known, and the suite has to find it."""

from __future__ import annotations

import math

import pytest
import torch

from mechanistic_claims.measurement.measures import prediction
from mechanistic_claims.outputs.report.first_page import first_page
from mechanistic_claims.outputs.report.history import History
from mechanistic_claims.outputs.report.judged import read_run
from mechanistic_claims.outputs.report.words import templates
from mechanistic_claims.outputs.survey.surveys import surveys
from mechanistic_claims.verdict.baseline import Baseline
from mechanistic_claims.verdict.document import read_verdicts
from mechanistic_claims.verdict.headings import Heading
from models.min_of_two.constructed import (
    CONSTRUCTED,
    PERMUTATION_SEED,
    attend_to_the_min_and_copy,
)
from tests.conftest import subject_of


def permutation(n):
    return torch.randperm(n, generator=torch.Generator().manual_seed(PERMUTATION_SEED))


ANSWERS = {
    "attend_to_the_min_and_copy": lambda a, b, n: torch.minimum(a, b),
    "elect_a_number": lambda a, b, n: torch.minimum(a, b),
    "vote_against_all_above": lambda a, b, n: torch.minimum(a, b),
    "vote_with_equals": lambda a, b, n: torch.minimum(a, b),
    "attend_evenly_and_copy": lambda a, b, n: torch.where(a == b, a, -1),
    "attend_to_the_max_and_copy": lambda a, b, n: torch.maximum(a, b),
    "copy_the_next": lambda a, b, n: (torch.minimum(a, b) + 1) % n,
    "copy_scrambled": lambda a, b, n: permutation(n).argsort()[torch.minimum(a, b)],
    "copy_two_swapped": lambda a, b, n: torch.tensor([1, 0, *range(2, n)])[torch.minimum(a, b)],
    "answer_the_first": lambda a, b, n: a,
    "answer_a_constant": lambda a, b, n: torch.zeros_like(a),
}


@pytest.mark.parametrize("n", [2, 3, 10, 50])
@pytest.mark.parametrize("algorithm", CONSTRUCTED)
def test_the_model_answers_what_its_algorithm_says(save, algorithm, n):
    """By the real model on every input; -1 is a tie, and no answer."""
    subject = subject_of(save(CONSTRUCTED[algorithm](n)))
    a, b = subject.task.pairs.unbind(dim=-1)
    expected = ANSWERS[algorithm](a, b, n)
    assert torch.equal(subject.activations.prediction, expected)
    assert torch.equal(subject.activations.correct, expected == torch.minimum(a, b))


def test_who_elects_a_number_is_right_on_pairs_only(save):
    """Two outvote one: what no pair shows, longer lists do."""
    subject = subject_of(save(CONSTRUCTED["elect_a_number"](50)))
    lists = torch.tensor([[3, 7, 7, 50], [7, 3, 7, 50], [3, 3, 7, 50], [9, 7, 3, 50]])
    assert prediction(subject.logits_of(lists)[:]).tolist() == [7, 7, 3, 3]
    assert subject.certificate.counted(2).at_least > 1 - 1e-8
    twice_a_larger = 3 * math.comb(50, 2) / 50**3
    assert subject.certificate.counted(3).at_least == pytest.approx(1 - twice_a_larger, abs=1e-8)


def test_argmax_would_take_a_tie_for_an_answer(save):
    """Why a tie is wrong: broken towards the smaller index, it is always right on this task."""
    subject = subject_of(save(CONSTRUCTED["attend_evenly_and_copy"](50)))
    by_argmax = subject.activations.logits.argmax(dim=-1) == subject.task.labels
    assert by_argmax.all()
    assert subject.activations.correct.double().mean().item() == pytest.approx(1 / 50)
    everywhere_even = subject.intervene.attend(subject.task.even_attention)
    assert torch.equal(everywhere_even.answers(subject.task.labels), ~subject.task.differ)


def test_the_purest_form_of_the_story_holds(save, run_claims, tmp_path):
    """Other rows are exactly zero: that of '=' has infinitely many times the range of any other.

    A number that no file of JSON has goes through every output, and back.
    """
    weights = attend_to_the_min_and_copy(30)
    weights["blocks.0.attn.W_Q"][:, :30] = 0
    path, verdicts = save(weights, "purest.safetensors"), tmp_path / "verdicts.json"
    run = run_claims(
        "claims/min_of_two/test_qk_circuit.py",
        f"--checkpoint={path}",
        f"--verdicts={verdicts}",
        f"--alluredir={tmp_path}/results",
    )
    assert run.status == 0, run.output
    name = "test_the_row_of_equals_has_the_most_structure[2.0]"
    assert run.claims[name, path.name]["measured"] == "∞"
    assert run.claims[name, path.name]["margin"] == "+∞"
    (checked,) = read_verdicts(verdicts)
    (record,) = (one for one in checked.records if one.told.claim.endswith(name))
    assert (record.verdict.measured, record.heading) == (math.inf, Heading.HOLDS)
    judged = read_run(tmp_path / "results")
    history = History().with_run(judged)
    assert "measured ∞, required ≥ 2" in first_page(judged, history, templates())
    (survey,) = surveys([checked])
    assert survey.rows[-1].spread == (math.inf, math.inf, math.inf)
    baseline = Baseline(verdicts, [checked])
    assert baseline.lost(checked.held, record.told.claim, math.inf) == 0
    assert baseline.lost(checked.held, record.told.claim, 3.0) == 1
