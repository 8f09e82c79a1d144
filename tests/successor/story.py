"""A token is answered by the next."""

from mechanistic_claims import Step

STORY = ("table",)
STEPS = (
    Step(
        "It looks the next token up.",
        {"weights": "table.the_next_token_gets_the_highest_logit"},
        pictured="weights",
    ),
)
