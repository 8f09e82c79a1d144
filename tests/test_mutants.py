"""Claims can be refuted: by models that are untrained, or that break what the story rests on."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from claims.min_of_two import test_direct_path, test_preconditions
from fixtures.activations import cache_activations
from fixtures.interventions import Interventions
from fixtures.verdict import Judge
from models.min_of_two import REFERENCE
from models.min_of_two.weights import canonical_weights
from tests.conftest import small_weights, subject_of

UNTRAINED_SEEDS = (7, 8, 9)


def mutants() -> dict[str, dict[str, torch.Tensor]]:
    """Changes to the reference checkpoint, each aimed at preconditions."""
    weights = canonical_weights(subject_of(REFERENCE).checkpoint)

    def noise(name: str, scale: float) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        change = torch.randn(weights[name].shape, generator=generator) * scale
        return {**weights, name: weights[name] + change}

    attention = [name for name in weights if ".attn." in name and "b_O" not in name]
    twice = {name: torch.cat([weights[name], weights[name]]) for name in attention}
    return {
        "positions": noise("pos_embed.W_pos", 0.1),
        "key_bias": noise("blocks.0.attn.b_K", 0.1),
        "logit_bias": noise("unembed.b_U", 3.0),
        "too_large": {**weights, "embed.W_E": weights["embed.W_E"] * 1e25},
        "half_attention": {
            **weights,
            "blocks.0.attn.W_Q": weights["blocks.0.attn.W_Q"] / 2,
        },
        "two_heads": {**weights, **twice},
        **{f"untrained{seed}": small_weights(200, 32, seed) for seed in UNTRAINED_SEEDS},
    }


@pytest.fixture(scope="module")
def of_mutants(run_claims, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutants")
    for name, weights in mutants().items():
        torch.save(weights, folder / f"{name}.pt")
    return run_claims("claims/", "-n", "auto", "--checkpoint", f"{folder}/*.pt")


@pytest.mark.parametrize(
    ("precondition", "mutant"),
    [
        ("test_one_head[1]", "two_heads"),
        ("test_biases_and_positions_are_zero[0]", "positions"),
        ("test_biases_and_positions_are_zero[0]", "logit_bias"),
        ("test_scores_are_the_qk_circuit[8]", "positions"),
        ("test_scores_are_the_qk_circuit[8]", "key_bias"),
        ("test_logits_are_pattern_ov_and_direct_path[8]", "logit_bias"),
        ("test_the_same_algebra_under_any_attention[8]", "logit_bias"),
        ("test_the_order_of_the_operands_does_not_matter[8]", "positions"),
        ("test_the_weights_alone_tell_which_inputs_are_wrong[0.0]", "logit_bias"),
    ],
)
def test_preconditions_can_be_refuted(of_mutants, precondition, mutant):
    assert of_mutants.claims[precondition, f"{mutant}.pt"]["verdict"] == "refuted"


@pytest.mark.parametrize("seed", UNTRAINED_SEEDS)
def test_no_untrained_model_passes_a_claim(of_mutants, seed):
    name = f"untrained{seed}.pt"
    verdicts = of_mutants.verdicts(name)
    assert len(verdicts) == 52
    for claim, verdict in verdicts.items():
        precondition = of_mutants.claims[claim, name]["precondition"] == "yes"
        assert verdict == ("holds" if precondition else "refuted"), claim


def test_the_same_accuracy_with_another_mechanism_is_refuted(of_mutants):
    """Scores halved: the answers stay, and attention is no longer what the story says."""
    verdicts = of_mutants.verdicts("half_attention.pt")
    assert verdicts["test_accuracy_on_all_inputs[0.999]"] == "holds"
    refuted = {claim for claim, verdict in verdicts.items() if verdict == "refuted"}
    assert "test_attention_on_the_min_at_a_gap[2-0.75]" in refuted
    assert of_mutants.status == pytest.ExitCode.TESTS_FAILED


def test_two_heads_are_errors_and_not_verdicts(of_mutants):
    assert of_mutants.status == pytest.ExitCode.TESTS_FAILED
    verdicts = of_mutants.verdicts("two_heads.pt")
    assert verdicts["test_the_row_falls_at_almost_every_step[0.95]"] == "error"
    behavior = of_mutants.claims["test_accuracy_on_all_inputs[0.999]", "two_heads.pt"]
    assert float(behavior["measured"]) > 0.999, "the same head twice answers as well"


def test_weights_that_overflow_are_errors_and_not_verdicts(of_mutants):
    verdicts = of_mutants.verdicts("too_large.pt")
    assert verdicts["test_accuracy_on_all_inputs[0.999]"] == "error"
    by_activations = {
        claim
        for (claim, of), properties in of_mutants.claims.items()
        if of == "too_large.pt" and properties["evidence"] != "weights"
    }
    assert {verdicts[claim] for claim in by_activations} == {"error"}


def test_a_refutation_can_be_read_and_repeated(of_mutants, run_claims):
    again = re.search(
        r"again: pytest '(claims/\S+accuracy_on_all_inputs\S+)' --checkpoint (\S+untrained7.pt)",
        of_mutants.output,
    )
    assert again is not None
    repeated = run_claims(again[1], "--checkpoint", again[2])
    assert repeated.status == pytest.ExitCode.TESTS_FAILED
    assert "refuted of" in repeated.output
    assert "Traceback" not in repeated.output
    assert "fixtures/judging.py" not in repeated.output


def test_a_pattern_that_is_no_softmax_is_refuted(reference):
    judge = Judge()
    changed = replace(reference.activations, patterns=reference.activations.patterns * 1.0001)
    test_preconditions.test_the_pattern_is_the_softmax_of_the_scores(changed, judge, 8)
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
    activations = cache_activations(replace(reference.parts, model=Normalized(reference.model)))
    test_preconditions.test_attention_only_without_normalization(activations, judge, 8)
    assert judge.verdict is not None
    assert not judge.verdict.holds


@pytest.mark.parametrize("how", ["mean", "resample"])
def test_a_direct_path_that_differs_between_inputs_is_refuted(reference, how):
    activations = reference.activations
    noise = torch.randn(activations.embedding.shape, generator=torch.Generator().manual_seed(0))
    changed = replace(activations, embedding=activations.embedding + 30 * noise)
    intervene = Interventions(reference.parts, changed, reference.circuits)
    judge = Judge()
    test_direct_path.test_it_is_the_same_on_every_input(
        reference.task, activations, intervene, judge, how, 0.0
    )
    assert judge.verdict is not None
    assert not judge.verdict.holds
