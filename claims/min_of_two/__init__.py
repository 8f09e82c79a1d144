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

DECIDED_FOR = 40_000
"""Inputs of a model of 200 numbers: of these the bounds are, where they are not of any size. A
share of N numbers can't miss 0.99 by less than one of them, and of 50 that is 0.98.
"""
