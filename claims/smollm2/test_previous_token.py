"""Before that: a head writes which token was the previous one, and keys are made of it."""

import pytest

from mechanistic_claims import evidence, mean, rival


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.5])
def test_a_head_attends_to_the_previous_token(task, activations, heads, verdict, at_least):
    """A head attends to the previous token, with {at_least} of its attention or more.

    mean over sequences and rows of pattern[q, q − 1]

    It is the head that does so most on other sequences.
    """
    scores = activations.by_head(task.previous_token)
    ((layer, index),) = [(part.layer, part.index) for part in heads.previous_token.parts]
    verdict(
        mean(scores[:, layer, index], between=(0, 1)),
        at_least=at_least,
        picture=task.by_layer(
            scores, "Attention of each head to the previous token", "attention", [(layer, index)]
        ),
    )


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.3])
def test_without_it_they_lose_their_target(heads, intervene, target_lost, verdict, at_least):
    """Without it the eight induction heads lose their target: they match {at_least} less or more.

    mean over sequences of the fall of the mean prefix matching of the eight, that head ablated
    (mean)

    With it they match 0.57.
    """
    verdict(mean(target_lost(intervene.ablate(heads.previous_token, "mean"))), at_least=at_least)


@rival
@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.1])
def test_any_such_head_is_needed(heads, intervene, target_lost, verdict, at_least):
    """Another head that attends to the previous token is needed too: they match {at_least} less.

    mean over sequences of the fall of the mean prefix matching of the eight, that head ablated
    (mean)

    It is the second by its attention to the previous token. No induction head looks for what it
    writes.
    """
    verdict(mean(target_lost(intervene.ablate(heads.rival, "mean"))), at_least=at_least)


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.3])
def test_it_is_read_as_keys(heads, readers, intervene, target_lost, verdict, at_least):
    """Cut from the keys of the induction heads alone, they match {at_least} less or more.

    mean over sequences of the fall of the mean prefix matching of the eight

    What the head writes is replaced by its mean over sequences where keys of the eight are made of
    it, through the norm again, and of heads that have the same keys.
    """
    without = intervene.cut(heads.previous_token, readers.keys, "mean")
    verdict(mean(target_lost(without)), at_least=at_least)


@evidence("intervention")
@pytest.mark.parametrize("read", ["queries", "values"])
@pytest.mark.parametrize("at_least", [0.3])
def test_it_is_hardly_read_otherwise(
    heads, readers, intervene, target_lost, verdict, read, at_least
):
    """Cut from their {read}, far less is lost than from their keys: by {at_least} or more.

    mean over sequences of the fall of matching, cut from keys − the fall, cut from {read}

    Each is of the mean prefix matching of the eight.
    """
    by_keys, otherwise = (
        target_lost(intervene.cut(heads.previous_token, reader, "mean"))
        for reader in (readers.keys, getattr(readers, read))
    )
    verdict(mean(by_keys - otherwise), at_least=at_least)
