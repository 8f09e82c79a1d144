"""A checkpoint beside which its own module's answers are is run as that module, or is an error."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from mechanistic_claims.checkpoint.checkpoint import Checkpoint, CheckpointError
from mechanistic_claims.measurement.expected import as_expected
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.any_network import network
from tests.model.counting import Ones, counts
from tests.plain_transformer import (
    CPU,
    POSITIONS,
    TOKENS,
    Kind,
    Plain,
    Questions,
    checkpoint_of,
)

OWN = Kind(1, 2, "gelu", "LN", "bidirectional")
WEIGHTS = {name: weight.float() for name, weight in OWN.weights().items()}
ATTENTION = Kind(1, 2, None, "LN")
EXACT = ATTENTION.weights()
TASK = Questions()


def answers(kind=OWN, weights=WEIGHTS):
    """Of the module that it was trained as."""
    return Plain(kind, weights, TASK.inputs).logits


@pytest.fixture
def opened(tmp_path):
    """A checkpoint as a kind of model, with a file of its own module's answers beside it."""

    def opened(kind, weights=WEIGHTS, **pair):
        path = tmp_path / "mine.pt"
        torch.save(pair, tmp_path / "mine.pt.expected")
        family = kind.family(lambda *_: TASK)
        checkpoint = replace(checkpoint_of(weights), path=path)
        return as_expected(Subject(checkpoint, family.build(checkpoint, CPU), CPU), family)

    return partial(opened, inputs=TASK.inputs)


def test_what_runs_as_its_own_module_says_so(opened):
    said = "runs as its own module did on the 20 inputs of mine.pt.expected"
    assert opened(OWN, logits=answers()).source == said
    assert opened(OWN, logits=answers()[:, -1]).source == said
    assert opened(OWN, logits=answers()[:, 0]).source == said
    with pytest.raises(CheckpointError, match="the logits of 20 of 20 inputs"):
        opened(OWN, logits=answers()[:, 2])
    with pytest.raises(CheckpointError, match=r"by up to 0\.5 \("):  # not from the last one
        opened(OWN, logits=answers()[:, 0] + 0.5)


def test_what_is_not_held_to_its_module_says_so_where_the_reference_is(tmp_path):
    torch.save({"inputs": TASK.inputs, "logits": answers()}, tmp_path / "reference.pt.expected")
    for folder, said in (
        (tmp_path, "not held to its own module, as reference.pt.expected holds the reference: no "),
        (tmp_path / "elsewhere", ""),
    ):
        family = replace(OWN.family(lambda *_: TASK), reference=folder / "reference.pt")
        checkpoint = replace(checkpoint_of(WEIGHTS), path=tmp_path / "other.pt")
        subject = Subject(checkpoint, family.build(checkpoint, CPU), CPU)
        source = as_expected(subject, family).source
        assert source == (said + "other.pt.expected") * bool(said)


@pytest.mark.parametrize("padding", [0, TOKENS - 1])
def test_padding_is_named(opened, padding):
    """Of inputs that end with it, wherever logits are; of padding itself nothing is expected."""
    ends = torch.arange(POSITIONS) >= POSITIONS - 1 - torch.arange(len(TASK.inputs))[:, None] % 4
    inputs = TASK.inputs.masked_fill(TASK.inputs == padding, 5).masked_fill(ends, padding)
    padded = replace(OWN, padding=padding)
    logits = Plain(padded, WEIGHTS, inputs).logits
    nothing = logits.masked_fill((inputs == padding)[..., None], 0.0)
    for given, wrong in ((logits, None), (nothing, 2), (logits[:, 0], None)):
        assert "on the 20 inputs" in opened(padded, inputs=inputs, logits=given).source
        with pytest.raises(CheckpointError, match="of 20 inputs are not those") as e:
            opened(replace(OWN, padding=wrong), inputs=inputs, logits=given)
        assert e.value.remedy == f"With padding={padding} in FAMILY it is the same."


def test_padding_that_is_none_is_named(opened):
    """Where that token stands, and nothing hides it."""
    with pytest.raises(CheckpointError, match="of 20 inputs are not those") as e:
        opened(replace(OWN, padding=int(TASK.inputs[0, 0])), logits=answers())
    assert e.value.remedy == "With padding=None in FAMILY it is the same."


@pytest.mark.parametrize(
    ("told", "said"),
    [
        pytest.param(
            replace(OWN, mlp="relu"),
            'With mlp="gelu" in FAMILY it is the same.',
            marks=pytest.mark.slow,
        ),
        (
            replace(OWN, mlp="relu", attention="causal"),
            'With attention="bidirectional" and mlp="gelu" in FAMILY it is the same.',
        ),
        (replace(OWN, epsilon=0.1), "With epsilon=1e-05 in FAMILY it is the same."),
    ],
    ids=["mlp", "both", "epsilon"],
)
def test_what_no_file_tells_is_named(opened, told, said):
    with pytest.raises(CheckpointError, match="the logits of 20 of 20 inputs are not those") as e:
        opened(told, logits=answers())
    assert said in e.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize("other", ["epsilon", "scale", "one input"])
def test_what_can_not_be_said_is_no_less_an_error(opened, other, monkeypatch):
    """Also where it is a small difference: an unusual epsilon, or scores a hundredth larger."""
    logits = answers(ATTENTION, EXACT)
    if other == "one input":
        logits[3, 0, 0] += 1e-3
    else:
        name = "layer_norm" if other == "epsilon" else "math"
        plainly = torch.nn.functional.layer_norm

        def layer_norm(x, shape, scale, shift, eps):
            return plainly(x, shape, scale, shift, 4e-6)

        class math:  # noqa: N801
            inf = torch.inf

            @staticmethod
            def sqrt(x):
                return 0.99 * x**0.5

        monkeypatch.setattr(f"tests.plain_transformer.{name}", locals()[name])
        logits = answers(ATTENTION, EXACT)
    count = "1" if other == "one input" else "20"
    with pytest.raises(CheckpointError, match=f"the logits of {count} of 20 inputs") as e:
        opened(ATTENTION, EXACT, logits=logits)
    assert e.value.remedy.startswith("No other attention, number of heads, function of MLPs")


def test_a_file_that_is_none_says_how_to_write_it(opened, tmp_path):
    with pytest.raises(CheckpointError, match="20 x 6 x 5, and here are 20 x 6 x 9 of its inputs"):
        opened(OWN, logits=answers()[..., :5])
    with pytest.raises(CheckpointError, match="no tensors inputs and logits") as e:
        opened(OWN)
    said = """torch.save({"inputs": x, "logits": module(x)}, 'mine.pt.expected')"""
    assert said in e.value.remedy


def test_any_network_is_held_to_its_module(tmp_path):
    """What FAMILY makes may have other arguments than the module that was trained."""
    family = network(
        make="tests.model.counting:Counter", task=lambda *_: Ones(), reference=tmp_path
    )
    checkpoint = Checkpoint(tmp_path / "mine.pt", "counting", "", counts())
    one = Subject(checkpoint, family.build(checkpoint, CPU), CPU)
    logits = one.activations.logits.view(16, 4, 5)
    for given, said in ((logits, ""), (logits + 1e-3, "Compare what FAMILY makes with that")):
        torch.save({"inputs": Ones.inputs, "logits": given}, tmp_path / "mine.pt.expected")
        if not said:
            assert "on the 16 inputs of mine.pt.expected" in as_expected(one, family).source
            continue
        with pytest.raises(CheckpointError, match="the logits of 16 of 16 inputs") as e:
            as_expected(one, family)
        assert said in e.value.remedy
