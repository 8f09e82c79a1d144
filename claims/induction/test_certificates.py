"""What of it is proved, in exact arithmetic."""

import pytest

from mechanistic_claims import evidence, proved, share


@evidence("certificate")
@pytest.mark.parametrize("at_least", [0.8])
def test_the_second_copy_is_answered_by_the_weights(task, proof, verdict, at_least):
    """That it answers the second copy is proved of its weights: it is no artifact of rounding.

    mean over sequences of the share of rows of the second copy with logit[next token] − every other
    logit > 0, by a lower bound

    The bound holds of the logits in exact arithmetic: each sum and product from the embedding to
    the logits is an interval. The sequences are drawn, so the share has the limits of a sample.
    """
    certain = proof.exact.margin > 0
    verdict(proved(share(certain[task.second_copy])), at_least=at_least)
