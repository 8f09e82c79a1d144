"""What is drawn at random says so, whatever an author computes of it; or it is an error."""

from __future__ import annotations

import inspect

import pytest
import torch
from einops import rearrange

from mechanistic_claims.errors import CannotJudge
from mechanistic_claims.measurement.cases import drawn, draws_of, is_drawn, plain, resting_on
from mechanistic_claims.measurement.domain import EXHAUSTIVE, Domain
from mechanistic_claims.measurement.measures import share
from mechanistic_claims.verdict.verdict import Judge, held_to

ROWS = torch.tensor([0, 1, 2, 1, 0])
REARRANGED = (
    lambda x: x.flip(0),
    lambda x: x.softmax(dim=0),
    lambda x: x.sort()[0],
    lambda x: x.cumsum(0),
    lambda x: torch.stack([x, x]).sum(dim=0),
    lambda x: torch.zeros(5).scatter(0, torch.arange(5), x),
    lambda x: (torch.ones(5, 5) * x)[:, 0],
    lambda x: torch.ones(5, 5)[:, (x * 2).long()][:, 0],
    lambda x: (x[:, None] * torch.ones(5, 5)).all(dim=0),
    lambda x: torch.stack([x, x, x, x, x], dim=-1).permute(1, 0)[:, 0],
    lambda x: torch.stack([x, x, x, x, x], dim=-1).transpose(0, -1)[:, 0],
    lambda x: torch.stack([x, x], dim=-1).reshape(5, 2).T.reshape(10)[:5],
    lambda x: x[:4].reshape(2, 2).sum(dim=-1)[[0, 1, 0, 1, 0]],
    lambda x: torch.rand(5, 5)[torch.arange(5)[None], (x * 2).long()[None]][0],
    lambda x: x[None].expand(5, 5).reshape(5, 5)[:, 0],
    lambda x: torch.einsum("a,b->ab", torch.ones(5), x)[:, 0],
    lambda x: torch.einsum("a,b->ab", x, x)[:, 0],
    lambda x: torch.einsum("aa->a", torch.stack([x] * 5, dim=-1)),
    lambda x: torch.einsum("a,a", x, x)[None].expand(5),
    lambda x: x @ torch.ones(5, 5),
)


@pytest.fixture
def numbers():
    """Three draws, on which five cases rest."""
    return drawn(torch.tensor([0.2, 0.9, 0.4]))[ROWS]


def test_rows_of_one_index_rest_on_one_draw(numbers):
    assert draws_of(numbers).tolist() == ROWS.tolist()
    assert share(numbers > 0.5).domain == Domain("sampled", 3)
    assert share((numbers > 0.5)[torch.tensor([True, False, False, False, True])]).domain.draws == 1


@pytest.mark.parametrize(
    "computed",
    [
        lambda x: ~(x > 0.5),
        lambda x: torch.ones(5, dtype=torch.bool) & (x > 0.5),
        lambda x: (x * 10).long() % 2 == 0,
        lambda x: torch.where(x > 0.5, x, 1 - x) > 0.3,
        lambda x: torch.zeros(5, 2).scatter(1, torch.ones(5, 1).long(), x[:, None])[:, 1] > 0.5,
        lambda x: torch.eye(3)[ROWS].gather(1, (x * 3).long()[:, None]).all(dim=1),
        lambda x: torch.where(condition=x > 0.5, input=x, other=1 - x) > 0.3,
        lambda x: x.masked_fill(torch.zeros(5).bool(), 0.0) > 0.5,
        lambda x: x[:, None].softmax(dim=-1)[:, 0] > 0.5,
        lambda x: torch.stack([x, x], dim=-1).sum(dim=-1) > 0.5,
        lambda x: (x.square() ** 0.5).exp().log1p().sigmoid() * 2 // 1 >= 1 - x.isnan().float(),
        lambda x: x - torch.full_like(x, 0.5) > x.new_zeros(5),
        lambda x: torch.stack([x, x], dim=-1) @ torch.tensor([0.5, 0.5]) > 0.5,
        lambda x: (
            rearrange(torch.stack([x, x, x], dim=-1), "row (a b) -> row b a", a=3)[:, 0, 1] > 0.5
        ),
        lambda x: x[:, None, None].transpose(1, -1).reshape(5) > 0.5,
        lambda x: torch.rand(5, 5)[torch.arange(5), (x * 2).long()] > 0.5,
        lambda x: (torch.rand(5, 5) * x[:, None])[torch.arange(5), (x * 2).long()] > 0.5,
        lambda x: torch.stack([x, x], dim=-1).reshape(10).view(5, 2).all(dim=-1),
        lambda x: torch.stack([x, x], dim=-1).flatten()[::2] > 0.5,
        lambda x: torch.einsum("ra,ab,r->rb", x[:, None], torch.ones(1, 2), x)[:, 0] > 0.2,
    ],
)
def test_what_is_computed_row_by_row_keeps_its_draws(numbers, computed):
    assert share(computed(numbers)).domain == Domain("sampled", 3)


def test_draws_go_along_to_another_device(numbers):
    """Where rows are chosen by what is there: `meta` stands for a GPU."""
    assert numbers.to("meta").draw.device.type == "meta"


def test_what_is_chosen_by_a_draw_rests_on_it(numbers):
    """Also where the values themselves are enumerated."""
    values = torch.tensor([True, False, True, True, False])
    assert share(values[numbers > 0.1]).domain == Domain("sampled", 3)
    assert share(values[ROWS]).domain == EXHAUSTIVE


@pytest.mark.parametrize("rearranged", REARRANGED)
def test_what_is_rearranged_is_refused(numbers, rearranged):
    with pytest.raises(
        CannotJudge, match="it is not known any more on how many draws these rows rest"
    ):
        share(rearranged(numbers) > 0.5)


def test_it_is_told_where_that_was_done(numbers):
    """By whatever stands in this file, not in the libraries between."""
    pairs = torch.stack([numbers, numbers], dim=-1)
    line = inspect.currentframe().f_lineno + 1
    mixed = rearrange(pairs, "row two -> (two row)").abs()[:5] > 0.5
    with pytest.raises(CannotJudge, match=rf"rest: permute in test_cases.py:{line} may have"):
        share(mixed)


def test_different_draws_are_not_mixed(numbers):
    other = resting_on(torch.ones(5, dtype=torch.bool), torch.arange(5))
    with pytest.raises(CannotJudge, match="it is not known any more on how many draws"):
        share((numbers > 0.5) & other)
    with pytest.raises(CannotJudge, match="rest on different draws"):
        draws_of(numbers, other)


def test_a_number_of_it_alone_is_refused(numbers):
    """By whatever way an author makes it a number, but for `share` and `mean`."""
    for number in (
        lambda: held_to((numbers > 0.5).double().mean(), at_least=0.1),
        lambda: (numbers > 0.5).sum().item(),
        lambda: float(numbers.amax()),
        lambda: int((numbers > 0.5).sum()),
        lambda: (numbers > 0.5).tolist().count(True) / 5,
        lambda: (numbers > 0.5).numpy().mean(),
        lambda: 1.0 if (numbers > 0.5).any() else 0.0,
    ):
        with pytest.raises(CannotJudge, match=r"drawn at random"):
            number()


def in_place(numbers):
    held = torch.zeros(5)
    held += numbers
    return held


@pytest.mark.parametrize(
    "written",
    [
        lambda x: torch.zeros(5, dtype=torch.bool).__setitem__(x > 0.5, True),
        lambda x: torch.zeros(5).copy_(x),
        lambda x: torch.add(x, 1, out=torch.zeros(5)),
        lambda x: x.__setitem__(0, 1.0),
        in_place,
    ],
)
def test_a_tensor_that_can_not_tell_of_it_is_not_written_to(numbers, written):
    with pytest.raises(CannotJudge, match=r"make a new one, torch\.where"):
        written(numbers)


def test_draws_are_not_counted_anew(numbers):
    with pytest.raises(CannotJudge, match="would count its draws anew"):
        drawn(numbers)


def test_exceptions_and_pictures_can_be_made_of_it(numbers):
    judge = Judge()
    judge(0.0, at_most=1, exceptions=ROWS[numbers > 0.5])
    assert judge.verdict.exceptions == ("1", "1")
    assert not is_drawn(judge.exceptions)
    assert plain(numbers).numpy().tolist() == pytest.approx([0.2, 0.9, 0.4, 0.9, 0.2])


@pytest.mark.parametrize(
    "apart",
    [
        lambda inputs, answers: inputs[answers > 0.5],
        lambda inputs, answers: answers * inputs,
        lambda inputs, answers: torch.where(answers > 0.5, inputs, 0),
    ],
)
def test_rows_of_inputs_and_of_their_answers_are_told_apart(apart):
    """The mistake to make where inputs have several answers; any other stays torch's own."""
    answers = drawn(torch.rand(2)).repeat_interleave(5)
    with pytest.raises(CannotJudge, match=r"test_cases.py:\d+: 2 rows and 10, 5 times as many"):
        apart(torch.arange(2), answers)
    with pytest.raises((IndexError, RuntimeError)) as raised:
        apart(torch.arange(3), answers)
    assert not isinstance(raised.value, CannotJudge)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x @ torch.rand(4, 5),
        lambda x: x + torch.rand(4, 8, 2),
        lambda x: x[torch.tensor([9, 9])],
        lambda x: x.gather(1, torch.zeros(4, 3)),
    ],
)
def test_other_errors_of_torch_are_its_own(wrong):
    with pytest.raises((IndexError, RuntimeError)) as raised:
        wrong(drawn(torch.rand(8, 3)))
    assert not isinstance(raised.value, CannotJudge)
