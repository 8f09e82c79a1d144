"""What is certified of shipped checkpoints of max_of_four, by every list and by runs."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange

from claims.max_of_four import test_certificates
from mechanistic_claims.measurement.certificates import counting
from mechanistic_claims.measurement.measures import margin, share
from mechanistic_claims.verdict.verdict import Judge
from models.max_of_four import FAMILY
from models.max_of_four.constructed import CONSTRUCTED
from tests.conftest import subject_of
from tests.kill import subject_with

SHIPPED = [FAMILY.reference, FAMILY.reference.parent / "refuted" / "seed25.safetensors"]
RUN = 1_000_000
AT_ONCE = 2**17
LISTS = 64**4


@pytest.fixture(scope="module")
def of_four():
    return subject_of(FAMILY.reference, "max_of_four")


def additive_form(weights, lists):
    """Of each list sum_i w_i L_i[j], less the greatest w: its logits, as they stand to each other.

    And the attention that the weights w are, both in float64.
    """
    q, k, v, o = (getattr(weights, name).squeeze() for name in ("W_Q", "W_K", "W_V", "W_O"))
    u = weights.W_U
    read = weights.W_E + rearrange(weights["pos_embed.W_pos"], "place d -> place 1 d")
    scores = (read[-1] @ q) @ rearrange(read @ k, "place token d -> place d token")
    places = torch.arange(lists.shape[1])
    of_lists = scores[places, lists[:, -1:], lists] / q.shape[-1] ** 0.5
    w = (of_lists - of_lists.amax(dim=-1, keepdim=True)).exp()
    moved, direct = (read @ v @ o @ u)[places, lists], (read[-1] @ u)[lists[:, -1:]]
    sums = (w[..., None] * (moved + direct)).sum(dim=1)
    return sums, w / w.sum(dim=-1, keepdim=True)


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_as_many_are_counted_as_are_right_one_by_one(path):
    certificate = subject_of(path, "max_of_four").certificate
    counted, enumerated = certificate.counted(4), certificate.enumerated(4)
    assert counted.at_least <= enumerated <= counted.at_most
    assert counted.at_most - counted.at_least < 1e-8


@pytest.mark.slow
def test_the_model_answers_as_its_additive_form(of_four):
    """A million random lists, one by one, but where two logits differ by what rounding may lose."""
    lists = torch.randint(64, (RUN, 4), generator=torch.Generator().manual_seed(1))
    undecided = 0
    for some in lists.split(AT_ONCE):
        labels = some.amax(dim=-1)
        sums, attention = additive_form(of_four.weights, some)
        lost = of_four.activations.rounding.runs(some, attention).squeeze(-1)
        ahead = margin(sums, labels) * attention.amax(dim=-1)
        decided = ahead.abs() > 2 * lost
        right = margin(of_four.logits_of(some)[:], labels) > 0
        assert torch.equal(right[decided], ahead[decided] > 0)
        undecided += int((~decided).sum())
    assert undecided < RUN / 10_000


@pytest.mark.slow
def test_every_list_is_run(of_four, show):
    """All 64^4: as many are right as are counted, but for those that rounding decides."""
    others = torch.cartesian_prod(*[torch.arange(64)] * 3)
    right = 0
    for first in range(64):
        lists = torch.nn.functional.pad(others, (1, 0), value=first)
        right += int((margin(of_four.logits_of(lists)[:], lists.amax(dim=-1)) > 0).sum())
    in_any_run = of_four.certificate.counted(4, as_executed=True).at_least * LISTS
    counted = of_four.certificate.counted(4).at_least * LISTS
    show("max_of_four on every list", f"{right:,} of {LISTS:,}; {counted:.1f}, {in_any_run:.1f}")
    assert in_any_run <= right
    assert abs(right - counted) < 1 + counted - in_any_run


def test_polynomials_alone_leave_little_open(of_four, monkeypatch):
    """As they have to of long lists, whose classes are too many."""
    counted = of_four.certificate.counted(4)
    monkeypatch.setattr(counting, "MOST_PARTS", 0)
    found = of_four.certificate.anew().counted(4)
    assert found.classes == 0
    assert found.at_least <= counted.at_least <= counted.at_most <= found.at_most
    assert found.at_most - found.at_least < 5e-5


def test_witnesses_fail_on_the_model(of_four):
    """Whole lists, of an answer and a last number of which not every list is right."""
    separable = of_four.certificate.separable(4)
    lists = separable.witness
    assert torch.equal(lists.amax(dim=-1), separable.answer)
    assert len(torch.stack([separable.answer, lists[:, -1]]).unique(dim=1).T) == len(lists) > 50
    margins = margin(of_four.logits_of(lists)[:], separable.answer)
    assert share(margins <= 0) == 1.0


def test_a_proof_of_another_model_is_refuted_by_runs(of_four):
    another = subject_with("max_of_four", CONSTRUCTED["copy_the_next"](64, 4))
    verdicts = {}
    for name, run in (("its own", of_four), ("another's", another)):
        judge = Judge()
        test_certificates.test_no_run_is_below_its_proof(
            of_four.task, run.sampled, of_four.certificate, judge, 0.0
        )
        verdicts[name] = judge.verdict and judge.verdict.word
    assert verdicts == {"its own": "holds", "another's": "refuted"}
