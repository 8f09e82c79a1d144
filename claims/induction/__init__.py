"""The story of induction: a head writes the previous token, a later one looks for it and copies.

Elhage et al. 2021 (A Mathematical Framework for Transformer Circuits) and Olsson et al. 2022 (arXiv
2209.11895): where a token occurs again, an induction head attends to what followed it before, since
a head of the layer below has written there which token was the previous one.
"""

from mechanistic_claims import Step

STORY = ("behavior", "previous_token", "induction_heads", "composition", "certificates")
"""The parts in the order in which they are told: the files test_<part>.py."""

STEPS = (
    Step(
        "A head of the first layer attends to the previous token.",
        {
            "activations": "previous_token.it_attends_to_the_previous_token",
            "intervention": "previous_token.without_it_the_copy_is_lost",
        },
        pictured="activations",
    ),
    Step(
        "Heads of the second layer look for it: they attend to what followed the same token.",
        {
            "activations": "induction_heads.they_match_the_prefix",
            "weights": "composition.keys_are_matched_through_it",
            "intervention": "composition.it_is_read_as_keys",
        },
        pictured="activations",
    ),
    Step(
        "They copy what they attend to into the answer.",
        {
            "behavior": "behavior.the_second_copy_is_predicted",
            "weights": "induction_heads.together_they_copy",
            "intervention": "induction_heads.without_them_the_copy_is_lost",
        },
        pictured="weights",
    ),
)
"""The steps of the story, each with the claim that is its strongest evidence of each kind."""
