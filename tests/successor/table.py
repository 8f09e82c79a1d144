"""What the two matrices say of each token, multiplied out."""

import pytest

from mechanistic_claims import any_size, evidence, margin, mean, refuted, share


@any_size
@evidence("weights")
@pytest.mark.parametrize("at_least", [0.9])
def test_the_next_token_gets_the_highest_logit(task, weights, verdict, at_least):
    """The next token gets the highest logit.

    share of tokens t with (read write)[t, t + 1] > (read write)[t, j] for every other j
    """
    right = margin(weights.W_E @ weights.W_U, task.labels) > 0
    verdict(share(right), at_least=at_least, exceptions=task.labels[~right])


@any_size
@evidence("weights")
@pytest.mark.parametrize("within", [(0.5, 8.0), (1.0, 4.0)])
def test_the_mean_lead(task, weights, verdict, within):
    """The next token leads by {within} logits in the mean.

    mean of (read write)[t, t + 1] − the greatest other
    """
    verdict(mean(margin(weights.W_E @ weights.W_U, task.labels)), within=within)


@any_size
@evidence("weights")
@refuted("the last token has no next one")
@pytest.mark.parametrize("at_least", [1.0])
def test_every_answer_is_greater(task, weights, verdict, at_least):
    """Every token is answered by a greater one.

    share of tokens t with argmax_j (read write)[t, j] > t
    """
    greater = (weights.W_E @ weights.W_U).argmax(-1) > task.inputs[:, 0]
    verdict(share(greater), at_least=at_least, exceptions=task.labels[~greater])
