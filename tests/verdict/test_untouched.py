"""What claims are given stays as it is: one that writes into it changes no other's number."""

from __future__ import annotations

import json

import pytest
import torch

from mechanistic_claims.measurement.cases import drawn
from mechanistic_claims.verdict.untouched import WrittenInto, untouched
from tests.verdict.written import in_project

CLAIMS = '''
import torch
from mechanistic_claims import mean

@evidence("weights")
@pytest.mark.parametrize("at_least", [0.01])
def test_written(weights, verdict, at_least):
    """It centres the embedding in place."""
    embedding = weights.W_E
    embedding -= embedding.mean(0)
    verdict(mean(embedding.norm(dim=-1)), at_least=at_least)

@evidence("weights")
@pytest.mark.parametrize("at_least", [0.01])
def test_after_it(weights, verdict, at_least):
    """The embedding has a mean."""
    verdict(float(weights.W_E.mean(0).norm()), at_least=at_least)
'''
OF_A_TRAINED_ONE = '''
@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.9])
def test_turned(task, activations, verdict, at_least):
    """It answers, and its inputs are others then."""
    verdict(share(activations.correct), at_least=at_least)
    if activations.correct.double().mean() > 0.5:
        task.inputs[:, 0] = 0

@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.5])
def test_zz_last(task, activations, verdict, at_least):
    """Some inputs have another first operand than 0."""
    verdict(share(task.inputs[activations.cases.input, 0] > 0), at_least=at_least)
'''


def judged(folder, claims):
    status, output = in_project(folder, claims)
    (checkpoint,) = json.loads((folder / "found").read_text())["checkpoints"]
    found = {record["claim"].partition("::test_")[2]: record for record in checkpoint["claims"]}
    return status, output, {name.partition("[")[0]: record for name, record in found.items()}


def test_what_a_claim_writes_no_other_measures(tmp_path):
    """Its control is seen to write before the claim is called, so the checkpoint is as it was."""
    status, _, found = judged(tmp_path, CLAIMS)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert found["written"]["verdict"] == "error"
    assert "weights.W_E is written into" in found["written"]["error"]
    assert "work on a copy, weights.W_E.clone()" in found["written"]["error"]
    assert found["after_it"]["verdict"] == "holds"
    assert found["after_it"]["control"]["measured"] > 0.01


def test_where_only_a_trained_model_is_written_into_all_later_claims_are_errors(tmp_path):
    status, output, found = judged(tmp_path, OF_A_TRAINED_ONE)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert found["turned"]["verdict"] == "error"
    said = "has written into what it was given: task.inputs is written into"
    assert said in found["zz_last"]["error"]
    assert "2 errors" in output


@pytest.mark.parametrize(
    "write",
    [
        lambda of: of["plain"].add_(1),
        lambda of: of["plain"][0].zero_(),
        lambda of: of["drawn"].as_subclass(torch.Tensor).mul_(2),
        lambda of: of["made"]["by"][1].fill_(3),
        lambda of: of["object"].inside.transpose(0, 1).copy_(torch.ones(2, 2)),
    ],
    ids=["itself", "a view", "what is drawn", "in a list", "in an object"],
)
def test_every_way_to_write_is_seen(write):
    class Holds:
        inside = None

    given = {"plain": torch.zeros(3), "drawn": drawn(torch.ones(2)), "object": Holds()}
    given |= {"made": {"by": [1, torch.zeros(2)]}, "text": "text", "module": torch.nn.Linear(1, 1)}
    given["object"].inside = torch.zeros(2, 2)
    with untouched(given):
        read = [given["plain"].clone().add_(1), given["object"].inside + 1]
    assert len(read) == 2
    with pytest.raises(WrittenInto, match="is written into"), untouched(given):
        write(given)
