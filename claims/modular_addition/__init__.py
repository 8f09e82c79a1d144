"""The story of modular_addition: it turns a few angles w_k a and w_k b, and reads off w_k (a + b).

Nanda et al. 2023 (arXiv 2301.05217) found it in one model, Chughtai et al. 2023 (arXiv 2302.03025)
in many: the embedding gives cos and sin of w_k a and w_k b at a few frequencies, attention and MLP
multiply them, and the logits are cos w_k (a + b - c), added up over these.
"""

from mechanistic_claims import Step

STORY = ("behavior", "embedding", "neurons", "logits", "paths", "certificates")
"""The parts in the order in which they are told: the files test_<part>.py."""

STEPS = (
    Step(
        "The embedding has cosines and sines of a few frequencies.",
        {
            "weights": "embedding.it_is_of_the_key_frequencies",
            "intervention": "embedding.nothing_else_in_it_is_needed",
        },
        pictured="weights",
    ),
    Step(
        "Neurons multiply them: each one is of a single frequency, and together they know a + b.",
        {
            "activations": "neurons.their_sums_are_waves_of_a_plus_b",
            "weights": "neurons.they_write_the_key_frequencies",
            "intervention": "paths.the_answer_comes_through_the_mlp",
        },
        pictured="weights",
    ),
    Step(
        "The logits add up cos w_k (a + b - c) over these frequencies, and nothing else.",
        {
            "behavior": "behavior.accuracy_on_all_inputs",
            "activations": "logits.they_are_waves_of_the_key_frequencies",
            "certificate": "certificates.waves_outweigh_all_else",
        },
        pictured="activations",
    ),
)
"""The steps of the story, each with the claim that is its strongest evidence of each kind."""

DECIDED_FOR = 12_769
"""Inputs of a model of 113 numbers: of these the bounds are, where they are not of any size."""
