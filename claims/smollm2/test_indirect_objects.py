"""Indirect objects: "When Mary and John went to the store, John gave a drink to" - Mary.

Wang et al. 2022 (Interpretability in the Wild, arXiv 2211.00593) tell this of GPT-2 small. Heads
are picked on other sentences and names than those that they are judged on.
"""

import pytest

from mechanistic_claims import evidence, mean, others_like, refuted, share


@evidence("behavior")
@pytest.mark.parametrize("at_least", [3])
def test_the_object_is_before_the_subject(prompts, answers, verdict, at_least):
    """The indirect object's logit is above the subject's by {at_least} or more.

    mean over prompts of logit[indirect object] − logit[subject]

    Both are names that stand in the prompt, in either order. The subject stands there twice.
    """
    verdict(mean(prompts.before_the_subject(answers.logits)), at_least=at_least)


@evidence("behavior")
@pytest.mark.parametrize("at_least", [0.9])
def test_it_is_so_in_nearly_every_prompt(prompts, answers, verdict, at_least):
    """The indirect object's logit is above the subject's in {at_least} of prompts or more.

    share of prompts with logit[indirect object] > logit[subject]

    By chance it is so in half of them.
    """
    verdict(share(prompts.before_the_subject(answers.logits) > 0), at_least=at_least)


@evidence("activations")
@pytest.mark.parametrize("at_least", [0.35])
def test_name_movers_attend_to_it(prompts, activations, answers, movers, verdict, at_least):
    """Name movers attend to the indirect object, with {at_least} of their attention or more.

    mean over prompts and the four heads of pattern[last token, indirect object]

    They are the four that write most of the name among the 16 that attend to it most, on other
    prompts.
    """
    paid = answers.by_head(prompts.end_to_object)
    of_movers = sum(paid[:, layer, index] for layer, index in movers.places) / len(movers.places)
    one = activations.on(prompts.shown)
    patterns = {mover: one.pattern(mover) for mover in movers.together}
    picture = prompts.shown.attention(patterns, "Attention of the name movers")
    verdict(mean(of_movers, between=(0, 1)), at_least=at_least, picture=picture)


@evidence("intervention")
@pytest.mark.parametrize("at_most", [-2])
def test_without_name_movers_no_name_is_favored(
    prompts, answers, movers, weights, edit, verdict, at_most
):
    """Without the name movers the indirect object falls against other names: by 2 or more.

    mean over prompts of the change of logit[indirect object] − mean logit of names not there

    The four are ablated to their mean over prompts. Beside them, other heads of that layer.
    """
    before = prompts.before_other_names(answers.logits)

    def change(heads):
        return mean(prompts.before_other_names(edit.ablate(heads, "mean").logits) - before)

    four = movers.together
    verdict(change(four), at_most=at_most, beside=map(change, others_like(four, weights)))


@refuted("both names fall alike, and another head tells them apart")
@evidence("intervention")
@pytest.mark.parametrize("at_most", [-1])
def test_they_tell_object_from_subject(prompts, answers, movers, edit, verdict, at_most):
    """As in GPT-2 small, name movers tell the object from the subject: without them it falls by 1.

    mean over prompts of the change of logit[indirect object] − logit[subject]

    The four are ablated to their mean over prompts. In GPT-2 small backups take over part of it.
    """
    without = prompts.before_the_subject(edit.ablate(movers.together, "mean").logits)
    verdict(mean(without - prompts.before_the_subject(answers.logits)), at_most=at_most)


@evidence("intervention")
@pytest.mark.parametrize("at_most", [-1.5])
def test_one_head_writes_against_the_subject(
    prompts, answers, movers, weights, edit, verdict, at_most
):
    """One head takes the subject away: without it the object's lead falls by 1.5 or more.

    mean over prompts of the change of logit[indirect object] − logit[subject]

    It is the head that writes most against the subject on other prompts.
    """
    before = prompts.before_the_subject(answers.logits)

    def change(one):
        return mean(prompts.before_the_subject(edit.ablate(one, "mean").logits) - before)

    others = others_like(movers.against_subject, weights, 4)
    verdict(change(movers.against_subject), at_most=at_most, beside=map(change, others))


@evidence("intervention")
@pytest.mark.parametrize("at_least", [0.5])
def test_one_head_writes_against_the_answer(prompts, answers, movers, edit, verdict, at_least):
    """A negative head holds the answer down: without it the answer rises by {at_least} or more.

    mean over prompts of the change of logit[indirect object] − mean logit of names not there

    It is the head that writes most against the answer on other prompts.
    """
    without = prompts.before_other_names(edit.ablate(movers.against_answer, "mean").logits)
    verdict(mean(without - prompts.before_other_names(answers.logits)), at_least=at_least)


@evidence("intervention")
@pytest.mark.parametrize(
    ("which", "at_most"), [("inhibitors", -1.3), ("duplicates", -1), ("induction", -0.6)]
)
def test_that_a_name_came_twice_is_told(
    prompts, answers, heads, movers, edit, verdict, which, at_most
):
    """Heads tell that a name came twice ({which}): without that the object's lead falls.

    mean over prompts of the change of logit[indirect object] − logit[subject]

    What they write is that of the same prompt with a third name where the subject comes again. A
    mean over prompts would tell it still, since a name comes twice in all. S-inhibition heads
    attend from the last token to the second subject, duplicate-token heads from there to the first
    one, induction heads are those of the first such layer in random sequences.
    """
    told_by = heads.earliest if which == "induction" else getattr(movers, which)
    without = edit.patch(told_by, prompts.corrupted)
    change = prompts.before_the_subject(without.logits) - prompts.before_the_subject(answers.logits)
    verdict(mean(change), at_most=at_most)
