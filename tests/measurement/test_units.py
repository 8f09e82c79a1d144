"""Units of sites, ablated and patched, and several sites put at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mechanistic_claims.measurement.activations import Activations
from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.measurement.interventions.verbs import Interventions
from mechanistic_claims.model.components import logits, site
from tests.measurement.by_hand import refused
from tests.model.counting import LENGTH, Ones, Rooted, subject


@pytest.fixture(scope="module")
def counter():
    with torch.no_grad():
        return subject()


def told(c):
    """The logits of what is counted, by hand."""
    k = torch.arange(LENGTH + 1)
    return (2 * k * c[..., None] - k**2).flatten(0, 1).float()


STEPS = [f"steps.{step}.hook_state" for step in range(LENGTH)]
COUNT = Ones.inputs.cumsum(dim=1).float()


def test_units_of_sites_are_ablated(counter):
    """Unit 0 holds half of what is counted."""
    ablate = counter.intervene.ablate
    everywhere = sum(site(step, 0) for step in STEPS)
    assert str(everywhere).startswith("unit 0 of steps.0.hook_state + unit 0 of steps.1")
    assert torch.equal(ablate(everywhere, "zero").logits, told(COUNT / 2))
    forgotten = COUNT.clone()
    forgotten[:, 1:] -= COUNT[:, 1:2] / 2
    assert torch.equal(ablate(site(STEPS[1], 0), "zero").logits, told(forgotten))
    at_mean = forgotten.clone()
    at_mean[:, 1:] += 1 / 2  # half of one in two tokens
    assert torch.equal(ablate(site(STEPS[1], 0), "mean").logits, told(at_mean))
    both = ablate(site(STEPS[1], 1) + site(STEPS[1], 2), "zero")
    assert torch.equal(both.logits, told(forgotten))
    assert torch.equal(ablate(site(STEPS[1], 1, 2), "zero").logits, told(forgotten))
    swapped = forgotten.clone()
    other = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    swapped[:, 1:] += COUNT[other, 1:2] / 2
    outcome = ablate(site(STEPS[1], 0), "resample")
    assert torch.equal(plain(outcome.logits), told(swapped))
    assert torch.equal(outcome.logits.draw, torch.arange(16).repeat_interleave(LENGTH))
    nothing = ablate(site(STEPS[1], 3), "mean")  # a unit of no use is no error
    assert torch.equal(nothing.logits, told(COUNT))
    assert counter.intervene.done[-1].endswith("(mean), at every position, which changes nothing")


def test_units_of_sites_are_patched_and_several_are_put(counter):
    source = torch.arange(16).flip(0)
    carried = COUNT.clone()
    carried[:, 2:] += COUNT[source, 2:3] - COUNT[:, 2:3]
    intervene = counter.intervene
    assert torch.equal(intervene.patch(site(STEPS[2]), source).logits, told(carried))
    of_inputs = intervene.patch(site(STEPS[2], 0, 1, 2, 3), Ones.inputs[source])
    assert torch.equal(of_inputs.logits, told(carried))
    values = {step: counter.activations.read(step).clone() for step in STEPS}
    for value in values.values():
        value[:, 0] = 0
    assert torch.equal(intervene.put(values).logits, told(COUNT / 2))
    assert intervene.done[-1] == f"values put at {', '.join(STEPS)}, at every position"
    refused("expected put(site, values), or put({site:", lambda: intervene.put(values, COUNT))
    refused("expected put(site, values), or put({site:", lambda: intervene.put(STEPS[0]))


def test_sites_that_can_not_be_ablated(counter):
    intervene, ablate = counter.intervene, counter.intervene.ablate
    for component, said in (
        (site("hook_unread", 0), "other values at hook_unread change no logit by a bit"),
        (site(STEPS[0], 4), "there is no unit 4 of steps.0.hook_state, which is [input 4]"),
        (site(STEPS[0], -1), "there is no unit -1 of steps.0.hook_state"),
        (site("steps"), "there is no site steps in this model"),
    ):
        refused(said, lambda c=component: ablate(c, "zero"))
    refused(
        "to a residual stream is not known", lambda: intervene.cut(site(STEPS[0]), logits, "zero")
    )
    refused(
        "to a residual stream is not known", lambda: counter.activations.written(site(STEPS[0]))
    )
    refused("steps.0.hook_state is [input 4], and nothing", lambda: (
        ablate(site(STEPS[0], 0), "zero", "answers").logits
    ))  # fmt: skip
    for one, other in ((site("a"), site("a", 1)), (site("a", 1, 2), site("a", 2))):
        with pytest.raises(ValueError, match="is part of the other's"):
            _ = one + other
    assert len(site("a", 1) + site("b", 1) + site("a", 2) + site("a", 1)) == 3
    rooted = Activations(replace(counter.parts, model=Rooted().eval()))
    on_rooted = Interventions(rooted.parts, rooted, counter.circuits)
    refused("hook_ones holds torch.int64", lambda: on_rooted.ablate(site("hook_ones"), "mean"))
