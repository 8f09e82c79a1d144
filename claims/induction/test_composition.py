"""Step two, between the layers: what the previous-token head writes is read as keys."""

import pytest

from mechanistic_claims import Heatmap, evidence, margin, mean, quantitative, share


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.95])
def test_keys_are_matched_through_it(circuits, heads, verdict, at_least):
    """Through the previous-token head's output as key, each token is matched best by itself.

    share of tokens t with QK[t, t] > QK[t, j] for every j ≠ t

    QK = W_E W_Q (W_E W_V W_O W_K)ᵀ / √d_head: W_Q and W_K of the strongest induction head, W_V and
    W_O of the previous-token head, in float64. Row t is what a query of t scores where the previous
    token was j.
    """
    qk = circuits.qk(heads.strongest, keys=heads.previous_token).matrix
    leads = margin(qk, qk.new_tensor(range(len(qk))).long())
    picture = Heatmap("QK through the previous-token head", qk, "token", "previous token", "score")
    verdict(share(leads > 0), at_least=at_least, picture=picture)


@quantitative
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.2])
def test_keys_compose_with_it(circuits, heads, composition_of_keys, verdict, at_least):
    """The keys of an induction head are composed with the previous-token head.

    ‖W_V W_O W_K W_Qᵀ‖ / (‖W_V W_O‖ ‖W_K W_Qᵀ‖), Frobenius norms

    W_V and W_O of the previous-token head, W_K and W_Q of the strongest induction head. Random
    matrices of these sizes have 0.12 to 0.15, and r equal singular values 1 / √r. Of 24 seeds 18
    match one token and have 0.24 to 0.26, five match two, 0.18 to 0.19; one stands between, 0.21.
    """
    composed = circuits.composition(heads.strongest.keys, heads.previous_token)
    picture = Heatmap(
        "K-composition of each two heads",
        composition_of_keys,
        "head of the second layer",
        "head of the first layer",
        "composition",
    )
    verdict(composed, at_least=at_least, picture=picture)


@evidence("intervention")
@pytest.mark.parametrize("at_least", [2.8])
def test_it_is_read_as_keys(task, activations, heads, intervene, verdict, at_least):
    """Cut from the keys of the induction heads alone, the copy is lost: {at_least} nats or more.

    mean over sequences of the rise of the loss over rows of the second copy

    What the previous-token head writes is replaced by its mean over sequences where the induction
    heads read keys, and nowhere else. Where the token before is matched too (five seeds of 24) that
    alone finds the place in part: 1.9 to 2.5 nats.
    """
    without = intervene.cut(heads.previous_token, heads.induction.keys, "mean")
    verdict(mean((without.loss - activations.loss)[task.second_copy]), at_least=at_least)


@evidence("intervention")
@pytest.mark.parametrize(("read", "at_least"), [("queries", 2.5), ("values", 2.0)])
def test_it_is_hardly_read_otherwise(task, heads, intervene, verdict, read, at_least):
    """Cut from their {read}, far less is lost than from their keys: by {at_least} nats or more.

    loss over the second copy, cut from keys − loss, cut from {read}

    Each time what the previous-token head writes is replaced by its mean over sequences there. Who
    matches two tokens reads it as queries too: 0.8 to 2.0.
    """
    by_keys, otherwise = (
        intervene.cut(heads.previous_token, reader, "mean").loss[task.second_copy]
        for reader in (heads.induction.keys, getattr(heads.induction, read))
    )
    verdict(mean(by_keys - otherwise), at_least=at_least)
