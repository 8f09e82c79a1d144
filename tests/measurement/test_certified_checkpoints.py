"""What is certified of trained checkpoints, by ball arithmetic, by runs and by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.certificates.compactness import CountOperations
from mechanistic_claims.measurement.measures import margin, share
from models.min_of_two.constructed import CONSTRUCTED
from tests.conftest import DIFFERENT, REAL, small_weights, subject_of
from tests.measurement.balls import Balls

is_here = pytest.mark.skipif(
    not REAL.exists(), reason=f"the write-up's checkpoint is not at {REAL.name}"
)


def safe_lists_in_balls(known, n, length):
    """The lists of the separable certificate: of an answer and tokens that are safe for it."""
    lists = 0
    for answer in range(n):
        rivals = [j for j in range(n) if j != answer]
        own, query = known.terms(n, 0, answer, answer), known.terms(n, 1, n, answer)
        least = [-(own[j] + query[j]) / (length - 1) for j in rivals]
        safe = 0
        for token in range(answer + 1, n):
            h = known.terms(n, 0, token, answer)
            safe += all(h[j] > bound for j, bound in zip(rivals, least, strict=True))
        if all(length * own[j] + query[j] > 0 for j in rivals):
            lists += (safe + 1) ** length - safe**length
        else:
            lists += length * safe ** (length - 1)
    return lists


def certified_as_in_balls(subject, lengths):
    known = Balls(subject.weights, places=2)
    for length in lengths:
        lists = safe_lists_in_balls(known, 200, length)
        assert subject.certificate.separable(length).accuracy == lists / 200**length
        if length == 2:
            counted = subject.certificate.counted(2)
            assert lists / 200**2 == pytest.approx(counted.at_least, abs=2e-9)
            assert lists / 200**2 == share(subject.activations.correct)


@pytest.mark.slow
def test_the_reference_is_certified_as_in_ball_arithmetic(reference):
    certified_as_in_balls(reference, [2, 4])


@pytest.mark.slow
@is_here
def test_the_real_checkpoint_is_certified_as_in_ball_arithmetic():
    certified_as_in_balls(subject_of(REAL), [2, 3, 4, 8])


@is_here
def test_the_real_checkpoint_is_certified_as_derived_by_hand():
    """DESIGN's numbers of the first bound; the tighter count is between it and what is true."""
    subject = subject_of(REAL)
    by_hand = {2: 0.99965, 3: 0.998689, 4: 0.988287, 8: 0.933199}
    for length, accuracy in by_hand.items():
        assert subject.certificate.separable(length).accuracy == pytest.approx(accuracy, abs=5e-7)
    reached = {2: 0.99964, 4: 0.998, 8: 0.994, 16: 0.98}
    for length, accuracy in reached.items():
        counted = subject.certificate.counted(length)
        assert accuracy <= counted.at_least <= counted.at_most
        assert counted.at_most - counted.at_least < 1e-8


@pytest.mark.slow
def test_triples_are_counted_as_the_model_answers_them(reference):
    """All 8,000,000 lists of three, as 1,353,400 of them in ascending order."""
    numbers = torch.arange(200)
    lists = torch.combinations(numbers, 3, with_replacement=True)
    different = 1 + (lists[:, 0] != lists[:, 1]).int() + (lists[:, 1] != lists[:, 2]).int()
    ways = torch.tensor([0, 1, 3, 6])[different]
    counted = reference.certificate.counted(3)
    inputs = torch.nn.functional.pad(lists, (0, 1), value=reference.task.query)
    right = margin(reference.logits_of(inputs), lists[:, 0]) > 0
    accuracy = int(ways[right].sum()) / 200**3
    assert int(ways.sum()) == 200**3
    assert accuracy == pytest.approx(counted.at_least, abs=1e-6)
    assert accuracy >= reference.certificate.counted(3, as_executed=True).at_least


@pytest.mark.slow
def test_dearer_proofs_prove_more(reference):
    found = {(p.name, p.length): p for p in reference.certificate.proofs((2, 3))}
    for length in (2, 3):
        relaxed, separable, counted, enumerated = (
            found[name, length].bound for name in ("relaxed", "separable", "counted", "enumerated")
        )
        assert relaxed < separable < counted + 2e-9
        assert counted == pytest.approx(enumerated, abs=2e-9)
    cost = {key: proof.operations for key, proof in found.items()}
    assert cost["relaxed", 3] < cost["separable", 3] < cost["counted", 3]
    sums_of_lists = math.comb(200 + 2, 3) * 199  # those in ascending order, against each rival
    assert cost["enumerated", 3] > max(sums_of_lists, cost["counted", 3])


def test_operations_are_counted_as_they_are_done():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    with CountOperations() as counter:
        (a @ b).exp().sum()
    assert counter.operations == 2 * 3 * 4 * 5 + 15 + 15


def test_what_is_too_long_to_enumerate_is_said(reference):
    with pytest.raises(CannotJudge, match="too many lists of 5 tokens"):
        reference.certificate.enumerated(5)


def test_runs_on_longer_lists_are_as_often_right_as_certified(reference):
    for length in (4, 16):
        right = reference.sampled(length, 50_000)
        counted = reference.certificate.counted(length)
        deviation = math.sqrt(counted.at_least * (1 - counted.at_least) / 50_000)
        assert abs(right - counted.at_least) < 4 * deviation


def test_the_story_written_by_hand_is_certain(save):
    by_hand = subject_of(save(CONSTRUCTED["attend_to_the_min_and_copy"](20)))
    for length in (1, 2, 3, 8, 32):
        separable = by_hand.certificate.separable(length)
        assert separable.witness.shape == (0, length + 1)
        assert separable.accuracy == 1.0
        assert by_hand.certificate.counted(length).at_least > 1 - 1e-8
        assert by_hand.certificate.counted(length, as_executed=True).at_least > 1 - 1e-8


@pytest.mark.slow
def test_work_ends_and_the_number_is_a_limit_then():
    """Of a model whose count is not done after the usual work: more is done where it may decide."""
    deviant = subject_of(DIFFERENT).certificate
    usual, asked = deviant.counted(8), deviant.counted(8, asked=0.994)
    assert usual.at_least < 0.994 < asked.at_least < 0.99886 < asked.at_most
    assert str(asked.at_least.domain) == (
        f"certified (a limit: {asked.at_least.domain.undecided:.2g} of all cases are undecided)"
    )
    assert 0 < asked.at_least.domain.undecided < usual.at_least.domain.undecided
    assert asked.at_least + asked.at_least.domain.undecided <= asked.at_most + 1e-6
    for settled in (0.5, 0.9999):  # reached, or out of reach, after the usual work
        assert deviant.counted(8, asked=settled).at_least == usual.at_least


def test_what_is_counted_to_the_end_is_no_limit(reference):
    for length in (4, 8):
        assert str(reference.certificate.counted(length).at_least.domain) == "certified"
        executed = reference.certificate.counted(length, as_executed=True, asked=0.99).at_least
        assert str(executed.domain) == "certified"
        assert 0 <= reference.certificate.counted(length).at_least - executed < 3e-8


def test_witnesses_fail_on_the_model(reference):
    """Run with a context as long as the witness."""
    separable = reference.certificate.separable(4)
    answers, lists = separable.answer, separable.witness
    assert torch.equal(lists[:, :-1].amin(dim=-1), answers)
    margins = margin(reference.logits_of(lists), answers)
    assert len(answers) > 50
    assert share(margins <= 0) == 1.0


def test_an_untrained_model_certifies_next_to_nothing(save):
    untrained = subject_of(save(small_weights(200, 32))).certificate
    assert untrained.counted(8).at_least < 0.001
    assert untrained.separable(3).accuracy < 0.01
    assert untrained.relaxed(3) < 0.01


@pytest.mark.parametrize("length", [0, 1025])
def test_a_length_that_is_not_served_is_said(reference, length):
    with pytest.raises(CannotJudge, match=rf"lists of {length} tokens: expected 1 to 1024"):
        reference.certificate.counted(length)


def test_biases_and_positions_are_not_certified(save):
    weights = small_weights()
    weights["unembed.b_U"] = weights["unembed.b_U"] + 1.0
    with pytest.raises(CannotJudge, match=r"unembed.b_U are not zero"):
        _ = subject_of(save(weights)).certificate
    weights = small_weights()
    weights["pos_embed.W_pos"] = weights["pos_embed.W_pos"] + 1.0
    subject = subject_of(save(weights, "positions.safetensors"))
    with pytest.raises(CannotJudge, match="its positions are trained: 3 of them"):
        subject.logits_of(subject.task.random_lists(4, 10))


def test_the_picture_of_a_claim_is_of_its_length_and_ends_with_its_own_proof(reference):
    found = reference.certificate.left_open(3, 0.998)
    assert found.title == "What each proof leaves open, of lists of 3"
    shares = found.certified()
    assert list(shares) == ["relaxed", "separable", "counted"]
    assert 0.9 < shares["relaxed"] < shares["separable"] < shares["counted"]
    assert shares["counted"] == pytest.approx(0.999415375, abs=2e-9), "by enumeration of 200³ lists"
