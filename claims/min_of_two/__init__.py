"""The story of min_of_two: '=' attends to the smaller operand, then the OV circuit copies it.

It is told in a write-up (ckkissane/mech-interp-practice: a toy model trained to take the minimum of
two ints), which shows by eye on one checkpoint what is held here to numbers on any.
"""

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
