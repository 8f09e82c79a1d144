"""The story of induction in a pretrained language model, SmolLM2-135M-Instruct.

Olsson et al. 2022 (In-context Learning and Induction Heads, arXiv 2209.11895): where a token occurs
again, some heads attend to what followed it before, and without them what was there before is not
predicted any more. Heads are picked on other random sequences than those that they are judged on.
"""

from mechanistic_claims import Step

STORY = (
    "behavior",
    "previous_token",
    "induction_heads",
    "attention_sink",
    "indirect_objects",
    "completions",
)
"""The parts in the order in which they are told: the files test_<part>.py."""

STEPS = (
    Step(
        "What was there before is predicted when it comes again.",
        {"behavior": "behavior.the_second_half_is_predicted"},
        pictured="behavior",
    ),
    Step(
        "Heads attend to what followed the same token before, and it is lost without them.",
        {
            "activations": "induction_heads.one_matches_the_prefix",
            "intervention": "induction_heads.without_them_it_is_lost",
        },
        pictured="activations",
    ),
)
"""The steps of the story, each with the claim that is its strongest evidence of each kind."""
