"""Every claim can be refuted, and by what: claims by mutants, as one matrix."""

from __future__ import annotations

import pytest

from mechanistic_claims import read_checkpoint
from models.modular_addition import FAMILY
from models.modular_addition.constructed import CONSTRUCTED
from tests.kill import answers, judged, subject_with
from tests.modular_addition.mutants import Original, mutants_of, the_same_mechanism
from tests.modular_addition.twins import drawn, lookup, no_decay

pytestmark = pytest.mark.slow
NUMBERS = 31
"""Of models that are written by hand, or fitted to all pairs: the claims take a second of each."""
BY_HAND = "add_angles"
PIZZAS = ("pizza_trained", "average_angles", "pizza_with_a_constant", "multiply_by_attending")
PIZZA = FAMILY.reference.parent / "refuted" / "pizza.safetensors"
TWINS = ("lookup", "no_decay")
TABLES = ("look_up_pairs", "look_up_waves", "count_along_a_line")
UNTRAINED = "untrained"

NONE_CAN_EXIST = {
    "test_accuracy_on_all_inputs": "it is accuracy.",
    "test_heads_bring_the_numbers": "it follows from accuracy: without what heads bring, '=' is "
    "the same on every input, and its one answer is right on 1 / p of them.",
}
ACCURACY = "test_accuracy_on_all_inputs[0.999]"


def stored(path):
    """The canonical weights of a file."""
    return FAMILY.reading.canonical(read_checkpoint(path, "modular_addition", FAMILY))


@pytest.fixture(scope="module")
def matrix():
    original = Original(stored(FAMILY.reference))
    weights = {
        "original": original.weights,
        **the_same_mechanism(original),
        **mutants_of(original),
        "pizza_trained": stored(PIZZA),
    }
    others = {name: algorithm(NUMBERS) for name, algorithm in CONSTRUCTED.items()}
    pizza = Original(others["average_angles"])
    others["pizza_with_a_constant"] = pizza.with_a_constant(20.0)
    others |= {"lookup": lookup(NUMBERS), "no_decay": no_decay(NUMBERS), UNTRAINED: drawn(NUMBERS)}
    subjects = (
        (name, subject_with("modular_addition", one)) for name, one in {**weights, **others}.items()
    )
    return judged("modular_addition", subjects, answers(ACCURACY), NONE_CAN_EXIST)


def test_every_claim_is_refuted_by_a_mutant_that_answers_as_well(matrix, show):
    show("modular_addition: claims by mutants", str(matrix))
    assert matrix.without_a_reason() == []


def test_what_has_the_same_mechanism_refutes_nothing(matrix):
    """Other keys, what softmax does not see, and a greater sureness; and all else is refuted."""
    same = ["times_five", "a_constant_on_logits", "three_times_as_loud"]
    assert matrix.alive() == ["original", *same, BY_HAND]
    for mutant in same:
        assert matrix.verdicts(mutant) == matrix.verdicts("original"), mutant


def test_the_story_written_by_hand_holds_in_every_claim(matrix):
    """But in what is overstated, and false of the trained model as well."""
    assert matrix.that_are("refuted", "original") == {"test_each_of_them_is_needed"}
    for mutant in ("original", BY_HAND):
        assert not matrix.refuted_by(mutant) | matrix.that_are("error", mutant), mutant


@pytest.mark.parametrize("twin", [*TWINS, *TABLES])
def test_who_knows_all_answers_by_heart_is_refuted(matrix, twin):
    assert matrix.is_as_good(twin)
    refuted = matrix.that_are("refuted", twin)
    assert refuted >= {
        "test_it_is_of_the_key_frequencies",
        "test_nothing_else_in_it_is_needed",
        "test_without_them_the_answer_is_lost",
        "test_each_is_of_one_frequency",
    }
    writes_waves = twin == "look_up_waves"
    assert ("test_they_are_waves_of_the_key_frequencies" in refuted) != writes_waves
    assert ("test_they_write_the_key_frequencies" in refuted) != writes_waves


@pytest.mark.parametrize("pizza", PIZZAS)
def test_a_pizza_does_not_exclude_its_rival_story(matrix, pizza):
    assert matrix.is_as_good(pizza)
    assert "test_it_averages_angles" in matrix.that_are("refuted", pizza)


def test_who_has_no_use_for_an_mlp_is_refuted_by_interventions(matrix):
    refuted = matrix.that_are("refuted", "multiply_by_attending")
    assert refuted >= {
        "test_the_answer_comes_through_the_mlp",
        "test_heads_write_nothing_to_the_logits_themselves",
        "test_each_is_of_one_frequency",
    }


def test_a_key_that_is_hardly_used_is_found(matrix):
    assert matrix.refuted_by("use_one_key_hardly") == {
        "test_each_key_is_used",
        "test_no_other_is_used_like_them",
    }


@pytest.mark.parametrize(
    ("mutant", "claim"),
    [
        ("unread_noise", "test_it_is_of_the_key_frequencies"),
        ("silent_neurons", "test_they_write_the_key_frequencies"),
    ],
)
def test_weights_that_nothing_uses_are_a_false_alarm_of_one_claim(matrix, mutant, claim):
    """What nothing reads, or never fires, has a spectrum too: both claims are of all weights."""
    assert matrix.measured(ACCURACY, mutant) == matrix.measured(ACCURACY, "original")
    assert matrix.refuted_by(mutant) == {claim}


def test_ratios_of_nothing_are_errors_and_no_verdicts(matrix):
    """Right logits that are all the same have no spread, and a silent MLP writes no spectrum."""
    for table in ("look_up_pairs", "count_along_a_line"):
        assert matrix.that_are("error", table) == {"test_it_averages_angles"}
    silent = matrix.that_are("error", "multiply_by_attending")
    assert silent == {"test_they_write_the_key_frequencies"}


def test_no_untrained_model_passes_a_claim(matrix):
    """But that it is no pizza, which is a rival's and no claim of this story."""
    assert matrix.that_are("holds", UNTRAINED) == {"test_it_averages_angles"}
