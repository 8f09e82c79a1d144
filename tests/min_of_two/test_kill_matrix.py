"""Every claim can be refuted, and by what: claims by mutants, as one matrix."""

from __future__ import annotations

import math
import re

import pytest
import torch

from models.min_of_two import FAMILY
from models.min_of_two.constructed import CONSTRUCTED
from models.min_of_two.training import Recipe, Training
from models.min_of_two.weights import canonical_weights, untrained_parameters, with_zero_biases
from tests.conftest import DIFFERENT, subject_of
from tests.kill import answers, judged, subject_with
from tests.min_of_two.mutants import Original, mutants_of

pytestmark = pytest.mark.slow
CONSTRUCTED_OPERANDS = 104
BRIEF = Recipe(number_of_operands=64, epochs=100, threads=1)
UNTRAINED_SEEDS = (7, 8)
NOISE = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

NO_FILE = "no file can be so: the architecture makes it true. Refuted in test_mutants.py."
PROVED = "it is a theorem, if the certificate is right. Refuted in test_mutants.py by a wrong one."
IS_ACCURACY = "it is accuracy."
FOLLOWS = "it follows from accuracy: "
NONE_CAN_EXIST = {
    "test_attention_only_without_normalization": NO_FILE,
    "test_the_pattern_is_the_softmax_of_the_scores": NO_FILE,
    "test_it_is_the_same_on_every_input": NO_FILE,
    "test_no_run_is_below_its_proof": PROVED,
    "test_accuracy_on_all_inputs": IS_ACCURACY,
    "test_accuracy_on_held_out_inputs": FOLLOWS + "40 wrong inputs are too few.",
    "test_the_larger_operand_does_not_matter": FOLLOWS
    + "the resampled input is answered as rightly as any.",
}
ACCURACY = "test_accuracy_on_all_inputs[0.999]"


def judged_all(weights):
    """Of canonical weights by name."""
    subjects = ((name, subject_with("min_of_two", one)) for name, one in weights.items())
    return judged("min_of_two", subjects, answers(ACCURACY), NONE_CAN_EXIST)


@pytest.fixture(scope="module")
def matrix():
    original = Original(canonical_weights(subject_of(FAMILY.reference).checkpoint))
    weights = {"original": original.weights, **mutants_of(original)}
    weights["retrained_seed_5"] = canonical_weights(subject_of(DIFFERENT).checkpoint)
    weights["trained_too_briefly"] = trained_too_briefly()
    for seed in UNTRAINED_SEEDS:
        parameters = untrained_parameters(original.n, 32, 32, seed)
        weights[f"untrained_{seed}"] = with_zero_biases(parameters)
    for name, algorithm in CONSTRUCTED.items():
        weights[name] = algorithm(CONSTRUCTED_OPERANDS)
    return judged_all(weights)


@pytest.fixture(scope="module")
def noisy():
    original = Original(canonical_weights(subject_of(FAMILY.reference).checkpoint))
    return judged_all({f"noise_{scale}": original.noisy(scale) for scale in NOISE})


@torch.enable_grad()
def trained_too_briefly():
    training = Training(BRIEF)
    for _ in range(BRIEF.epochs):
        training.advance()
    return with_zero_biases(training.weights_of(0))


def test_every_claim_is_refuted_by_a_mutant_that_answers_as_well(matrix, show):
    show("claims by mutants", str(matrix))
    assert matrix.without_a_reason() == []


def test_every_mutant_is_refuted(matrix, show):
    """By a claim that holds of the original: not by what is overstated anyway."""
    score = f"{len(matrix.found) - len(matrix.alive())} of {len(matrix.found)} are refuted"
    show("mutation score", f"{score}; not refuted: {', '.join(matrix.alive())}")
    assert matrix.alive() == ["original", "attend_to_the_min_and_copy"]


def test_noise_refutes_more_and_more(noisy, show):
    """The smallest noise at which each claim falls; each falls where the model is gone."""
    by_scale = {}
    for claim in noisy.claims:
        falls = [s for s in NOISE if noisy.verdict(claim, f"noise_{s}") == "refuted"]
        by_scale.setdefault(min(falls, default=math.inf), []).append(claim.removeprefix("test_"))
    lines = [f"{scale:g}: {', '.join(claims)}" for scale, claims in sorted(by_scale.items())]
    show("the smallest relative noise at which each claim falls", "\n".join(lines))
    refuted = [
        [noisy.verdict(claim, f"noise_{scale}") for claim in noisy.claims].count("refuted")
        for scale in NOISE
    ]
    assert refuted == sorted(refuted)
    assert refuted[0] < refuted[-4] < refuted[-3] < refuted[-2] < refuted[-1]
    told = [name for name, claim in noisy.told.items() if "xfail" not in claim.marks]
    unharmed = [s for s in NOISE if all(noisy.verdict(c, f"noise_{s}") != "refuted" for c in told)]
    assert max(unharmed, default=0) <= 0.01


def test_the_story_written_by_hand_holds_in_every_claim(matrix):
    by_hand = "attend_to_the_min_and_copy"
    assert set(matrix.verdicts(by_hand).values()) == {"holds"}
    assert matrix.measured("test_the_row_is_strictly_decreasing[1.0]", by_hand) == 1


@pytest.mark.parametrize("mutant", ["vote_against_all_above", "vote_with_equals"])
def test_right_answers_by_another_mechanism_are_refuted(matrix, mutant):
    """All of attention but its averages, the QK circuit, and what interventions say of the two."""
    assert matrix.measured(ACCURACY, mutant) == 1.0
    refuted = matrix.that_are("refuted", mutant)
    assert refuted >= {
        "test_more_attention_on_the_min",
        "test_always_more_attention_on_the_min",
        "test_attention_on_the_smaller_operand",
        "test_all_attention_on_the_min",
        "test_attention_on_the_min_at_a_gap",
        "test_preference_for_the_min_grows_with_the_gap",
        "test_the_attended_token_gets_the_highest_logit",
        "test_the_diagonal_is_strong",
        "test_the_row_falls_at_almost_every_step",
        "test_smaller_numbers_get_higher_scores",
        "test_the_row_is_strictly_decreasing",
        "test_swapped_attention_gives_the_max",
        "test_the_value_attended_to_is_the_answer",
        "test_the_ov_diagonal_is_enough",
    }
    assert (mutant == "vote_with_equals") == ("test_mean_attention_to_itself" in refuted)
    assert not refuted & {"test_accuracy_on_all_inputs", "test_the_larger_operand_does_not_matter"}


def test_ratios_of_nothing_are_errors_and_no_verdicts(matrix):
    """Rows without a range, and an OV circuit whose eigenvalues are all 0: 0 / 0 is no number."""
    assert matrix.that_are("error", "vote_against_all_above") == {
        "test_the_copying_score",
        "test_where_the_row_rises_it_rises_little",
        "test_the_row_of_equals_has_the_most_structure",
    }


@pytest.mark.parametrize("seed", UNTRAINED_SEEDS)
def test_no_untrained_model_passes_a_claim(matrix, seed):
    for name, claim in matrix.told.items():
        expected = "holds" if "precondition" in claim.marks else "refuted"
        assert matrix.verdict(name, f"untrained_{seed}") == expected, name


@pytest.mark.parametrize(
    ("precondition", "mutant"),
    [
        ("test_one_head[1]", "head_twice"),
        ("test_biases_and_positions_are_zero[0]", "prefers_the_first"),
        ("test_biases_and_positions_are_zero[0]", "logit_bias"),
        ("test_scores_are_the_qk_circuit[1]", "prefers_the_first"),
        ("test_scores_are_the_qk_circuit[1]", "key_bias"),
        ("test_logits_are_pattern_ov_and_direct_path[1]", "logit_bias"),
        ("test_the_same_algebra_under_any_attention[1]", "logit_bias"),
        ("test_the_order_of_the_operands_does_not_matter[1]", "prefers_the_first"),
        ("test_the_weights_alone_tell_which_inputs_are_wrong[0.0]", "logit_bias"),
    ],
)
def test_preconditions_are_refuted_by_what_they_exclude(matrix, precondition, mutant):
    assert matrix.verdict(precondition, mutant) == "refuted"


def test_two_heads_are_errors_and_not_verdicts(matrix):
    assert matrix.verdict("test_the_row_falls_at_almost_every_step[0.95]", "head_twice") == "error"
    assert matrix.is_as_good("head_twice"), "the same head twice answers as well"


def test_a_refutation_can_be_read_and_repeated(run_claims):
    run = run_claims("claims/min_of_two/test_attention.py", f"--checkpoint={DIFFERENT}")
    again = re.search(r"again: pytest '(claims/\S+at_a_gap\S+)' (--checkpoint=\S+)", run.output)
    assert again is not None
    repeated = run_claims(again[1], again[2])
    assert repeated.status == pytest.ExitCode.TESTS_FAILED
    assert "refuted of" in repeated.output
    assert "Traceback" not in repeated.output
    assert "judging.py" not in repeated.output
