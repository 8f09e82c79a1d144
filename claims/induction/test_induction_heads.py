"""Steps two and three: heads of the second layer attend to what followed the token, and copy it."""

import pytest

from mechanistic_claims import Heatmap, evidence, margin, mean, prefix_matching, refuted, share


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.5])
def test_they_match_the_prefix(task, activations, heads, verdict, at_least):
    """An induction head attends to the tokens that followed its own token before.

    mean over sequences of Σ A[q, j + 1] over j < q with token[j] = token[q], rows of second copies

    A is the softmax attention of the strongest one, read from the model's pattern hook.
    """
    pattern = activations.pattern(heads.strongest)
    matched = prefix_matching(pattern, task.inputs, task.in_second_copy)
    picture = task.attention({heads.strongest: pattern}, "Attention of an induction head")
    verdict(mean(matched, between=(0, 1)), at_least=at_least, picture=picture)


@evidence("weights")
@pytest.mark.parametrize("at_least", [0.95])
def test_together_they_copy(circuits, heads, verdict, at_least):
    """Together the induction heads copy: a token attended to gets the highest logit.

    share of tokens t with Σ OV[t, t] > Σ OV[t, j] for every j ≠ t, summed over induction heads

    OV = W_E W_V W_O W_U of each head, multiplied out in float64 from the stored weights.
    """
    first, *others = (circuits.ov(one).matrix for one in heads.induction)
    ov = sum(others, start=first)
    leads = margin(ov, ov.new_tensor(range(len(ov))).long())
    picture = Heatmap(
        "OV circuits, added up", ov, "attended token", "token whose logit it is", "logit"
    )
    verdict(share(leads > 0), at_least=at_least, picture=picture)


@evidence("intervention")
@pytest.mark.parametrize("how", ["mean", "zero"])
@pytest.mark.parametrize("at_least", [3.0])
def test_without_them_the_copy_is_lost(task, activations, heads, intervene, verdict, how, at_least):
    """Without them (ablated: {how}) the loss on the second copy rises by {at_least} nats or more.

    mean over sequences of the rise of the loss over rows of the second copy

    What all induction heads write is replaced at every position.
    """
    without = intervene.ablate(heads.induction, how)
    patterns = {one: activations.pattern(one) for one in heads.induction}
    verdict(
        mean((without.loss - activations.loss)[task.second_copy]),
        at_least=at_least,
        picture=task.attention(patterns, "Attention of the induction heads"),
    )


@refuted("heads share the copying")
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.95])
def test_each_of_them_copies(circuits, heads, verdict, at_least):
    """Each induction head copies: a token attended to gets the highest logit.

    min over induction heads of the share of tokens t with OV[t, t] > OV[t, j] for every j ≠ t

    OV = W_E W_V W_O W_U of the head alone, in float64.
    """

    def copies(one):
        ov = circuits.ov(one).matrix
        return share(margin(ov, ov.new_tensor(range(len(ov))).long()) > 0)

    verdict(min(map(copies, heads.induction)), at_least=at_least)
