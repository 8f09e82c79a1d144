"""Two circuits of a pretrained language model, SmolLM2-135M-Instruct: induction, indirect objects.

Olsson et al. 2022 (In-context Learning and Induction Heads, arXiv 2209.11895): where a token occurs
again, some heads attend to what followed it before, and without them what was there before is not
predicted any more. Wang et al. 2022 (Interpretability in the Wild, arXiv 2211.00593): a name that
is asked for is moved to the answer by heads that are told which name came twice. Heads are picked
on other random sequences and prompts than those that they are judged on.
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
        "A head attends to the previous token, and keys are made of what it writes.",
        {
            "activations": "previous_token.a_head_attends_to_the_previous_token",
            "intervention": "previous_token.it_is_read_as_keys",
        },
        pictured="activations",
    ),
    Step(
        "Heads attend to what followed the same token before, and it is lost without them.",
        {
            "behavior": "behavior.the_second_half_is_predicted",
            "activations": "induction_heads.four_match_it_with_half_of_their_attention",
            "intervention": "induction_heads.without_them_it_is_lost",
        },
        pictured="activations",
    ),
    Step(
        "Name movers attend to an indirect object, and another head writes against the subject.",
        {
            "behavior": "indirect_objects.the_object_is_before_the_subject",
            "activations": "indirect_objects.name_movers_attend_to_it",
            "intervention": "indirect_objects.one_head_writes_against_the_subject",
        },
        pictured="activations",
    ),
)
"""The steps of the story, each with the claim that is its strongest evidence of each kind."""
