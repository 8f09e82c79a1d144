"""Every claim of induction can be refuted, and by what: claims by models, as one matrix."""

from __future__ import annotations

import pytest
import torch

from models.induction.constructed import CONSTRUCTED
from models.induction.training import Recipe, Training
from tests.induction.matrix import Matrix, judged
from tests.induction.mutants import mutants_of
from tests.induction.subjects import FIXED, FIXTURES, shipped, subject_of

pytestmark = pytest.mark.slow
BY_HAND = ("match_the_previous_token_and_copy", "match_in_two_heads")
THE_SAME = ("heads_exchanged", "heads_turned", "noise_that_nobody_reads", "without_the_other_head")
"""Mutants of which the story is as true as of the reference."""
MOVED = ("previous_token_blurred", "induction_blurred")
"""Mutants of the same mechanism, a little less sharp."""
ON_FIXED_BLOCKS = "look_back_by_a_fixed_offset"
FIXED_BLOCKS = Recipe(shortest=32, longest=32, steps=600)
ANSWERED = "the_second_copy_is_answered[0.8]"
PREDICTED = "the_second_copy_is_predicted[1.0]"
AS_ACCURATE, AS_SURE = 0.84, 1.0
"""The story by hand answers .854 of the second copy, and no loss above 1 nat is a prediction."""

NONE_CAN_EXIST = {
    "the_second_copy_is_predicted": "it is the prediction.",
    "the_second_copy_is_answered": "it is the prediction.",
    "it_is_the_first_copy_that_helps": "it follows: nothing tells independent tokens of the first "
    "copy, whose loss is log 64 = 4.16 or more.",
}
"""Why no model that predicts as well can refute a claim."""


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    reference = shipped("reference")
    weights = {"reference": reference, **mutants_of(reference), "seed3": shipped("refuted/seed3")}
    weights |= {name: mechanism() for name, mechanism in CONSTRUCTED.items()}
    weights["untrained"] = Training(Recipe(seed=7)).weights_of(0)
    with torch.no_grad():
        subjects = {name: subject_of(of_model) for name, of_model in weights.items()}
        subjects[ON_FIXED_BLOCKS] = subject_of(weights[ON_FIXED_BLOCKS], FIXED)
        subjects["trained_on_fixed_blocks"] = subject_of(trained_on_fixed_blocks(), FIXED)
        return judged(subjects, "induction", FIXTURES)


@torch.enable_grad()
def trained_on_fixed_blocks():
    training = Training(FIXED_BLOCKS)
    for _ in range(FIXED_BLOCKS.steps):
        training.advance()
    return training.weights_of(0)


def as_good(matrix: Matrix) -> list[str]:
    """The models that predict the second copy."""
    return [
        model
        for model in matrix.models
        if matrix.measured(ANSWERED, model) >= AS_ACCURATE
        and matrix.measured(PREDICTED, model) <= AS_SURE
    ]


def text(matrix: Matrix) -> str:
    """The matrix, each claim with the number of good models that refute it."""
    lines = []
    for i, model in enumerate(matrix.models):
        answered, loss = (matrix.measured(claim, model) for claim in (ANSWERED, PREDICTED))
        lines.append(f"{i:3} {model:44} answers {answered:.3f}, loss {loss:.3f}")
    lines += matrix.numbers
    for claim, row in matrix.rows.items():
        count = len(matrix.kills(claim, as_good(matrix)))
        why = "" if count else "  " + NONE_CAN_EXIST.get(claim.partition("[")[0], "?")
        lines.append(f"{row}  {count}{why}")
    lines.append(
        f"last: by how many models that answer {AS_ACCURATE} or more with a loss of {AS_SURE:g} or "
        "less it is refuted"
    )
    return "\n".join(lines)


def test_every_claim_is_refuted_by_a_model_that_predicts_as_well(matrix, show):
    show("claims by models of induction", text(matrix))
    for claim in matrix.claims:
        impossible = claim.partition("[")[0] in NONE_CAN_EXIST
        assert bool(matrix.kills(claim, as_good(matrix))) != impossible, claim


@pytest.mark.parametrize("model", ["reference", *BY_HAND, *THE_SAME, *MOVED])
def test_the_story_holds_in_every_claim(matrix, model):
    """Written by hand too; no head is named by its number, and none has to be sharp."""
    assert matrix.refuted(model) == set()


def test_every_other_model_is_refuted(matrix):
    told = {"reference", *BY_HAND, *THE_SAME, *MOVED}
    assert [m for m in matrix.models if m not in told and not matrix.refuted(m)] == []


def test_an_untrained_model_passes_no_claim(matrix):
    assert {matrix.verdict(claim, "untrained") for claim in matrix.claims} == {"refuted"}


def test_who_matches_two_tokens_is_refuted_where_one_is_told(matrix):
    """The trained one by three claims, and the one by hand by these and where it reads values."""
    of_two = {"keys_compose_with_it", "it_is_read_as_keys", "it_is_hardly_read_otherwise"}
    for model in ("seed3", "match_two_tokens_and_copy"):
        assert matrix.refuted(model) == of_two
        assert matrix.measured(ANSWERED, model) > 0.98


@pytest.mark.parametrize(
    "model", ["look_one_later_than_the_same_token", "look_one_later_beside_a_previous_token_head"]
)
def test_by_query_is_refuted_where_the_story_tells_of_keys(matrix, model):
    """What the second layer does with what it attends to is the same, and is not refuted."""
    assert matrix.refuted(model) >= {
        "keys_are_matched_through_it",
        "keys_compose_with_it",
        "it_is_read_as_keys",
        "it_is_hardly_read_otherwise",
    }
    assert not matrix.refuted(model) & {
        "they_match_the_prefix",
        "together_they_copy",
        "without_them_the_copy_is_lost",
    }


@pytest.mark.parametrize("model", [ON_FIXED_BLOCKS, "trained_on_fixed_blocks"])
def test_blocks_of_one_length_need_no_previous_token(matrix, model):
    """They are predicted by position alone: all is refuted but behavior, attention and copying."""
    assert matrix.refuted(model) >= {
        "without_it_the_copy_is_lost",
        "no_other_head_of_its_layer_does_it",
        "keys_are_matched_through_it",
        "keys_compose_with_it",
        "it_is_read_as_keys",
        "it_is_hardly_read_otherwise",
    }
    assert matrix.measured(ANSWERED, model) > 0.99
    assert matrix.verdict("they_match_the_prefix[0.5]", model) == "holds"
