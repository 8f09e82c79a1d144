"""What the story predicts outside of training: a model of pairs takes the min of longer lists.

Every list of a length is spoken of, by proof from the weights and by runs on lists drawn at random.
"""

import pytest

from mechanistic_claims import evidence, precondition, quantitative

DRAWS = 20_000


@evidence("certificate")
@pytest.mark.parametrize(("length", "at_least"), [(3, 0.998), (4, 0.998), (8, 0.994)])
def test_it_takes_the_min_of_longer_lists(certificate, verdict, length, at_least):
    """It answers the min of {length} numbers: proved of {at_least} of all lists.

    lower bound of the share of the N^{length} lists with F(m, j) = Σ_i h(x_i) + h(=) > 0 for every
    j ≠ m = min

    h(t) = exp(QK[=, t]) · (L[t, m] − L[t, j]), L = OV + direct path: the softmax's denominator
    cancels, so lists are counted by classes and not run. Every rounding is bounded outwards, which
    makes the number a proof about the stored weights in exact arithmetic.
    """
    proved = certificate.counted(length, asked=at_least).at_least
    verdict(proved, at_least=at_least, picture=certificate.left_open(length, at_least))


@quantitative
@evidence("certificate")
@pytest.mark.parametrize(("length", "at_least"), [(4, 0.99), (8, 0.99)])
def test_rounding_does_not_overturn_it(certificate, verdict, length, at_least):
    """Nor can a run's rounding overturn it: proved of {at_least} of lists of {length}.

    the same lower bound, with every h(t) lowered by what a run in the model's dtype may lose

    The bound on rounding covers every sum and product from the weights to the logits, for lists of
    {length} numbers. What is counted is right in exact arithmetic and in any run.
    """
    proved = certificate.counted(length, as_executed=True, asked=at_least).at_least
    verdict(proved, at_least=at_least)


@evidence("behavior")
@pytest.mark.parametrize(("length", "at_least"), [(3, 0.996), (4, 0.996), (8, 0.99)])
def test_it_does_so_when_run(sampled, verdict, length, at_least):
    """Random lists of {length} are answered rightly.

    share of random lists of {length} numbers with logit[min] > every other logit

    The lists are drawn evenly with a fixed seed and run through the real model. The bound is held
    by the 99.9 % Clopper-Pearson limit, not by the share.
    """
    verdict(sampled(length, DRAWS), at_least=at_least)


@precondition
@evidence("certificate")
@pytest.mark.parametrize("length", [3, 4, 8])
@pytest.mark.parametrize("at_least", [0.0])
def test_no_run_is_below_its_proof(sampled, certificate, verdict, length, at_least):
    """Runs on lists of {length} are right as often as proved, within the limit of the sample.

    upper 99.9 % limit of the share of random lists that run right − the proved share

    A proof that claimed more than what runs show would be wrong. The lists are drawn evenly with a
    fixed seed and run through the real model.
    """
    runs_right = sampled(length, DRAWS).upper_limit
    verdict(runs_right - certificate.counted(length).at_least, at_least=at_least)
