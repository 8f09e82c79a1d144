"""Prompts: what is asked of them is where their roles say it is."""

from __future__ import annotations

import pytest
import torch

from models.smollm2 import texts
from models.smollm2.completions import Agreement, Years, capitals
from models.smollm2.prompts import FIRST, PROMPTS, indirect_objects, numbers, picked
from tests.conftest import CPU

NAMES = {f" {name}" for name in texts.NAMES}


@pytest.mark.parametrize("prompts", [indirect_objects(CPU), picked(CPU)], ids=["judged", "picked"])
def test_roles_of_indirect_objects(prompts):
    assert prompts.inputs.shape == (PROMPTS, prompts.END + 1)
    first = 0
    for text, answer, subject, third in zip(
        prompts.texts, prompts.answers, prompts.subjects, prompts.thirds, strict=True
    ):
        at = [place for place, token in enumerate(text, start=1) if token in NAMES]
        names = [text[place - 1] for place in at]
        assert at == [2, 4, prompts.SECOND]
        assert set(names) == {answer, subject}
        assert names[2] == subject
        assert third not in names
        first += names[0] == answer
        assert text[-1] == " to"
    assert PROMPTS / 3 < first < PROMPTS * 2 / 3, "either name comes first"
    assert prompts.inputs[:, 0].unique().tolist() == [FIRST]


def test_in_corrupted_prompts_no_name_comes_twice():
    prompts = indirect_objects(CPU)
    differs = prompts.corrupted != prompts.inputs
    assert differs.nonzero()[:, 1].tolist() == [prompts.SECOND] * PROMPTS
    for row in prompts.corrupted[:, [2, 4, prompts.SECOND]].tolist():
        assert len(set(row)) == 3


def test_heads_are_picked_on_other_sentences():
    """They are told by their verbs."""
    judged, others = (
        {(text[4], text[10]) for text in prompts.texts}
        for prompts in (indirect_objects(CPU), picked(CPU))
    )
    assert len(judged) == len(texts.SENTENCES)
    assert len(others) == len(texts.OTHER_SENTENCES)
    assert not judged & others


def test_attention_is_scored_between_these_places():
    prompts = indirect_objects(CPU)
    length = prompts.END + 1
    pattern = torch.arange(float(length * length)).reshape(1, length, length)
    pattern = pattern.expand(PROMPTS, -1, -1)
    part = slice(3, 40)
    place_of_answer = [text.index(answer) + 1 for text, answer in pairs(prompts, prompts.answers)]
    place_of_subject = [text.index(one) + 1 for text, one in pairs(prompts, prompts.subjects)]
    for score, query, sources in (
        (prompts.end_to_object, prompts.END, place_of_answer),
        (prompts.subject_to_itself, prompts.SECOND, place_of_subject),
        (prompts.end_to_subject, prompts.END, [prompts.SECOND] * PROMPTS),
    ):
        found = score(pattern[part], part).tolist()
        assert found == [query * length + source for source in sources[part]], score.__name__


def pairs(prompts, names):
    return zip([list(text) for text in prompts.texts], names, strict=True)


def test_how_far_the_answer_is_before_names():
    prompts = indirect_objects(CPU)
    logits = torch.zeros(PROMPTS, max(numbers().values()) + 1)
    each = torch.arange(PROMPTS)
    logits[:, [numbers()[name] for name in NAMES]] = 1.0
    logits[each, prompts.labels] = 5.0
    logits[each, [numbers()[name] for name in prompts.subjects]] = 2.0
    assert prompts.before_the_subject(logits).tolist() == [3.0] * PROMPTS
    assert prompts.before_other_names(logits).tolist() == [4.0] * PROMPTS


def test_later_years():
    years = Years.drawn(CPU)
    logits = torch.full((PROMPTS, max(numbers().values()) + 1), -40.0)
    for row, (text, tens) in enumerate(zip(years.texts, years.answers, strict=True)):
        century, begun = text[8], text[9]
        assert (text[7], text[-1], begun) == ("1", century, tens)
        later, earlier = str(int(tens) + 1), str(int(tens) - 1)
        logits[row, numbers()[later]], logits[row, numbers()[earlier]] = 3.0, 2.0
        logits[row, numbers()[tens]] = 2.0
    expected = (20.0855 - 7.3891) / (20.0855 + 7.3891 + 7.3891)
    assert years.later(logits).tolist() == pytest.approx([expected] * PROMPTS, abs=1e-4)


def test_verbs_agree_with_the_first_noun():
    texts_of = Agreement.drawn(CPU)
    plural = [text[1].endswith("s") for text in texts_of.texts]
    assert texts_of.answers == tuple(" are" if one else " is" for one in plural)
    assert 0.3 < sum(plural) / len(plural) < 0.7
    near = [text[4].endswith("s") for text in texts_of.texts]
    assert 0.3 < sum(a != b for a, b in zip(plural, near, strict=True)) / len(plural) < 0.7
    logits = torch.zeros(len(plural), max(numbers().values()) + 1)
    logits[:, numbers()[" are"]] = 1.5
    leads = texts_of.before_the_wrong(logits)
    assert leads.tolist() == [1.5 if one else -1.5 for one in plural]


def test_capitals_are_all_there_are():
    prompts = capitals(CPU)
    assert prompts.inputs.shape == (37, 6)
    assert prompts.labels.tolist() == [numbers()[f" {c}"] for c in texts.CAPITALS.values()]
