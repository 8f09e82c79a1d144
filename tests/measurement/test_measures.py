"""The field's measures, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mechanistic_claims.errors import CannotJudge, NothingMeasured
from mechanistic_claims.measurement.attention import (
    attention_on,
    attention_sink,
    prefix_matching,
    previous_token,
)
from mechanistic_claims.measurement.cases import drawn, draws_of, is_drawn, resting_on
from mechanistic_claims.measurement.domain import Domain, Measured
from mechanistic_claims.measurement.measures import (
    at,
    cross_entropy,
    faithfulness,
    logit_difference,
    margin,
    mean,
    mean_by,
    prediction,
    share,
)
from mechanistic_claims.measurement.variance import variance_explained, variance_in_span
from mechanistic_claims.model.batches import MadeInParts

PATTERN = torch.tensor(
    [[[1.0, 0, 0, 0], [0.3, 0.7, 0, 0], [0.1, 0.2, 0.7, 0], [0.4, 0.1, 0.2, 0.3]]]
)
TWICE = torch.cat([PATTERN, PATTERN.roll(1, dims=1)])
"""Two inputs; the second one's rows, from the first on, are 3, 0, 1, 2 of the first's."""


def test_the_mean_of_each_group_is_plain():
    """Also of what is drawn, to be looked at; nothing is the mean of none."""
    values, group = drawn(torch.tensor([1.0, 2.0, 4.0])), torch.tensor([0, 0, 2])
    found = mean_by(values, group, 4)
    assert found.tolist()[::2] == [1.5, 4.0]
    assert found[1::2].isnan().all()
    assert type(found) is torch.Tensor


def test_attention_to_a_position_that_each_row_names():
    source = torch.tensor([[0, 0, 1, -1]])
    where = torch.tensor([[False, True, True, False]])
    assert attention_on(PATTERN, source, where).tolist() == pytest.approx([0.3, 0.2])
    for outside in (-1, 4):
        with pytest.raises(CannotJudge, match=rf"1 rows name a position .* as {outside} of 0 to 3"):
            attention_on(PATTERN, torch.tensor([[0, 0, 0, outside]]), torch.ones(1, 4).bool())


def test_previous_token_and_sink():
    assert previous_token(PATTERN).tolist() == pytest.approx([0.3, 0.2, 0.2])
    assert attention_sink(PATTERN).tolist() == pytest.approx([0.3, 0.1, 0.4])
    where = torch.tensor([[True, True, False, True]])
    assert previous_token(PATTERN, where).tolist() == pytest.approx([0.3, 0.2])
    assert attention_sink(PATTERN, where).tolist() == pytest.approx([0.3, 0.4])


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([5, 6, 5, 6], [0.2, 0.2]),  # of the third to 1, of the fourth to 2
        ([5, 5, 5, 6], [0.7, 0.2 + 0.7]),  # what followed is the token itself, too
        ([5, 6, 7, 5], [0.1]),
        ([5, 6, 7, 8], []),
    ],
)
def test_prefix_matching(tokens, expected):
    assert prefix_matching(PATTERN, torch.tensor([tokens])).tolist() == pytest.approx(expected)


def test_prefix_matching_of_some_rows():
    tokens, where = torch.tensor([[5, 6, 5, 6]]), torch.tensor([[True, False, False, True]])
    assert prefix_matching(PATTERN, tokens, where).tolist() == pytest.approx([0.2])


@pytest.mark.parametrize(
    "score",
    [
        previous_token,
        attention_sink,
        lambda pattern: prefix_matching(pattern, torch.tensor([[5, 5, 5, 5]] * 2)),
        lambda pattern: attention_on(pattern, torch.zeros(2, 4).long(), torch.ones(2, 4) > 0),
    ],
)
def test_rows_of_drawn_inputs_rest_on_the_draw_of_their_input(score):
    found = score(resting_on(TWICE, torch.tensor([8, 3])))
    rows = len(found) // 2
    assert draws_of(found).tolist() == [8] * rows + [3] * rows
    assert mean(found, between=(0, 1)).domain == Domain("sampled", 2)
    assert not is_drawn(score(TWICE))


def test_rows_rest_on_drawn_tokens_and_on_one_draw_only():
    tokens = drawn(torch.tensor([[5, 6, 5, 6], [5, 6, 7, 5]]))
    assert draws_of(prefix_matching(TWICE, tokens)).tolist() == [0, 0, 1]
    with pytest.raises(CannotJudge, match="rest on different draws"):
        prefix_matching(resting_on(TWICE, torch.tensor([8, 3])), tokens)


def test_cross_entropy_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)], [0.0, 20.0]]).double()
    found = cross_entropy(logits, torch.tensor([0, 1, 1]))
    assert found.tolist() == pytest.approx(
        [math.log(4), math.log(4 / 3), math.log1p(math.exp(-20))]
    )
    assert cross_entropy(torch.tensor([[0.0, 20.0]]), torch.tensor([1])).item() > 0, "float64"
    in_parts = MadeInParts(3, lambda part: logits[part])
    assert torch.equal(cross_entropy(in_parts, torch.tensor([0, 1, 1])), found)
    for broken in (math.nan, math.inf):
        with pytest.raises(NothingMeasured, match="a loss is NaN"):
            cross_entropy(torch.tensor([[0.0, broken]]), torch.tensor([1]))


def test_the_loss_of_a_sure_answer_is_no_rounding():
    """Two others, 50 and 60 below: e^-50 + e^-60, where a difference of float64 is 0."""
    sure = torch.tensor([[1000.0, 950.0, 940.0]])
    by_hand = pytest.approx(math.exp(-50) + math.exp(-60), rel=1e-12, abs=0)
    assert cross_entropy(sure, torch.tensor([0])).item() == by_hand
    assert cross_entropy(sure, torch.tensor([2])).item() == pytest.approx(60, rel=1e-12)


def test_logit_difference_by_hand():
    logits = torch.tensor([[1.0, 5.0, 2.0], [4.0, 3.0, 9.0]])
    assert logit_difference(logits, torch.tensor([1, 0]), torch.tensor([2, 2])).tolist() == [3, -5]


def test_measures_of_drawn_logits_rest_on_their_draws():
    logits, labels = drawn(torch.tensor([[1.0, 5.0], [4.0, 3.0], [2.0, 9.0]])), torch.ones(3).long()
    for found in (
        margin(logits, labels),
        at(logits, labels),
        cross_entropy(logits, labels),
        logit_difference(logits, labels, 1 - labels),
        2 * logits.double() - logits,
    ):
        assert mean(found).domain == Domain("sampled", 3, approximate=True)
    assert share(prediction(logits) == labels).domain == Domain("sampled", 3)
    assert share(margin(logits, labels) > 0) == 2 / 3


def test_faithfulness_by_hand():
    assert faithfulness(3.0, 5.0, 1.0) == 0.5
    assert faithfulness(torch.tensor(0.0), torch.tensor(5.0), 1.0) == -0.25
    assert faithfulness(2.0, 1.0, 5.0) == 0.75, "of losses: the clean one is lower"


@pytest.mark.parametrize(
    "numbers", [(3.0, 1.0, 1.0), (math.nan, 2.0, 1.0), (3.0, math.nan, 1.0), (3.0, 2.0, math.inf)]
)
def test_faithfulness_of_no_effect_or_no_number_is_an_error(numbers):
    with pytest.raises(NothingMeasured, match=r"not a number that a bound can be held to"):
        faithfulness(*numbers)


def test_faithfulness_of_a_sample_has_limits_or_is_refused():
    clean = Measured(0.9, Domain("sampled", 50), 0.8, 1.0)
    found = faithfulness(0.5, clean, 0.0)
    assert (found.low, found.high) == (0.5, 0.625)
    assert found.domain == clean.domain
    with pytest.raises(CannotJudge, match="which may be 0"):
        faithfulness(0.5, clean, 0.85)


def test_variance_explained_by_hand():
    """Of 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14; residuals of the second 0, 1, 2."""
    values = torch.tensor([1.0, 2.0, 6.0])
    assert variance_explained(values, values) == 1
    assert variance_explained(values, torch.tensor([1.0, 1.0, 4.0])) == pytest.approx(1 - 5 / 14)
    assert variance_explained(values, torch.full((3,), 3.0)) == 0
    assert variance_explained(values, -values) < 0
    columns = torch.stack([values, torch.tensor([8.0, 10.0, 12.0])], dim=1)
    told = torch.stack([values, torch.full((3,), 10.0)], dim=1)
    assert variance_explained(columns, told) == pytest.approx(14 / 22), "each about its own mean"
    for broken in (torch.ones(3), values * math.nan):
        with pytest.raises(NothingMeasured):
            variance_explained(broken, broken)


def test_variance_explained_of_draws_has_limits():
    """By each of the two sums, as far as these are known."""
    generator = torch.Generator().manual_seed(0)
    values, noise = torch.randn(2, 500, 3, generator=generator)
    found = variance_explained(drawn(values), values + noise / 3)
    assert found.domain == Domain("sampled", 500, approximate=True)
    assert float(found) == variance_explained(values, values + noise / 3)
    assert found.low < 8 / 9 < found.high
    assert 0.7 < found.low < found < found.high < 0.95


def test_each_draw_weighs_the_same_in_what_is_explained():
    """Whichever of the two is drawn: 40 pairs of draws with 1 and 3 cases, by 1/2 and 1/6."""
    values = torch.tensor([4.0, 1.0, 2.0, 6.0]).repeat(40)
    predicted = torch.tensor([3.0, 1.0, 1.0, 5.0]).repeat(40)
    draw = (2 * torch.arange(40)[:, None] + torch.tensor([0, 1, 1, 1])).flatten()
    mean = 4 / 2 + (1 + 2 + 6) / 6  # 3.5
    spread = 0.25 / 2 + (6.25 + 2.25 + 6.25) / 6
    off = 1 / 2 + (0 + 1 + 1) / 6
    assert mean == 3.5
    for one, other in (
        (resting_on(values, draw), predicted),
        (values, resting_on(predicted, draw)),
        (resting_on(values, draw), resting_on(predicted, draw)),
    ):
        found = variance_explained(one, other)
        assert float(found) == pytest.approx(1 - off / spread)
        assert found.domain.draws == 80


def test_variance_in_a_span_by_hand():
    """Of 3 e1 + 4 e2 the directions hold e1: 9 of 25; constants are no part of either."""
    one = torch.tensor([1.0, -1, 0, 0]) / math.sqrt(2)
    two = torch.tensor([0.0, 0, 1, -1]) / math.sqrt(2)
    values = torch.stack([3 * one + 4 * two + 7, two, one * 1e-5, torch.full((4,), 0.1)], dim=1)
    found = variance_in_span(values, torch.stack([2 * one - 30], dim=1))
    assert found.tolist() == pytest.approx([9 / 25, 0, 1, 0], abs=1e-9)
    assert variance_in_span(values[:, 0], torch.stack([one, two], dim=1)).item() == pytest.approx(1)


def test_directions_that_depend_on_each_other_add_nothing():
    """Four columns of rank two: an orthogonal basis of four has two of noise."""
    generator = torch.Generator().manual_seed(0)
    two = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    four = two @ torch.randn(2, 4, generator=generator, dtype=torch.float64)
    values = torch.randn(50, 20, generator=generator, dtype=torch.float64)
    assert torch.allclose(variance_in_span(values, four), variance_in_span(values, two), atol=1e-9)


def test_a_span_of_nothing_is_an_error():
    values = torch.tensor([1.0, 2.0])
    for broken, by in ((values, torch.ones(2, 1)), (values * math.nan, values[:, None])):
        with pytest.raises(NothingMeasured, match="no direction varies"):
            variance_in_span(broken, by)
