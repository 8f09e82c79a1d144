"""Circuits through earlier heads: what a model computes when only that path is there."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mechanistic_claims.measurement.circuits import Circuits
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.components import embedding, head, positions
from mechanistic_claims.model.weights import Weights
from tests.plain_transformer import D_HEAD, D_MODEL, LOGITS, TOKENS, Kind

HALF = D_MODEL // 2
FIRST, SECOND = slice(0, HALF), slice(HALF, D_MODEL)
PAIRS = torch.cartesian_prod(torch.arange(TOKENS), torch.arange(TOKENS))


def without_biases() -> dict[str, Tensor]:
    """Random weights; embeddings are in the first half of the stream, head 0.0 writes the other."""
    weights = {n: w for n, w in Kind().weights(seed=4).items() if ".b_" not in n}
    weights["embed.W_E"][:, SECOND] = 0
    weights["pos_embed.W_pos"] = torch.zeros(2, D_MODEL).double()
    weights["blocks.0.attn.W_O"][0][:, FIRST] = 0
    weights["blocks.0.attn.W_O"][1] = 0
    return weights


def of_pairs(weights: dict[str, Tensor], asked: int = 1) -> Subject:
    """Every pair of tokens, asked at one of its two positions."""
    labels = torch.zeros(len(PAIRS), dtype=torch.long)
    task = SimpleNamespace(inputs=PAIRS, labels=labels, answer_positions=(asked,), is_sample=False)
    return Kind().subject(task, weights)


def test_keys_through_an_earlier_head_are_the_scores_that_are_left():
    """A token that is first attends to itself alone: the head writes there what it is moved to."""
    weights = without_biases()
    weights["blocks.1.attn.W_K"][1][FIRST] = 0  # it reads what head 0.0 writes
    weights["blocks.1.attn.W_Q"][1][SECOND] = 0  # and this the embedding
    subject = of_pairs(weights)
    found = subject.circuits.qk(head(1, 1), keys=head(0, 0)).matrix
    scores = subject.activations.scores[:, 1, 1, 0]
    source, destination = PAIRS.T
    assert (scores - found[destination, source]).abs().max() < 1e-12
    assert scores.std() > 0.01


def test_queries_through_an_earlier_head_likewise():
    """Of a token with itself: the first position is asked, and attends to nothing else."""
    weights = without_biases()
    weights["blocks.1.attn.W_Q"][1][FIRST] = 0
    weights["blocks.1.attn.W_K"][1][SECOND] = 0
    subject = of_pairs(weights, asked=0)
    found = subject.circuits.qk(head(1, 1), queries=head(0, 0)).matrix
    scores = subject.activations.scores[:, 1, 1, 0]
    assert (scores - found.diagonal()[PAIRS[:, 0]]).abs().max() < 1e-12
    assert scores.std() > 0.01


def test_queries_and_keys_of_positions():
    """Positions in the first half, and embeddings nowhere."""
    weights = without_biases()
    weights["embed.W_E"] = torch.zeros(TOKENS, D_MODEL).double()
    weights["pos_embed.W_pos"] = torch.tensor([[1.0, -2, 0.5, 3], [2, 1, -1, 0.3]]).double()
    weights["pos_embed.W_pos"] = torch.nn.functional.pad(weights["pos_embed.W_pos"], (0, HALF))
    subject = of_pairs(weights)
    found = subject.circuits.qk(head(0, 1), queries=positions, keys=positions).matrix
    assert found.shape == (2, 2)
    assert (subject.activations.scores[:, 0, 1] - found[1]).abs().max() < 1e-12
    mixed = subject.circuits.qk(head(0, 1), keys=positions).matrix
    assert mixed.shape == (TOKENS, 2)
    assert not mixed.any()


def test_values_through_an_earlier_head_are_the_logits_that_are_left():
    """Heads 0.0 and 1.1 alone, one after the other; the logits read what only 1.1 writes."""
    weights = without_biases()
    weights["blocks.1.attn.W_V"][1][FIRST] = 0
    weights["blocks.1.attn.W_O"][0] = 0
    weights["blocks.1.attn.W_O"][1][:, SECOND] = 0
    weights["unembed.W_U"][SECOND] = 0
    subject = of_pairs(weights, asked=0)
    circuits = subject.circuits
    moved = circuits.ov(head(1, 1), values=head(0, 0)).matrix
    expected = (moved + circuits.direct_path.matrix)[PAIRS[:, 0]]
    assert moved.shape == (TOKENS, LOGITS)
    assert (subject.activations.logits - expected).abs().max() < 1e-12
    assert moved.std() > 0.01


def test_circuits_are_sums_of_products_of_weights():
    """Entry by entry, from the random weights of a model of two layers."""
    w = Kind().weights()
    circuits = of_pairs({n: t for n, t in w.items() if ".b_" not in n}).circuits

    def of(layer, index, letter):
        return w[f"blocks.{layer}.attn.W_{letter}"][index].tolist()

    def row_times(row, matrix):
        return [sum(a * b for a, b in zip(row, column)) for column in zip(*matrix)]  # noqa: B905

    def through(row, layer, index, letters):
        for letter in letters:
            row = row_times(row, of(layer, index, letter))
        return row

    two, nine = w["embed.W_E"][2].tolist(), w["embed.W_E"][9].tolist()
    query = through(two, 1, 0, "Q")
    key = through(through(nine, 0, 1, "VO"), 1, 0, "K")
    score = sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(D_HEAD)
    found = circuits.qk(head(1, 0), queries=embedding, keys=head(0, 1)).matrix[2, 9]
    assert float(found) == pytest.approx(score, rel=1e-10)
    written = row_times(through(two, 1, 1, "VO"), w["unembed.W_U"].tolist())
    assert circuits.ov(head(1, 1)).matrix[2].tolist() == pytest.approx(written, rel=1e-10)
    direct = row_times(nine, w["unembed.W_U"].tolist())
    assert circuits.direct_path.matrix[9].tolist() == pytest.approx(direct, rel=1e-10)


def test_composition_by_hand():
    """The writer moves the first coordinate to the second: [[0, 1], [0, 0]], norm 1.

    The reader's W_Q W_K^T is [[0, 0], [1, 1]], its W_V W_O [[3, 0], [4, 0]]. After the writer they
    are [[1, 1], [0, 0]], transposed [[0, 1], [0, 0]], and [[4, 0], [0, 0]].
    """

    def layers(writer, reader):
        return torch.tensor([[writer], [reader]]).double()

    weights = Weights(
        W_E=torch.eye(2).double(),
        W_Q=layers([[0], [0]], [[0], [1]]),
        W_K=layers([[0], [0]], [[1], [1]]),
        W_V=layers([[1], [0]], [[3], [4]]),
        W_O=layers([[0, 1]], [[1, 0]]),
        W_U=torch.eye(2).double(),
        others={},
    )
    composition, reader = Circuits(weights).composition, head(1, 0)
    assert composition(reader.queries, head(0, 0)) == pytest.approx(1)
    assert composition(reader.keys, head(0, 0)) == pytest.approx(1 / math.sqrt(2))
    assert composition(reader.values, head(0, 0)) == pytest.approx(4 / 5)
