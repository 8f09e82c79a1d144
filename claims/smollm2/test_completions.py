"""What else it completes: a later year, the number of a noun, a capital. Behavior alone."""

import pytest

from mechanistic_claims import evidence, mean, share


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.35])
def test_a_later_year_is_likelier(task, activations, verdict, at_least):
    """A war ends later than it begins: later tens are likelier by {at_least} or more.

    mean over prompts of P(tens above those of the first year) − P(tens below)

    "The war lasted from the year 1732 to the year 17" (Hanna et al. 2023, arXiv 2305.00586).
    """
    years = task.years
    answers = activations.on(years)
    later = answers.of_cases(years.later(answers.logits))
    verdict(mean(later, between=(-1, 1)), at_least=at_least)


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.75])
def test_a_verb_agrees_with_its_noun(task, activations, verdict, at_least):
    """A verb agrees with its noun, whatever stands between, in {at_least} of texts or more.

    share of texts with logit[the verb of its number] > logit[the other], of are and is

    "The keys near the cabinet": in half of them a noun of the other number is nearer.
    """
    texts = task.agreement
    right = texts.before_the_wrong(activations.on(texts).logits) > 0
    verdict(share(right), at_least=at_least, exceptions=texts.named(~right))


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.5])
def test_capitals_are_known(task, activations, verdict, at_least):
    """Capitals are known: the next token is the capital for {at_least} of countries or more.

    share of 37 countries with logit[capital] > all others

    "The capital of France is": countries of which both names are one token here, taken for a
    sample of such questions.
    """
    capitals = task.capitals
    known = activations.on(capitals).correct
    verdict(share(known), at_least=at_least, exceptions=capitals.named(~known))
