"""The story of min_of_two: '=' attends to the smaller operand, then the OV circuit copies it.

It is told in a write-up (ckkissane/mech-interp-practice: a toy model trained to take the minimum of
two ints), which shows by eye on one checkpoint what is held here to numbers on any.
"""

from mechanistic_claims import Step

STORY = (
    "preconditions",
    "behavior",
    "attention",
    "ov_circuit",
    "qk_circuit",
    "direct_path",
    "interventions",
    "errors",
    "certificates",
)
"""The parts in the order in which they are told: the files test_<part>.py."""

STEPS = (
    Step(
        "'=' attends to the smaller operand.",
        {
            "weights": "qk_circuit.smaller_numbers_get_higher_scores",
            "activations": "attention.more_attention_on_the_min",
            "intervention": "interventions.swapped_attention_gives_the_max",
        },
        pictured="weights",
    ),
    Step(
        "The OV circuit copies the number attended to into the answer.",
        {
            "weights": "ov_circuit.the_attended_token_gets_the_highest_logit",
            "activations": "direct_path.margins_exceed_its_range",
            "intervention": "interventions.the_value_attended_to_is_the_answer",
        },
        pictured="weights",
    ),
    Step(
        "Together they are why it answers the min, of longer lists too.",
        {
            "behavior": "behavior.accuracy_on_all_inputs",
            "intervention": "interventions.attending_only_to_the_min_is_enough",
            "certificate": "certificates.it_takes_the_min_of_longer_lists",
        },
        pictured="behavior",
    ),
)
"""The steps of the story, each with the claim that is its strongest evidence of each kind."""

DECIDED_FOR = 40_000
"""Inputs of a model of 200 numbers: of these the bounds are, where they are not of any size. A
share of N numbers can't miss 0.99 by less than one of them, and of 50 that is 0.98.
"""
