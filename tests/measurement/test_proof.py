"""What is proved of each logit, held to ball arithmetic of 400 bits and to runs in each type."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from mechanistic_claims import CannotJudge, at, proved, share
from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.certificates.proof import Arithmetic, Proof
from mechanistic_claims.measurement.subject import Subject
from tests.measurement.arb_transformer import logits_of
from tests.plain_transformer import Kind, Questions

HALVES = (torch.bfloat16, torch.float16)
DTYPES = (torch.float64, torch.float32, *HALVES)
KINDS = [Kind(layers, heads, mlp) for layers, heads, mlp in product((1, 2), (1, 2), (None, "relu"))]
FEW = Questions(count=2)
NARROW = 1e-6
"""How wide a logit of so small a model may be in exact arithmetic, over the greatest of all."""
SHARP = (0.0, 1.0, 30.0, 1000.0)
"""Times the scores of random weights: all attention alike, and all of it on one position."""


def weights_of(kind, seed, sharp=1.0, loud=1.0, dtype=torch.float64):
    """Random weights, with scores and logits so many times as large."""
    by = {"attn.W_Q": sharp, "attn.b_Q": sharp, "unembed.W_U": loud}
    return {
        name: (w * next((f for end, f in by.items() if name.endswith(end)), 1.0)).to(dtype)
        for name, w in kind.weights(seed).items()
    }


def outside(ball, weights, task, causal=True):
    """How many logits are, in exact arithmetic, certainly not in their balls."""
    rows = [list(logits_of(weights, tokens, causal)) for tokens in task.inputs.tolist()]
    exact = [x for row, position in task.answer_positions.tolist() for x in rows[row][position]]
    pairs = zip(ball.center.flatten().tolist(), ball.radius.flatten().tolist(), exact, strict=True)
    return sum(bool(abs(number - arb(center)) > arb(radius)) for center, radius, number in pairs)


class Unchecked(Proof):
    """What is proved whatever a run does, which may overflow."""

    def _require_as_run(self, logits):
        pass


def unchecked(subject):
    return Unchecked(subject.activations, getattr(torch, subject.checkpoint.dtype))


def run_outside(subject):
    """How many logits of the real run are not in their balls; of one that overflows, whether all
    were said to be known.
    """
    ball = unchecked(subject).logits
    try:
        found = plain(subject.activations.logits).double()
    except CannotJudge:
        return int(ball.radius.isfinite().all())
    return int((~((found - ball.center).abs() <= ball.radius)).sum())


@settings(deadline=None, max_examples=15)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    sharp=st.sampled_from(SHARP),
    dtype=st.sampled_from(DTYPES),
)
def test_exact_logits_are_in_their_balls(kind, seed, sharp, dtype):
    weights = weights_of(kind, seed, sharp, dtype=dtype)
    subject = kind.subject(FEW, weights)
    exact = Unchecked(subject.activations, torch.float64).logits
    assert outside(exact, weights, FEW) == 0
    assert outside(unchecked(subject).logits, weights, FEW) == 0
    if sharp <= 1:
        assert exact.radius.max() <= NARROW * exact.center.abs().max()


def test_without_a_mask_logits_are_in_their_balls_too():
    """And are those of the run, to which the proof is held."""
    kind = Kind(1, 2, "relu", attention="bidirectional")
    subject = kind.subject(FEW)
    assert outside(subject.proof.exact.logits, kind.weights(), FEW, causal=False) == 0
    assert outside(subject.proof.exact.logits, kind.weights(), FEW) > 0


@settings(deadline=None, max_examples=15)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    sharp=st.sampled_from(SHARP),
    loud=st.sampled_from((1.0, 30.0)),
    dtype=st.sampled_from(DTYPES),
)
def test_runs_are_in_their_balls(kind, seed, sharp, loud, dtype):
    assert run_outside(kind.subject(Questions(), weights_of(kind, seed, sharp, loud, dtype))) == 0


def test_a_margin_is_below_that_of_the_run_and_not_far():
    kind = Kind(mlp="relu")
    subject = kind.subject(Questions(), weights_of(kind, 0, dtype=torch.float32))
    run = plain(subject.activations.margin).double()
    for one, near in ((subject.proof, 0.1), (subject.proof.exact, 1e-6)):
        below = (run - plain(one.margin)) / run.abs().max()
        assert float(below.min()) > -1e-6
        assert float(below.max()) < near


def of_small_values():
    """Logits come through a head alone, whose values are about the least that float16 has."""
    weights = {name: torch.zeros_like(w) for name, w in weights_of(Kind(1, 1), 0).items()}
    some, read = torch.rand(2, 9, 4, generator=torch.Generator().manual_seed(0)).double()
    weights["embed.W_E"][:4, :4] = 2.0**-10 * some[:4]
    weights["blocks.0.attn.W_V"][0, :4] = 2.0**-12
    weights["blocks.0.attn.W_O"][0, :, 4:] = 2.0**12
    weights["unembed.W_U"][4:] = read.T
    return weights


FORGOTTEN = {
    "unit": (Kind(mlp="relu"), weights_of(Kind(mlp="relu"), 0), torch.bfloat16),
    "tiny": (Kind(1, 1), of_small_values(), torch.float16),
}


@pytest.mark.parametrize("lost", FORGOTTEN)
def test_arithmetic_that_forgets_what_is_lost_is_caught(monkeypatch, lost):
    """Rounding of sums, or what underflows: without it there is a run that is outside."""
    kind, weights, dtype = FORGOTTEN[lost]
    subject = kind.subject(Questions(), {name: w.to(dtype) for name, w in weights.items()})
    assert run_outside(subject) == 0
    made = Arithmetic.__init__

    def forgetting(self, dtype):
        made(self, dtype)
        setattr(self, lost, 0.0)

    monkeypatch.setattr(Arithmetic, "__init__", forgetting)
    assert run_outside(subject) > 0


@pytest.mark.parametrize("dtype", HALVES)
def test_what_may_overflow_proves_nothing(dtype):
    """Where sums of moduli could, in another order of them, though this run does not."""
    weights = weights_of(Kind(), 0, loud=torch.finfo(dtype).max / 100)
    subject = Kind().subject(Questions(), {name: w.to(dtype) for name, w in weights.items()})
    assert subject.activations.logits.isfinite().all()
    assert (plain(subject.proof.margin) == -torch.inf).any()
    assert (plain(subject.proof.exact.margin) > -torch.inf).all()


@pytest.mark.parametrize("kind", [Kind(norm="LN"), Kind(mlp="gelu")])
def test_what_is_not_covered_is_refused(kind):
    with pytest.raises(CannotJudge, match="what rounding may do is known of attention and of the"):
        _ = kind.subject(Questions()).proof.margin


def test_of_a_sample_a_proof_stays_a_sample():
    subject = Kind().subject(Questions(is_sample=True))
    certain = subject.proof.margin > -torch.inf
    assert proved(share(certain)).domain.kind == "sampled"
    subject = Kind().subject(Questions())
    found = proved(share(subject.proof.margin > -torch.inf))
    assert (found, found.domain.kind) == (1.0, "certified")
    assert type(found.low) is float


def test_a_label_is_ahead_by_so_much():
    """The margin is of the labels, not of what is answered."""
    subject = Kind().subject(Questions())
    ball, labels = subject.proof.exact.logits, subject.task.labels
    own = at(ball.center, labels)
    others = ball.center.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    assert (plain(subject.proof.exact.margin) - (own - others)).abs().max() < 1e-9


def test_of_a_network_that_computes_something_else_nothing_is_proved():
    """Its formulas are those of the weights that its folder tells of, and not what it does."""
    one, other = Kind().subject(Questions()), Kind().subject(Questions(), weights_of(Kind(), 1))
    parts = replace(one.parts, model=other.parts.model)
    told = Subject(one.checkpoint, parts, one.device)
    for proof in (told.proof, told.proof.exact):
        with pytest.raises(CannotJudge, match="this network is another"):
            _ = proof.margin
