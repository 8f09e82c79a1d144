"""modular_addition: one layer that answers (a + b) mod p to [a, b, =]."""
