"""What of it is proved: neither rounding nor anything else overturns the waves."""

import pytest

from mechanistic_claims import at, evidence, margin, proved, quantitative, restricted_logits, share

ROUNDED = 1e-6
"""More than what projecting the logits in float64 loses of them."""


@evidence("certificate")
@pytest.mark.parametrize("at_least", [0.999])
def test_rounding_does_not_overturn_it(task, proof, verdict, at_least):
    """That it answers (a + b) mod p is proved of its weights: no rounding overturns it.

    share of the p² inputs with logit[(a + b) mod p] − every other logit > 0, by a lower bound

    The bound holds of the logits in exact arithmetic and of those of any run in the model's dtype:
    each sum and product from the embedding to the logits is an interval.
    """
    certain = proof.margin > 0
    verdict(proved(share(certain)), at_least=at_least, exceptions=task.pairs[~certain])


@quantitative
@evidence("certificate")
@pytest.mark.parametrize("at_least", [0.75])
def test_waves_outweigh_all_else(task, proof, keys, verdict, at_least):
    """The waves of the key frequencies give the answer, whatever else is in the logits.

    share of the p² inputs with min over errors d of Σ a_k (1 − cos w_k d) > max over c of the rest

    a_k cos w_k (a + b − c) are the waves of the keys in the logits, the rest is what all else gives
    c more than the answer. Each logit is an interval that holds it in exact arithmetic and in any
    run in the model's dtype.
    """
    logits, off = proof.logits.center, proof.logits.radius.amax(dim=1)
    waves = restricted_logits(logits, keys)
    rest = logits - waves
    lead = margin(waves, task.labels).min()
    against = (rest - at(rest, task.labels)[:, None]).amax(dim=1) + 2 * off + ROUNDED
    certain = lead > against
    verdict(proved(share(certain)), at_least=at_least, exceptions=task.pairs[~certain])
