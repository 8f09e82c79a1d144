"""Small recipes: a step takes a few milliseconds."""

from __future__ import annotations

from models.induction import training as induction
from models.max_of_four import training as maximum
from models.modular_addition import training as addition

ADDITION = addition.Recipe(
    p=7, heads=2, d_model=8, d_head=4, d_mlp=12, epochs=130, learning_rate=0.01
)
INDUCTION = induction.Recipe(
    tokens=6,
    context=12,
    shortest=3,
    longest=5,
    batch=8,
    heads=2,
    d_model=8,
    d_head=4,
    steps=130,
    learning_rate=0.01,
    warm_up=20,
)
MAXIMUM = maximum.Recipe(
    length=3, vocabulary=6, d_model=8, d_head=4, batch=16, steps=50, learning_rate=0.01
)
