"""Every claim of max_of_four can be refuted, and by what: claims by models, as one matrix."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.checkpoint.read import read_checkpoint
from models.max_of_four import FAMILY
from models.max_of_four.constructed import CONSTRUCTED
from models.max_of_four.training import Recipe, Training
from tests.kill import Matrix, answers, judged, subject_with
from tests.max_of_four.mutants import OfTheLastPlace, mutants_of

pytestmark = pytest.mark.slow
NUMBERS, LENGTH = 64, 4
BRIEF = Recipe(steps=100)
BY_HAND, THE_SAME = "attend_to_the_max_and_copy", "logits_shifted"
"""The story itself, and a change of the reference that no softmax sees."""
MANY = {"copy_scrambled", "attend_evenly_and_copy", "answer_a_constant"}
"""Algorithms that no claim needs."""
ACCURACY, AS_ACCURATE = "test_accuracy[0.99]", 0.992

NO_FILE = "no file can be so: the architecture makes it true. Refuted of min_of_two by hand."
PROVED = "it is a theorem, if the certificate is right. Refuted in test_certified.py by runs."
IS_ACCURACY = "it is accuracy."
FOLLOWS = "it follows from accuracy: "
NONE_CAN_EXIST = {
    "test_attention_only_without_normalization": NO_FILE,
    "test_the_pattern_is_the_softmax_of_the_scores": NO_FILE,
    "test_no_run_is_below_its_proof": PROVED,
    "test_accuracy": IS_ACCURACY,
    "test_in_another_order_the_answer_stays": FOLLOWS + "reordered lists are as random.",
    "test_the_other_numbers_do_not_matter": FOLLOWS + "lists with other numbers are as random.",
}


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    original = OfTheLastPlace(shipped("reference"))
    weights = {"original": original.weights, **mutants_of(original)}
    weights["retrained_seed_25"] = shipped("refuted/seed25")
    weights["retrained_seed_108"] = shipped("refuted/seed108")
    weights["trained_briefly"] = trained_briefly()
    weights["untrained"] = Training(Recipe(seed=7)).weights_of(0)
    for name in (name for name in CONSTRUCTED if name not in MANY):
        weights[name] = CONSTRUCTED[name](NUMBERS, LENGTH)
    subjects = ((name, subject_with("max_of_four", one)) for name, one in weights.items())
    return judged("max_of_four", subjects, answers(ACCURACY, AS_ACCURATE), NONE_CAN_EXIST)


def shipped(name):
    path = FAMILY.reference.parent / f"{name}.safetensors"
    return FAMILY.reading.canonical(read_checkpoint(path, "max_of_four", FAMILY))


@torch.enable_grad()
def trained_briefly():
    training = Training(BRIEF)
    for _ in range(BRIEF.steps):
        training.advance()
    return training.weights_of(0)


def test_every_claim_is_refuted_by_a_model_that_answers_as_well(matrix, show):
    show("max_of_four: claims by models", str(matrix))
    assert matrix.without_a_reason() == []


def test_every_other_model_is_refuted(matrix):
    """By a claim that holds of the original: not by what is overstated anyway."""
    assert matrix.alive() == ["original", THE_SAME, BY_HAND]


def test_the_story_written_by_hand_holds_in_every_claim(matrix):
    """But that places don't matter: the last one asks; and that every list is answered, which no
    sample shows.
    """
    verdicts = matrix.verdicts(BY_HAND)
    assert matrix.measured("test_every_answer_is_right[1]", BY_HAND) == 1
    assert verdicts.pop("test_every_answer_is_right[1]") == "refuted"
    assert verdicts.pop("test_places_do_not_matter[0.99]") == "refuted"
    assert set(verdicts.values()) == {"holds"}


@pytest.mark.parametrize("model", ["vote_against_all_below", "vote_against_itself_too"])
def test_right_answers_by_another_mechanism_are_refuted(matrix, model):
    """All of attention, and what interventions say of it; not that places hardly matter."""
    assert matrix.measured(ACCURACY, model) > 0.999
    assert matrix.fallen(model) >= {
        "test_more_attention_on_the_max",
        "test_attention_on_the_max_at_a_gap",
        "test_the_upper_numbers_get_the_highest_logit",
        "test_the_diagonal_is_strong",
        "test_greater_numbers_get_higher_scores",
        "test_the_rows_rise_at_almost_every_step",
        "test_it_is_one_row",
        "test_the_last_place_asks",
        "test_without_it_the_answer_stays",
        "test_the_value_attended_to_is_the_answer",
        "test_the_ov_diagonal_is_enough",
    }
    assert not matrix.fallen(model) & {
        "test_accuracy",
        "test_in_another_order_the_answer_stays",
        "test_which_number_asks_does_not_matter",
    }


@pytest.mark.parametrize(
    ("model", "refuted"),
    [
        ("low_score_raised", {"test_where_a_row_falls_it_falls_little"}),
        (
            "half_the_scores",
            {"test_attention_on_the_max_at_a_gap", "test_worst_rivals_prove_it_of_most_lists"},
        ),
        (
            "same_logit_bias_for_all",
            {"test_biases_are_zero", "test_logits_are_pattern_ov_and_direct_path"},
        ),
        ("key_bias", {"test_biases_are_zero", "test_scores_are_the_qk_circuit"}),
        (
            "direct_path_loud",
            {"test_margins_exceed_its_range", "test_worst_rivals_prove_it_of_most_lists"},
        ),
        ("let_numbers_ask", {"test_the_last_place_asks"}),
        ("let_places_take_back_a_bias", {"test_they_are_not_needed_to_be_found"}),
        ("let_the_first_place_be_against_0", {"test_margins_exceed_what_they_write"}),
    ],
)
def test_a_change_is_refuted_where_it_was_made(matrix, model, refuted):
    assert matrix.is_as_good(model)
    assert matrix.refuted_by(model) == refuted


def test_a_retrained_seed_is_refuted_where_its_rows_are_ragged(matrix):
    """It answers better than others of which the story holds."""
    assert matrix.measured(ACCURACY, "retrained_seed_25") > 0.997
    assert matrix.refuted_by("retrained_seed_25") == {
        "test_the_rows_rise_at_almost_every_step",
        "test_margins_exceed_what_they_write",
        "test_margins_exceed_its_range",
        "test_worst_rivals_prove_it_of_most_lists",
    }


def test_a_retrained_seed_is_refuted_where_the_last_place_is_preferred(matrix):
    """By 1.4 scores, where a step from a number to the next is 1.2: its rows are as they should."""
    seed = "retrained_seed_108"
    assert matrix.measured(ACCURACY, seed) > 0.99
    assert matrix.refuted_by(seed) >= {
        "test_their_scores_are_small",
        "test_in_another_order_the_answer_stays",
        "test_more_attention_on_the_max",
    }
    assert not matrix.refuted_by(seed) & {
        "test_the_rows_rise_at_almost_every_step",
        "test_greater_numbers_get_higher_scores",
        "test_the_upper_numbers_get_the_highest_logit",
    }


def test_an_untrained_model_passes_no_claim(matrix):
    for name, claim in matrix.told.items():
        expected = "holds" if "precondition" in claim.marks else "refuted"
        assert matrix.verdict(name, "untrained") == expected, name


def test_two_heads_are_errors_and_not_verdicts(matrix):
    assert matrix.verdict("test_it_is_one_row[0.999]", "head_twice") == "error"
    assert matrix.is_as_good("head_twice"), "the same head twice answers as well"
