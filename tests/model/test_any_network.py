"""Networks that are no transformers: what is measured of them, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformer_lens.hook_points import HookPoint

from mechanistic_claims.checkpoint.checkpoint import Checkpoint
from mechanistic_claims.measurement.activations import Activations
from mechanistic_claims.measurement.algebra import decomposed_logits
from mechanistic_claims.measurement.matched import others_like
from mechanistic_claims.model.any_network import network
from mechanistic_claims.model.components import (
    embedding,
    head,
    logits,
    mlp,
    neurons,
    positions,
)
from mechanistic_claims.model.family import Parts
from mechanistic_claims.model.hooked import HookedModule, answers_of
from mechanistic_claims.model.sites import Sites
from tests.measurement.by_hand import refused
from tests.model.counting import (
    LENGTH,
    WEIGHTS,
    Adder,
    Brightness,
    Counter,
    Ones,
    Rooted,
    Sums,
    adder,
    counts,
    subject,
)

FAMILY = network(make="tests.model.counting:Counter", task=lambda s, d: Ones(), reference=Path())
ROWS = torch.zeros(len(Ones.inputs) * LENGTH, dtype=torch.long)


def checkpoint_of(weights):
    return Checkpoint(Path("written"), "counting", "", weights)


@pytest.fixture(scope="module")
def counter():
    with torch.no_grad():
        return subject()


def test_it_is_measured(counter):
    activations, count = counter.activations, Ones.inputs.cumsum(dim=1)
    assert activations.correct.all()
    k = torch.arange(LENGTH + 1)
    assert torch.equal(activations.logits, (2 * k * count[..., None] - k**2).flatten(0, 1).float())
    states = count[..., None] * WEIGHTS
    assert torch.equal(activations.read("hook_states"), states)
    assert torch.equal(activations.read("steps.2.hook_state"), states[:, 2])
    zero = torch.zeros(16, LENGTH)
    without = counter.intervene.put("steps.1.hook_state", zero)  # what came before is forgotten
    assert torch.equal(without.prediction.reshape(16, LENGTH)[:, 3], Ones.inputs[:, 2:].sum(dim=1))
    assert repr(counter) == "counting: written, 3 tensors, 16 inputs of 4, float32, cpu"


def test_tensors_by_name(counter):
    assert counter.weights["add"].dtype == torch.float64
    assert torch.equal(counter.weights["add"], WEIGHTS.double())
    said = 'weights["W_E"]: expected one of add, readout.weight, readout.bias'
    refused(said, lambda: counter.weights["W_E"])


def test_what_is_of_transformers_is_refused(counter):
    """Never a number: its state is as wide as there are logits for a product of shapes that fit."""
    activations, intervene, circuits = counter.activations, counter.intervene, counter.circuits
    for ask in (
        lambda: circuits.direct_path,
        lambda: circuits.direct_path_of_positions,
        lambda: circuits.ov(),
        lambda: circuits.qk(head(0, 0)),
        lambda: circuits.composition(head(0, 0).keys, head(0, 0)),
        lambda: decomposed_logits(circuits, Ones.inputs, Ones.inputs.float()),
        lambda: counter.weights.W_U,
        lambda: counter.weights.heads,
        lambda: counter.proof.margin,
        lambda: counter.certificate,
        lambda: activations.embedding,
        lambda: activations.outputs,
        lambda: activations.unembedded,
        lambda: activations.patterns,
        lambda: activations.scores,
        lambda: activations.attention,
        lambda: activations.rounding.logits(ROWS[:1, None], ROWS[:1, None].float()),
        lambda: activations.by_head(lambda pattern, part: pattern.mean(dim=(1, 2))),
        lambda: activations.written_along(torch.zeros(len(ROWS), LENGTH)),
        lambda: activations.value_outputs(head(0, 0)),
        lambda: activations.neurons(0),
        lambda: activations.pattern(head(0, 0)),
        lambda: intervene.attend(ROWS),
        lambda: intervene.replace_ov(torch.zeros(2, LENGTH + 1)),
        lambda: others_like(head(0, 0), counter.weights),
        *(
            lambda c=component, do=do: do(c)
            for component in (embedding, positions, head(0, 0), mlp(0), neurons(0, 1))
            for do in (
                lambda c: intervene.ablate(c, "zero"),
                lambda c: intervene.cut(c, logits, "mean"),
                activations.written,
            )
        ),
    ):
        refused("this network has no ", ask)


def test_a_stream_without_layers_is_what_is_embedded(counter):
    """A family of one's own can't say of two things that they are one residual stream."""
    sites = Sites("hook_unread", None, (), "hook_states", "hook_states", "hook_states")
    refused(
        "what is unembedded, hook_states, is not what is embedded, hook_unread",
        lambda: replace(counter.parts, sites=sites),
    )


def test_which_checkpoints_are_of_it():
    assert FAMILY.fits(checkpoint_of(counts())) == ""
    lacking = {name: one for name, one in counts().items() if name != "add"}
    for weights, said in (
        (
            lacking | {"sub": torch.ones(1)},
            "by the module's state_dict() add missing, sub unknown.",
        ),
        (counts() | {"add": torch.ones(3)}, "add is 3, by the module's state_dict() 4."),
    ):
        assert FAMILY.fits(checkpoint_of(weights)) == said
    by_shapes = network(make=Adder, task=lambda s, d: Sums(), reference=Path())
    assert by_shapes.fits(checkpoint_of({"of_sum": torch.ones(7)})) == ""
    assert "KeyError: 'of_sum'" in by_shapes.fits(checkpoint_of(counts()))


def test_the_untrained_is_always_the_same():
    once = FAMILY.untrained(checkpoint_of(counts())).tensors
    torch.rand(1)
    before = torch.random.get_rng_state()
    again = FAMILY.untrained(checkpoint_of(counts())).tensors
    assert torch.equal(before, torch.random.get_rng_state())
    assert once.keys() == counts().keys()
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(once["add"], counts()["add"])


def test_float64_is_run_in_float64():
    in_doubles = subject(weights={name: one.double() for name, one in counts().items()})
    assert in_doubles.activations.logits.dtype == torch.float64
    assert in_doubles.activations.correct.all()


def test_logits_without_positions():
    sums = adder()
    assert sums.activations.correct.all()
    assert sums.activations.logits.shape == (9, 5)
    pairs = sums.activations.read("hook_pair").clone()
    pairs[:, 0] = 0
    assert torch.equal(sums.intervene.put("hook_pair", pairs).prediction, Sums.inputs[:, 1])
    refused("logits are [input logit], and inputs [input 2]", lambda: adder(Sums((-1,))))
    refused("this model has 4 positions to answer at", lambda: subject(task=Ones(None)))


class Short(Counter):
    """It has a state for each of four tokens, and no more."""

    def forward(self, tokens):
        return super().forward(tokens) + 0 * tokens[..., None]


def test_a_module_that_does_not_run_is_told_with_its_inputs():
    class Longer(Ones):
        inputs = torch.ones(16, LENGTH + 2, dtype=torch.long)

    said = "the module fails on inputs [input 6] of 1 to 1 (RuntimeError: The size of tensor"
    refused(said, lambda: subject(Short, task=Longer()))


class Noisy(Counter):
    """Its dropout is there in evaluation too."""

    def forward(self, tokens):
        return torch.nn.functional.dropout(super().forward(tokens), 0.5)


class Dropping(Counter):
    """Its dropout is of training only."""

    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, tokens):
        return self.drop(super().forward(tokens))


class Apart(Counter):
    """It gives more than logits."""

    def forward(self, tokens):
        return super().forward(tokens), None


def test_a_network_that_can_not_be_judged(counter):
    assert subject(Dropping).activations.correct.all()
    refused("other logits in a second run", lambda: subject(Noisy))
    refused("the network gives a tuple for 8 inputs", lambda: subject(Apart))
    refused("without arguments, fails (KeyError: 'list')", lambda: subject(lambda: {}["list"]))
    refused("makes a dict: expected a torch.nn.Module", lambda: subject(lambda: {}))
    parts: Parts = counter.parts
    parts.model.module.train()
    try:
        refused("HookedModule is in training mode", lambda: replace(parts, task=Ones()))
    finally:
        parts.model.module.eval()


class Fixed(Counter):
    """It runs no inputs but those of its length."""

    def forward(self, tokens):
        return super().forward(tokens.reshape(-1, LENGTH))


class Shared(Counter):
    """All steps have one hook point."""

    def __init__(self):
        super().__init__()
        self.steps = torch.nn.ModuleList([self.steps[0]] * LENGTH)


class Turned(Counter):
    """Inputs come second at one of its hook points."""

    def __init__(self):
        super().__init__()
        self.hook_turned = HookPoint()

    def forward(self, tokens):
        self.hook_turned(tokens.T)
        return super().forward(tokens)


def test_at_the_answers(counter):
    """A state is as long as inputs are, and is not at their positions."""
    activations, intervene = counter.activations, counter.intervene
    states = activations.read("hook_states")
    assert torch.equal(activations.at_answers("hook_states"), states.flatten(0, 1))
    zero = torch.zeros_like(states)
    assert (intervene.put("hook_states", zero, "answers").prediction == 0).all()
    at_end = subject(task=replace_positions((-1,)))
    outcome = at_end.intervene.put("hook_states", zero, "answers")
    assert torch.equal(outcome.read("hook_states")[:, :3], states[:, :3])
    said = (
        "steps.2.hook_state is [input 4], and nothing tells that its second axis is the positions"
    )
    refused(said, lambda: activations.at_answers("steps.2.hook_state"))
    refused(said, lambda: intervene.put("steps.2.hook_state", zero[:, 0], "answers").logits)
    fixed = subject(Fixed).activations
    assert torch.equal(fixed.read("hook_states"), states)
    refused(
        "hook_states is [input 4 4], and nothing tells", lambda: fixed.at_answers("hook_states")
    )
    refused("hook_pair is [input 2]", lambda: adder().activations.at_answers("hook_pair"))


def replace_positions(positions):
    """The same strings, asked at other positions."""
    task = Ones(positions)
    task.labels = Ones.inputs.cumsum(dim=1)[:, list(positions)].flatten()
    return task


def test_a_hook_that_fires_at_every_step():
    shared = subject(Shared)
    said = "steps.0.hook_state fires 4 times in a run"
    refused(said, lambda: shared.activations.read("steps.0.hook_state"))
    values = torch.zeros(16, LENGTH)
    refused(said, lambda: shared.intervene.put("steps.0.hook_state", values))


def test_inputs_come_first():
    refused("[4, 16] for 16 inputs", lambda: subject(Turned).activations.read("hook_turned"))


def test_a_name_that_is_no_hook(counter):
    said = "no site steps.4.hook_state in this model: it has steps."
    refused(said, lambda: counter.activations.read("steps.4.hook_state"))
    values = torch.zeros(16, LENGTH)
    refused(said, lambda: counter.intervene.put("steps.4.hook_state", values))
    refused("no site x in this model: it has", lambda: counter.activations.read("x"))
    sites = Sites("hook_state", None, (), "hook_state")
    said = "hook_state in this model: it has steps.0.hook_state, hook_states and 4 more."
    refused(said, lambda: replace(counter.parts, sites=sites))


def test_a_name_that_is_no_hook_of_a_family_of_ones_own(counter):
    parts = replace(counter.parts, model=Rooted().eval())
    said = "there is no site hook_one in this model: it has hook_ones."
    refused(said, lambda: Activations(parts).read("hook_one"))


def test_an_image_has_no_positions():
    """Though its first axis is as long as logits are: [input logit] is asked as wholes."""

    class Bright:
        answer_positions = (0,)
        is_sample = True
        inputs = torch.rand(3, 1, 2, 2)
        labels = torch.zeros(3, dtype=torch.long)

    network, task = HookedModule(Brightness().eval()), Bright()
    said = "logits are [input logit], and inputs [input 1 2 2], so the task's answer_positions"
    refused(said, lambda: answers_of(network, task))
    task.answer_positions = None
    assert answers_of(network, task) == 2
