"""What is read and put at every site, against a plain forward pass."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.measurement.cases import plain
from mechanistic_claims.model.components import head, neurons
from mechanistic_claims.model.components import site as a_site
from mechanistic_claims.model.sites import no_site
from tests.measurement.by_hand import (
    KINDS,
    OF_ALL,
    OF_MLPS,
    TASK,
    agrees,
    at_answers,
    by_hand,
    model_of,
    only_where_asked,
    putting,
    refused,
    written,
)
from tests.plain_transformer import POSITIONS, Kind, Questions

USUAL = ", ".join(
    f"blocks.0.{name}"
    for name in ("hook_resid_post", "attn.hook_z", "attn.hook_pattern", "hook_mlp_out")
)
pytestmark = pytest.mark.usefixtures("few_inputs_at_a_time")


@pytest.fixture
def sites():
    """By a place in the plain run the hook of the package's sites, in a model that has all."""
    kind = KINDS["MLP and LayerNorm"]
    found = model_of(kind).parts.sites
    whole = {"embedding": found.embedding, "positions": found.positions}
    whole |= {"unembedded": found.unembedded}
    of_heads = {}
    for number, layer in enumerate(found.layers):
        whole |= {("input", number): layer.input, ("output", number): layer.output}
        whole |= {("mlp", number): layer.mlp_output, ("neurons", number): layer.neurons}
        for name in ("query", "key", "value", "pattern", "mixed"):
            of_heads[name, number] = getattr(layer, name)
    return kind, whole, of_heads


def heads_of(seen, name, layer):
    """All heads of a layer beside one another, as a hook has them."""
    axis = 1 if name == "pattern" else 2
    return torch.stack([seen[name, layer, index] for index in (0, 1)], dim=axis)


def test_every_site_is_read(sites):
    kind, whole, of_heads = sites
    activations, seen = model_of(kind).activations, by_hand(kind).seen
    for where, site in whole.items():
        assert (activations.read(site) - seen[where]).abs().max() < 1e-9, site
        assert (activations.at_answers(site) - at_answers(seen[where])).abs().max() < 1e-9, site
    for (name, layer), site in of_heads.items():
        assert (activations.read(site) - heads_of(seen, name, layer)).abs().max() < 1e-9, site


@pytest.mark.parametrize("where", ["every position", "answers"])
def test_every_site_is_edited_and_its_edit_acts(sites, where):
    kind, whole, of_heads = sites
    intervene, clean = model_of(kind).intervene, by_hand(kind)
    generator = torch.Generator().manual_seed(5)

    def put_at(site, places, value):
        new = value + torch.rand(value.shape, generator=generator, dtype=torch.float64)

        def write(there, old):
            if there not in places:
                return old
            of = new if len(places) == 1 else new.select(new.ndim - 2, places.index(there))
            return of if where == "every position" else only_where_asked(of, old)

        outcome, expected = intervene.put(site, new, where), by_hand(kind, write=write)
        agrees(outcome, expected)
        moved = (expected.logits - clean.logits).abs().max()
        assert moved > 1e-3, f"{site} moves no logit"

    for there, site in whole.items():
        put_at(site, [there], clean.seen[there])
    for (name, layer), site in of_heads.items():
        if name != "pattern":
            places = [(name, layer, index) for index in (0, 1)]
            put_at(site, places, heads_of(clean.seen, name, layer))


def test_patterns_are_put(sites):
    kind, _, of_heads = sites
    generator = torch.Generator().manual_seed(5)
    for layer in (0, 1):
        new = torch.rand(20, 2, POSITIONS, POSITIONS, generator=generator, dtype=torch.float64)
        given = {("pattern", layer, index): new[:, index] for index in (0, 1)}
        outcome = model_of(kind).intervene.put(of_heads["pattern", layer], new)
        agrees(outcome, by_hand(kind, write=lambda where, old, given=given: given.get(where, old)))


def test_what_only_one_reads_is_read_by_it_alone():
    """`mlp_input` and `final_residual` are before the norm of their readers."""
    for kind in KINDS.values():
        subject = model_of(kind)
        sites, read = subject.parts.sites, subject.activations.read
        readers = {"logits": sites.final_residual}
        if kind.mlp:
            readers |= {("mlp", n): layer.mlp_input for n, layer in enumerate(sites.layers)}
        for reader, site in readers.items():
            new = read(site).flip(0)
            expected = by_hand(
                kind, read=lambda one, stream, r=reader, new=new: new if one == r else stream
            )
            agrees(subject.intervene.put(site, new), expected)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_read_of_the_model_and_downstream_of_an_edit(kind):
    subject, index = model_of(kind), head(0, 1)
    clean = by_hand(kind)
    swapped = torch.arange(20).flip(0)
    change = by_hand(
        kind, write=putting(index.parts, lambda where, value: clean.seen[where][swapped])
    )
    for activations, expected in (
        (subject.activations, clean),
        (subject.intervene.patch(index, swapped), change),
    ):
        seen, of_cases = expected.seen, at_answers(expected.logits)
        assert (activations.logits - of_cases).abs().max() < 1e-9
        losses = -of_cases.log_softmax(-1)[range(len(of_cases)), TASK.labels]
        assert (activations.loss - losses).abs().max() < 1e-9
        right = of_cases.argmax(dim=-1)
        assert torch.equal(activations.prediction, right)
        assert torch.equal(activations.correct, right == TASK.labels)
        assert torch.equal(activations.answers(right - 1), torch.zeros(len(right)).bool())
        assert activations.answers(right).all()
        for layer in (0, 1):
            for which in (0, 1):
                pattern = seen["pattern", layer, which]
                found = activations.pattern(head(layer, which))
                assert (found - pattern).abs().max() < 1e-9
                found = activations.patterns[:, layer, which]
                assert (found - at_answers(pattern)).abs().max() < 1e-9
                score = at_answers(seen["score", layer, which])
                assert (activations.scores[:, layer, which] - score).abs().max() < 1e-9
            output = at_answers(seen["output", layer])
            assert (activations.outputs[layer] - output).abs().max() < 1e-9
            if kind.mlp:
                found = activations.neurons(layer) - at_answers(seen["neurons", layer])
                assert found.abs().max() < 1e-9
        every = OF_ALL | (OF_MLPS if kind.mlp else {})
        for component in every.values() if activations is subject.activations else ():
            found = activations.written(component) - written(kind, seen, component)
            assert found.abs().max() < 1e-9, component


def test_another_domain():
    """Other inputs, more of them, asked at other positions."""
    kind = KINDS["MLP and LayerNorm"]
    other = Questions(count=33)
    activations = kind.subject(TASK).activations.on(other)
    expected = by_hand(kind, other.inputs).logits
    rows = torch.stack([expected[row, position] for row, position in other.answer_positions])
    assert (activations.logits - rows).abs().max() < 1e-9


def test_patterns_have_no_positions_of_their_own():
    """Not even where there are as many heads as positions."""
    subject = Kind(layers=1, heads=POSITIONS).subject(TASK)
    pattern = subject.parts.sites.layers[0].pattern
    said = f"{pattern} is [input {POSITIONS} {POSITIONS} {POSITIONS}], and nothing tells"
    refused(said, lambda: subject.activations.at_answers(pattern))
    seen = subject.activations.at_answers("blocks.0.hook_in")
    assert torch.equal(seen, subject.activations.at_answers(subject.parts.sites.layers[0].input))


def test_units_of_a_site_are_what_is_there():
    """Neurons by their layer and by their hook, and what attention writes by its hook."""
    subject = model_of(KINDS["MLP"])
    intervene, layer = subject.intervene, subject.parts.sites.layers[0]
    for how, where in (("resample", "every position"), ("mean", "answers")):
        by_hook = intervene.ablate(a_site(layer.neurons, 1, 3), how, where)
        by_layer = intervene.ablate(neurons(0, 1, 3), how, where)
        assert torch.equal(plain(by_hook.logits), plain(by_layer.logits))
        assert not torch.equal(plain(by_hook.logits), subject.activations.logits)
    nothing = torch.zeros_like(subject.activations.read(layer.output))
    ablated = intervene.ablate(a_site(layer.output), "zero", "answers")
    assert torch.equal(ablated.logits, intervene.put(layer.output, nothing, "answers").logits)
    of_heads = a_site(layer.mixed, 0)  # of every head: units are of the last axis
    refused("no [input position u", lambda: intervene.ablate(of_heads, "zero", "answers").logits)
    middle = a_site("blocks.0.hook_resid_mid")
    refused("the residual stream goes on", lambda: intervene.ablate(middle, "zero"))


class Steps:
    """A model of four hooks."""

    hook_dict = dict.fromkeys(f"steps.{step}" for step in range(4))

    def run_with_hooks(self, input, fwd_hooks):
        return input


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("blocks.1.attn.hook_zz", "it has blocks.1.attn.hook_z, blocks.1.attn.hook_"),
        ("blocks.7.hook_resid_post", "it has blocks.0.hook_resid_post, blocks.0.hook_resid_pre, "),
        ("hook_z", ", blocks.0.attn.hook_z and "),
        ("resid", f"it has {USUAL} and "),
        ("blocks.1.quantity", f"it has {USUAL.replace('s.0', 's.1')} and "),
    ],
)
def test_a_site_that_is_not_there_is_told_by_its_nearest(asked, said):
    """In its layer, or by the usual ones."""
    activations = model_of(KINDS["MLP and LayerNorm"]).activations
    refused(said, lambda: activations.read(asked))


def test_a_model_without_the_usual_sites_is_told_by_its_first():
    assert no_site(Steps(), "x").endswith(": it has steps.0, steps.1, steps.2 and 1 more.")
