"""Preconditions that no file can break, refuted by what is changed here."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from claims.min_of_two import test_certificates, test_direct_path, test_preconditions
from mechanistic_claims.measurement.activations import Activations
from mechanistic_claims.measurement.interventions.verbs import Interventions
from mechanistic_claims.verdict.verdict import Judge


def test_a_pattern_that_is_no_softmax_is_refuted(reference):
    judge = Judge()
    scores = reference.activations.attention_scores
    changed = SimpleNamespace(
        attention=scores.softmax(dim=-1) * 1.0001,
        attention_scores=scores,
        rounding=reference.activations.rounding,
    )
    test_preconditions.test_the_pattern_is_the_softmax_of_the_scores(
        reference.task, changed, judge, 1
    )
    assert judge.verdict is not None
    assert not judge.verdict.holds


class Normalized:
    """The reference model with a normalization that its weights don't tell of."""

    def __init__(self, model):
        self.model = model

    def run_with_hooks(self, inputs, fwd_hooks):
        def normalize(residual, hook):
            return residual / residual.norm(dim=-1, keepdim=True)

        return self.model.run_with_hooks(inputs, [("unembed.hook_in", normalize), *fwd_hooks])


def test_a_normalization_is_refuted(reference):
    judge = Judge()
    activations = Activations(replace(reference.parts, model=Normalized(reference.model)))
    test_preconditions.test_attention_only_without_normalization(activations, judge, 1)
    assert judge.verdict is not None
    assert not judge.verdict.holds


@pytest.mark.parametrize("how", ["mean", "resample"])
def test_a_direct_path_that_differs_between_inputs_is_refuted(reference, how):
    activations, changed = reference.activations, Activations(reference.parts)
    written = activations.read("hook_embed")
    noise = torch.randn(written.shape, generator=torch.Generator().manual_seed(0))
    changed.passes.known["whole", "hook_embed"] = written + 30 * noise
    intervene = Interventions(reference.parts, changed, reference.circuits)
    judge = Judge()
    test_direct_path.test_it_is_the_same_on_every_input(
        reference.task, activations, intervene, judge, how, 0.0
    )
    assert judge.verdict is not None
    assert not judge.verdict.holds


def test_a_proof_of_another_model_is_refuted_by_runs(reference, small):
    judge = Judge()
    test_certificates.test_no_run_is_below_its_proof(
        small.sampled, reference.certificate, judge, 4, 0.0
    )
    assert judge.verdict is not None
    assert not judge.verdict.holds
