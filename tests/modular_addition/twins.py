"""Trained models that answer every pair by heart: nothing in their recipe makes them tell angles.

They are fitted to all pairs, without weight decay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mechanistic_claims import cross_entropies, drawn_weights, logits_of, transformer_shapes
from models.modular_addition.training import ANSWER, every_input

Weights = dict[str, Tensor]
LOUDER = 14.0
"""How much larger a frozen embedding is drawn: so large that neurons tell numbers apart."""


def lookup(p: int, steps: int = 250) -> Weights:
    """A random frozen embedding and attention, with MLP and unembedding fitted to all pairs."""
    weights = drawn(p)
    weights["embed.W_E"] *= LOUDER
    return fitted(p, weights, ("mlp", "unembed"), steps)


def no_decay(p: int, steps: int = 150) -> Weights:
    """Everything fitted to all pairs."""
    return fitted(p, drawn(p), ("",), steps)


def drawn(p: int) -> Weights:
    """Random weights of the size of a trained model."""
    shapes = transformer_shapes(
        tokens=p + 1, positions=3, logits=p, layers=1, heads=4, d_model=128, d_head=32, d_mlp=512
    )
    return drawn_weights(shapes, seed=0)


@torch.enable_grad()
def fitted(p: int, weights: Weights, trained: tuple[str, ...], steps: int) -> Weights:
    """Full batches of all pairs by Adam, for the weights that have one of these in their names.

    On one thread: the steps are small, and threads that find no core wait for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    inputs, labels = every_input(p)
    chosen = [w.requires_grad_() for name, w in weights.items() if any(t in name for t in trained)]
    optimizer = torch.optim.Adam(chosen, lr=3e-3, betas=(0.9, 0.98))
    for _ in range(steps):
        logits = logits_of({name: w[None] for name, w in weights.items()}, inputs, ANSWER)
        optimizer.zero_grad()
        cross_entropies(logits, labels[None, :, None]).sum().backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return {name: w.detach() for name, w in weights.items()}
