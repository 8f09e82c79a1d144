"""Before that: a head writes which token was the previous one, and keys are made of it."""

import pytest

from mechanistic_claims import evidence, mean, rival, whole_groups


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.7])
def test_a_head_attends_to_the_previous_token(task, activations, heads, verdict, at_least):
    """A head attends to the previous token, with {at_least} of its attention or more.

    mean over sequences and rows of pattern[q, q − 1]

    It is the head that does so most on other sequences.
    """
    scores = activations.on(task.many).by_head(task.previous_token)
    ((layer, index),) = [(part.layer, part.index) for part in heads.previous_token.parts]
    verdict(
        mean(scores[:, layer, index], between=(0, 1)),
        at_least=at_least,
        picture=task.by_layer(scores, "Attention of each head to the previous token", "attention"),
    )


@evidence("intervention")
@pytest.mark.parametrize("at_most", [0.25])
def test_without_it_they_lose_their_target(heads, intervene, matched_by_all, verdict, at_most):
    """Without it the eight induction heads lose their target: they match at most {at_most}.

    mean over sequences of the mean prefix matching of the eight, that head ablated (mean)

    With it they match 0.57.
    """
    without = intervene.ablate(heads.previous_token, "mean")
    verdict(mean(matched_by_all(without), between=(0, 1)), at_most=at_most)


@rival
@evidence("intervention")
@pytest.mark.parametrize("at_most", [0.25])
def test_any_such_head_would_do(heads, intervene, matched_by_all, verdict, at_most):
    """Another head that attends to the previous token is needed as well: without it they match
    at most {at_most}.

    mean over sequences of the mean prefix matching of the eight, that head ablated (mean)

    It is the second by its attention to the previous token, and no induction head looks for what
    it writes.
    """
    without = intervene.ablate(heads.rival, "mean")
    verdict(mean(matched_by_all(without), between=(0, 1)), at_most=at_most)


@evidence("intervention")
@pytest.mark.parametrize("at_most", [0.25])
def test_it_is_read_as_keys(heads, intervene, weights, matched_by_all, verdict, at_most):
    """Cut from the keys of the induction heads alone, they match at most {at_most}.

    mean over sequences of the mean prefix matching of the eight

    What the head writes is replaced by its mean over sequences where keys of the eight are made of
    it, through the norm again, and of heads that have the same keys.
    """
    readers = whole_groups(heads.together, weights)
    without = intervene.cut(heads.previous_token, readers.keys, "mean")
    verdict(mean(matched_by_all(without), between=(0, 1)), at_most=at_most)


@evidence("intervention")
@pytest.mark.parametrize("read", ["queries", "values"])
@pytest.mark.parametrize("at_least", [0.3])
def test_it_is_hardly_read_otherwise(
    heads, intervene, weights, matched_by_all, verdict, read, at_least
):
    """Cut from their {read}, they match as well: {at_least} more than cut from their keys.

    mean over sequences of matching, cut from {read} − matching, cut from keys

    Each is the mean prefix matching of the eight.
    """
    readers = whole_groups(heads.together, weights)
    by_keys, otherwise = (
        matched_by_all(intervene.cut(heads.previous_token, reader, "mean"))
        for reader in (readers.keys, getattr(readers, read))
    )
    verdict(mean(otherwise - by_keys, between=(-1, 1)), at_least=at_least)
