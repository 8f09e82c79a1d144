"""The story of max_of_four: the last place attends to the greatest number, and it is copied.

Gross et al. 2024 (arXiv 2406.11779) prove bounds on the accuracy of such models. Here their story
is told in sentences: scores rise with the number, whichever number asks; the OV circuit copies;
what places and the direct path add is small against the margins.

Bounds are what 108 of 128 retrained seeds of four out of 64 numbers keep. Of the others 15 have
ragged rows, in which some greater number gets the lower score, and in four, of which three are
among these, a place is preferred by more than the step from a number to the next.
"""

from mechanistic_claims import Step

STORY = (
    "preconditions",
    "behavior",
    "attention",
    "ov_circuit",
    "qk_circuit",
    "places",
    "direct_path",
    "interventions",
    "errors",
    "certificates",
)
"""The parts in the order in which they are told: the files test_<part>.py."""

STEPS = (
    Step(
        "The last place attends to the greatest number.",
        {
            "weights": "qk_circuit.greater_numbers_get_higher_scores",
            "activations": "attention.more_attention_on_the_max",
            "intervention": "interventions.attending_to_another_number_gives_that",
        },
        pictured="weights",
    ),
    Step(
        "It does so whichever number stands there, and in whatever order the others stand.",
        {
            "weights": "qk_circuit.it_is_one_row",
            "behavior": "places.in_another_order_the_answer_stays",
            "intervention": "places.which_number_asks_does_not_matter",
        },
        pictured="weights",
    ),
    Step(
        "The OV circuit copies the number attended to into the answer.",
        {
            "weights": "ov_circuit.the_upper_numbers_get_the_highest_logit",
            "activations": "direct_path.margins_exceed_its_range",
            "intervention": "interventions.the_value_attended_to_is_the_answer",
        },
        pictured="weights",
    ),
    Step(
        "Together they are why it answers the greatest number, of almost every list there is.",
        {
            "behavior": "behavior.accuracy",
            "intervention": "interventions.attending_only_to_the_max_is_enough",
            "certificate": "certificates.it_takes_the_max_of_every_list_but_few",
        },
        pictured="behavior",
    ),
)
"""The steps of the story, each with the claim that is its strongest evidence of each kind."""
