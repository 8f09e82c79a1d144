"""What a claim is given, and gives, of a task that asks at every position of an input."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange, repeat

from mechanistic_claims.measurement.attention import (
    attention_on,
    attention_sink,
    of_each_input,
    prefix_matching,
    previous_token,
)
from mechanistic_claims.measurement.cases import drawn, plain
from mechanistic_claims.measurement.domain import Domain
from mechanistic_claims.measurement.measures import share
from mechanistic_claims.model.components import head, mlp
from mechanistic_claims.model.task import require_drawn
from mechanistic_claims.verdict.verdict import held_to
from tests.measurement.by_hand import refused
from tests.plain_transformer import D_MODEL, LOGITS, POSITIONS, Kind, Questions

INPUTS = 20


def everywhere(**more):
    """Asked at every position."""
    asked = Questions(**more)
    asked.answer_positions = tuple(range(POSITIONS))
    asked.labels = torch.arange(INPUTS * POSITIONS) % LOGITS
    return asked


@pytest.fixture(scope="module")
def subject():
    with torch.no_grad():
        return Kind(layers=1, mlp="relu").subject(everywhere())


def test_exceptions_are_named_by_the_position_too(subject, as_for_users):
    first = ",".join(map(str, subject.task.inputs[3].tolist()))
    wrong = torch.zeros(INPUTS * POSITIONS, dtype=torch.bool)
    wrong[[3 * POSITIONS, 3 * POSITIONS + 4]] = True
    found = held_to(0.5, at_least=0, exceptions=subject.activations.cases[wrong])
    assert found.exceptions == (f"position 0 of ({first})", f"position 4 of ({first})")
    assert found.exception_count == 2
    alone = Kind(layers=1).subject(everywhere())
    alone.task.answer_positions, alone.task.labels = (-1,), torch.zeros(INPUTS, dtype=torch.long)
    cases = Kind(layers=1).subject(alone.task).activations.cases
    assert held_to(0.5, at_least=0, exceptions=cases[wrong[::6]]).exceptions == (f"({first})",)
    refused("cases[...] of a mask of 20, expected 120: one", lambda: cases_of(subject)[wrong[::6]])
    refused("cases[...] of a mask of 20 x 6, expect", lambda: cases_of(subject)[wrong.view(20, 6)])


def cases_of(subject):
    return subject.activations.cases


def test_labels_may_be_of_inputs_and_positions(subject, as_for_users):
    """Those that are drawn still rest each on its input."""
    labels = subject.task.labels.view(INPUTS, POSITIONS)
    activations = subject.activations
    assert torch.equal(activations.answers(labels), activations.correct)
    answered = activations.answers(drawn(labels))
    assert share(answered).domain == Domain("sampled", INPUTS)
    refused("20 labels (20 x 5), expected 120", lambda: activations.answers(labels[:, :5]))


def test_of_each_input_as_many_answers_may_lie_in_a_row(as_for_users):
    """Of other positions in each input too; where inputs have other numbers, there are no rows."""
    asked = Questions(is_sample=True)
    asked.answer_positions = torch.tensor([[i, p] for i in range(INPUTS) for p in (1 + i % 2, 4)])
    asked.labels = torch.arange(2 * INPUTS) % LOGITS
    activations = Kind(layers=1).subject(asked).activations
    assert torch.equal(activations.answers(asked.labels.view(INPUTS, 2)), activations.correct)
    intervene = Kind(layers=1).subject(asked).intervene
    flat = torch.arange(2 * INPUTS) % 2
    attended = intervene.attend({head(0, 0): flat.view(INPUTS, 2)})
    assert torch.equal(attended.logits, intervene.attend({head(0, 0): flat}).logits)
    whole = activations.correct.view(INPUTS, 2).all(dim=-1)
    assert share(whole).domain == Domain("sampled", INPUTS)
    apart = Kind(layers=1).subject(Questions()).activations
    counted = len(apart.cases)
    refused(f"labels ({INPUTS} x 2), expected {counted}", lambda: apart.answers(flat.view(-1, 2)))


@pytest.mark.parametrize(
    "again",
    [
        lambda few: few.repeat(5, 1),
        lambda few: few.repeat_interleave(5, dim=0),
    ],
    ids=["in turn", "one after another"],
)
def test_a_few_inputs_again_and_again_are_no_draws(again):
    asked = everywhere()
    few, asked.is_sample = asked.inputs[:4], True
    Kind(layers=1).subject(asked)
    asked.inputs = again(few)
    refused(
        "20 inputs are said to be drawn, and are 4, each",
        lambda: Kind(layers=1).subject(asked),
    )
    asked.inputs = few[:0]
    require_drawn(asked)  # that there are none is told where they are asked
    asked.inputs = few[torch.randint(4, (20,), generator=torch.Generator().manual_seed(1))]
    Kind(layers=1).subject(asked)


def test_a_pattern_that_was_read_may_be_set(subject):
    pattern = subject.activations.pattern(head(0, 1)).flip(0)
    by_case = rearrange(pattern, "input query source -> (input query) source")
    attend = subject.intervene.attend
    found = attend({head(0, 1): pattern}).logits
    assert torch.equal(found, attend({head(0, 1): by_case}).logits)
    assert not torch.equal(found, subject.activations.logits)


def test_a_position_may_be_a_number(subject):
    attend, each = subject.intervene.attend, torch.zeros(INPUTS * POSITIONS, dtype=torch.long)
    assert torch.equal(attend({head(0, 0): 0}).logits, attend({head(0, 0): each}).logits)
    refused("attend: position 6 of inputs of 6", lambda: attend({head(0, 0): 6}).logits)


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_no_head_is_given_what_its_mask_hides(attention):
    """Of a position, counted from the end too, and of a pattern, at the first answer that can't."""
    with torch.no_grad():
        subject = Kind(layers=1, attention=attention).subject(everywhere())
    even = torch.full((INPUTS * POSITIONS, POSITIONS), 1 / POSITIONS).double()
    for given, where in ((2, 2), (-1, POSITIONS - 1), (even, 1)):
        attended = subject.intervene.attend({head(0, 0): given})
        if attention == "causal":
            refused(f"position {where} comes after 0, where", lambda run=attended: run.logits)
        else:
            assert not torch.equal(attended.logits, subject.activations.logits)


def test_one_direction_is_that_of_every_case(subject):
    direction = torch.arange(D_MODEL).double()
    each = repeat(direction, "d -> case d", case=INPUTS * POSITIONS)
    written = subject.activations.written_along
    assert torch.equal(written(direction), written(each))


def test_sources_are_of_inputs(subject):
    said = "patch: the source is 120, expected 20: for each input the number of another, however"
    refused(said, lambda: subject.intervene.patch(mlp(0), torch.arange(120)))


@pytest.mark.parametrize("at", [0.5, [0.5], [], "answer"])
def test_where_an_edit_may_be(subject, at, as_for_users):
    said = f"at={at!r}: expected 'every position', 'answers', a position or several, a tensor [in"
    refused(said, lambda: subject.intervene.ablate(mlp(0), "zero", at))
    refused(said, lambda: subject.intervene.put("hook_embed", torch.zeros(20, 6, 8), at))


ROWS_OF_EACH = torch.arange(POSITIONS) > torch.arange(INPUTS)[:, None] % 4
"""Of each input another number of queries, and never the first."""


def test_scores_of_the_field_are_means_over_their_rows(subject, as_for_users):
    activations, inputs = subject.activations, subject.task.inputs
    tokens = repeat(torch.tensor([1, 2, 1, 3, 2, 1]), "position -> input position", input=INPUTS)
    asked = everywhere()
    asked.inputs = (tokens + torch.arange(INPUTS)[:, None]) % 11
    again = activations.on(asked)
    pattern = plain(again.pattern(head(0, 1)))
    rows = torch.arange(1, POSITIONS)
    previous = pattern[:, rows, rows - 1].mean(dim=1)
    matched = (pattern[:, 2, 1] + pattern[:, 4, 2] + pattern[:, 5, 1] + pattern[:, 5, 3]) / 3
    for score, expected in (
        (previous_token, previous),
        (attention_sink, pattern[:, 1:, 0].mean(dim=1)),
        (prefix_matching, matched),
        (lambda pattern, part: pattern[:, 3, 1], pattern[:, 3, 1]),
    ):
        found = again.by_head(score)
        assert found.shape == (INPUTS, 1, 2)
        assert (found[:, 0, 1] - expected).abs().max() < 1e-6
    later = torch.arange(POSITIONS).expand(INPUTS, -1) > 2
    found = again.by_head(attention_sink, later)[:, 0, 1]
    assert (found - pattern[:, 3:, 0].mean(dim=1)).abs().max() < 1e-6
    of_all = again.by_head(attention_sink)[:, 0, 1]
    assert (of_all - pattern[:, 1:, 0].mean(dim=1)).abs().max() < 1e-6
    part = slice(5, 9)
    of_part = of_each_input(attention_sink, pattern[part], again.passes.inputs, part, ROWS_OF_EACH)
    expected = (pattern[part, :, 0] * ROWS_OF_EACH[part]).sum(dim=1) / ROWS_OF_EACH[part].sum(dim=1)
    assert torch.allclose(of_part, expected)
    found = again.by_head(prefix_matching, where=later)[:, 0, 1]
    matched = (pattern[:, 4, 2] + pattern[:, 5, 1] + pattern[:, 5, 3]) / 2
    assert (found - matched).abs().max() < 1e-6
    refused("by_head: where is 20 x 5, exp", lambda: again.by_head(previous_token, later[:, 1:]))
    refused("has no row", lambda: again.by_head(previous_token, torch.zeros_like(later)))
    of_own = lambda pattern, part: pattern[:, 3, 1]  # noqa: E731
    refused("choose the rows in it", lambda: again.by_head(of_own, later))
    without = int(next(i for i, row in enumerate(inputs) if len(row.unique()) == POSITIONS))
    said = f"by_head: input {without} has no row for prefix_matching"
    refused(said, lambda: activations.by_head(prefix_matching))


def test_a_score_is_a_number_for_each_input(subject):
    said = "by_head: the score gave 20 x 6, expected 20: one number for each input of the part"
    refused(said, lambda: subject.activations.by_head(lambda pattern, part: pattern[:, 0]))
    said = "by_head: the score gave a single number, expected 20"
    refused(said, lambda: subject.activations.by_head(lambda pattern, part: pattern.mean()))


def test_attention_from_one_role_to_another(as_for_users):
    """A position of each input, to one of each: as by hand, and each rests on its input."""
    pattern = torch.rand(4, 5, 5, generator=torch.Generator().manual_seed(0))
    to, of = torch.tensor([0, 1, 2, 0]), torch.tensor([4, 3, 2, 1])
    by_hand = pattern[torch.arange(4), of, to]
    assert torch.equal(attention_on(pattern, to, where=of), by_hand)
    assert torch.equal(attention_on(pattern, to)[::5], pattern[torch.arange(4), 0, to])
    found = attention_on(pattern, drawn(to), where=of)
    assert torch.equal(found.draw, torch.arange(4))
    for source, where, said in (
        (to[:3], of, "source is 3 of torch.int64, and the pattern 4 x 5 x 5: expected positions"),
        (to.double(), of, "source is 4 of torch.float64"),
        (to, of[:3], "where is 3 of torch.int64: expected a mask [input query], 4 x 5, or one"),
        (to, of + 1, "where names a query that is none of 5"),
        (to + 3, of, "name a position that is not there, as 5 of 0 to 4"),
    ):
        refused(said, lambda source=source, where=where: attention_on(pattern, source, where))


def test_attention_from_several_answers_of_each_input(subject, as_for_users):
    """As from each of them alone; each rests on its input."""
    pattern, answers = subject.activations.pattern(head(0, 1)), torch.tensor([1, 3, 5])
    where = answers.expand(INPUTS, -1)
    of, chosen = torch.arange(INPUTS)[:, None], plain(pattern)[:, answers]
    to = (of + torch.arange(3)) % POSITIONS
    expected = chosen.gather(-1, to[..., None]).flatten()
    mask = torch.rand(INPUTS, 3, POSITIONS, generator=torch.Generator().manual_seed(0)) > 0.5
    of_each = (chosen * mask).sum(dim=-1).flatten()
    for places in (where, where.flatten()):
        assert torch.equal(attention_on(pattern, to, where=places), expected)
        assert torch.equal(attention_on(pattern, to.flatten(), where=places), expected)
        assert torch.equal(attention_on(pattern, mask, where=places), of_each)
        assert torch.equal(attention_on(pattern, mask.flatten(0, 1), where=places), of_each)
    one = to[:, 0]
    of_input = chosen.gather(-1, one[:, None, None].expand(-1, 3, 1)).flatten()
    assert torch.equal(attention_on(pattern, one, where=where), of_input)
    whole = torch.rand(INPUTS, POSITIONS, generator=torch.Generator().manual_seed(1)) > 0.5
    of_wholes = (chosen * whole[:, None]).sum(dim=-1).flatten()
    assert torch.equal(attention_on(pattern, whole, where=where), of_wholes)
    queries = torch.arange(POSITIONS).expand(INPUTS, -1)
    of_rows = attention_on(pattern, queries, where=where)
    assert torch.equal(of_rows, chosen.gather(-1, where[..., None]).flatten())
    drawn_ones = attention_on(drawn(pattern), to, where=where)
    assert torch.equal(drawn_ones.draw, torch.arange(INPUTS).repeat_interleave(3))
    refused("names a query that is none of", lambda: attention_on(pattern, to, where=where + 1))
    refused("source is", lambda: attention_on(pattern, to[:, :2], where=where))


def test_attention_to_a_set_of_positions(as_for_users):
    """0.1 + 0.4 and 0.2 of the rows that are asked; all of a row is 1."""
    pattern = torch.tensor([[[0.1, 0.5, 0.4], [0.2, 0.7, 0.1]]])
    mask = torch.tensor([[[True, False, True], [True, False, False]]])
    assert attention_on(pattern, mask).tolist() == pytest.approx([0.5, 0.2])
    second = torch.tensor([[False, True]])
    assert attention_on(pattern, mask, second).tolist() == pytest.approx([0.2])
    assert attention_on(pattern, torch.tensor([[2, 1]])).tolist() == pytest.approx([0.4, 0.7])
    of_input = torch.tensor([[False, True, True]])
    assert attention_on(pattern, of_input).tolist() == pytest.approx([0.9, 0.8])
    assert attention_on(pattern, of_input, torch.tensor([1])).tolist() == pytest.approx([0.8])
    of_heads = "the pattern is 1 x 1 x 2 x 3, expected [input query source], of one head"
    refused(of_heads, lambda: attention_on(pattern[:, None], of_input))
    said = "attention_on: the mask is 1 x 2 of torch.bool, and the pattern 1 x 2 x 3: expected"
    refused(said, lambda: attention_on(pattern, mask[:, 0, :2]))
