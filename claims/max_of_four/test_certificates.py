"""What the story adds up to: of which share of all lists the weights prove the answer.

Every list is spoken of, of four out of 64 numbers 64^4, by proof from the weights alone.
"""

import pytest

from mechanistic_claims import evidence, precondition, proved, quantitative

DRAWS = 20_000


@evidence("certificate")
@pytest.mark.parametrize("at_least", [0.996])
def test_it_takes_the_max_of_every_list_but_few(task, certificate, verdict, at_least):
    """It answers the greatest number: proved of {at_least} of all lists.

    lower bound of the share of the v^K lists with F(m, j) = Σ_i w_i · (L_i[m] − L_i[j]) > 0 for
    every j ≠ m = max

    w_i = exp(QK[x_K, x_i] + QK[x_K, p_i] + QK[p_K, x_i] + QK[p_K, p_i]), L_i = OV[x_i] + OV[p_i]
    + direct path of x_K and p_K: the softmax's denominator cancels, so that places add up. For each
    last number x_K, lists are counted by classes and not run. Every rounding is bounded outwards,
    which makes the number a proof about the stored weights in exact arithmetic.
    """
    counted = certificate.counted(task.length, asked=at_least).at_least
    verdict(counted, at_least=at_least, picture=certificate.left_open(task.length, at_least))


@quantitative
@evidence("certificate")
@pytest.mark.parametrize("at_least", [0.996])
def test_rounding_does_not_overturn_it(task, certificate, verdict, at_least):
    """Nor can a run's rounding overturn it: proved of {at_least} of all lists.

    the same lower bound, with every w_i · (L_i[m] − L_i[j]) lowered by what a run in the model's
    dtype may lose

    The bound on rounding covers every sum and product from the weights to the logits. What is
    counted is right in exact arithmetic and in any run.
    """
    counted = certificate.counted(task.length, as_executed=True, asked=at_least).at_least
    verdict(counted, at_least=at_least)


@evidence("certificate")
@pytest.mark.parametrize("at_least", [0.95])
def test_worst_rivals_prove_it_of_most_lists(task, certificate, verdict, at_least):
    """Most lists are right even if each path has a worst rival of its own.

    lower bound of the share of the v^K lists with
    Σ_i w_i · (min over j of OV_i[m] − OV_i[j] + min over j of D[m] − D[j]) > 0

    OV_i is of x_i and p_i, D the direct path of x_K and p_K. The two need not agree on one rival j,
    and a number counts as in the place that is worst for it: no rival is looked at by itself. So
    the proof is cubic in v, with every rounding bounded outwards.
    """
    verdict(proved(certificate.relaxed(task.length)), at_least=at_least)


@precondition
@evidence("certificate")
@pytest.mark.parametrize("at_least", [0.0])
def test_no_run_is_below_its_proof(task, sampled, certificate, verdict, at_least):
    """Runs on random lists are right as often as proved, within the limit of the sample.

    upper 99.9 % limit of the share of random lists that run right − the proved share

    A proof that claimed more than what runs show would be wrong. The lists are drawn evenly with a
    fixed seed and run through the real model.
    """
    runs_right = sampled(task.length, DRAWS).upper_limit
    verdict(runs_right - certificate.counted(task.length).at_least, at_least=at_least)
