"""Checkpoints written by hand: a known algorithm in exact weights, for any odd number of numbers.

They are what a verdict is checked against: the truth is known. All but one attend by position: one
head brings a to '=', another b, each to directions of its own, and neurons read both. The logits
have directions of their own too, so that W_out W_U can be written down entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

KEYS = (10, 13, 14)
"""Of these waves one is far from its crest at every error a + b - c, for 31 numbers and more."""
AMPLITUDE = 20.0
"""Of each key's wave in the logits."""
PHASES = 5
"""Of the neurons of a frequency, evenly around the circle: so few that some error is left."""
HARDLY = 0.1
"""What part of the others' amplitude the fourth key of `use_one_key_hardly` has."""
HEADS_A_KEY = 7
ATTENDED = 2000.0
"""The logits that a head of `multiply_by_attending` writes where all attention is on '='."""
SHARPNESS = 50.0
"""Attention scores so far apart that all of it goes to one position."""

Weights = dict[str, Tensor]
Amplitudes = Mapping[int, float]


def written(
    embedding: Float[Tensor, "number feature"],
    from_a: Float[Tensor, "feature neuron"],
    from_b: Float[Tensor, "feature neuron"],
    bias: Float[Tensor, " neuron"],
    neuron_logits: Float[Tensor, "neuron logit"],
) -> Weights:
    """Canonical weights of a model whose neurons read a's features and b's, and write logits.

    The residual stream holds, one after another: a number's features, whether it is '=', which
    position it is, what the first head brings, what the second head brings, and the logits.
    """
    numbers, features = embedding.shape
    parts = [features, 1, 2, features, features, numbers]
    own, equals, position, a, b, logits = _directions(parts)
    weights = _nothing(numbers, sum(parts), heads=2, d_head=features, d_mlp=len(bias))
    weights["embed.W_E"][:numbers, own] = embedding.float()
    weights["embed.W_E"][numbers, equals] = 1.0
    weights["blocks.0.attn.W_Q"][:, equals, 0] = SHARPNESS * math.sqrt(features)
    for head, brought in enumerate((a, b)):
        weights["pos_embed.W_pos"][head, position[head]] = 1.0
        weights["blocks.0.attn.W_K"][head, position[head], 0] = 1.0
        weights["blocks.0.attn.W_V"][head, own] = torch.eye(features)
        weights["blocks.0.attn.W_O"][head, :, brought] = torch.eye(features)
    weights["blocks.0.mlp.W_in"][a] = from_a.float()
    weights["blocks.0.mlp.W_in"][b] = from_b.float()
    weights["blocks.0.mlp.b_in"] = bias.float()
    weights["blocks.0.mlp.W_out"][:, logits] = neuron_logits.float()
    weights["unembed.W_U"][logits] = torch.eye(numbers)
    return weights


def _directions(sizes: Sequence[int]) -> list[Tensor]:
    """Which directions of the residual stream each of its parts has."""
    return list(torch.arange(sum(sizes)).split(list(sizes)))


def _nothing(numbers: int, d_model: int, *, heads: int, d_head: int, d_mlp: int) -> Weights:
    """Canonical weights that are all zero."""
    of_head = (heads, d_model, d_head)
    shapes = {
        "embed.W_E": (numbers + 1, d_model),
        "pos_embed.W_pos": (3, d_model),
        **{f"blocks.0.attn.W_{letter}": of_head for letter in "QKV"},
        "blocks.0.attn.W_O": (heads, d_head, d_model),
        "blocks.0.mlp.W_in": (d_model, d_mlp),
        "blocks.0.mlp.b_in": (d_mlp,),
        "blocks.0.mlp.W_out": (d_mlp, d_model),
        "blocks.0.mlp.b_out": (d_model,),
        "unembed.W_U": (d_model, numbers),
    }
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def angles(p: int, frequencies: Sequence[int]) -> Float[Tensor, "k number"]:
    """w_k t of each frequency k and number t, float64."""
    turns = torch.outer(torch.tensor(list(frequencies)), torch.arange(p)) % p
    return turns.double() * (2 * math.pi / p)


def circles(p: int, frequencies: Sequence[int]) -> Float[Tensor, "number feature"]:
    """cos(w_k t) and sin(w_k t) of each number t, one frequency after another."""
    angle = angles(p, frequencies)
    return rearrange([angle.cos(), angle.sin()], "two k number -> number (k two)")


def of_angles(
    p: int, amplitudes: Amplitudes, phases: Float[Tensor, "phase 2"], ahead: int = 0
) -> Weights:
    """Neurons ReLU(cos(w_k a - phase) + cos(w_k b - other phase)), alike for each frequency k.

    Each writes cos(w_k c - the sum of its phases), so that together they write w_k (a + b - c), but
    for overtones, of the amplitude of k on average over a - b. `ahead` is added to a + b.
    """
    of_a, of_b = (torch.stack([phase.cos(), phase.sin()]) for phase in phases.T)
    # ReLU(x) = (x + |x|) / 2, and |cos u| |cos v| has cos 2v with a weight of 8 / 3 pi^2 on average
    scale = 3 * math.pi**2 / (4 * len(phases))
    of_answer = angles(p, list(amplitudes)).roll(ahead, dims=1)[:, None]
    waves = (of_answer - phases.sum(dim=1)[:, None]).cos()
    by = scale * torch.tensor(list(amplitudes.values()))[:, None, None]
    return written(
        circles(p, list(amplitudes)),
        torch.block_diag(*[of_a] * len(amplitudes)),
        torch.block_diag(*[of_b] * len(amplitudes)),
        torch.zeros(len(phases) * len(amplitudes)),
        rearrange(by * waves, "k phase c -> (k phase) c"),
    )


def around(count: int) -> Float[Tensor, " phase"]:
    """Phases evenly around the circle."""
    return torch.arange(count).double() * (2 * math.pi / count)


def both_around(count: int) -> Float[Tensor, "neuron 2"]:
    """Every pair of phases, for a and for b."""
    return torch.cartesian_prod(around(count), around(count))


def keys() -> dict[int, float]:
    """The same amplitude for each key."""
    return dict.fromkeys(KEYS, AMPLITUDE)


def add_angles(p: int) -> Weights:
    """The story itself: neurons of every pair of phases, so that a - b is averaged out."""
    return of_angles(p, keys(), both_around(PHASES))


def average_angles(p: int) -> Weights:
    """A pizza (Zhong et al. 2023): each neuron has one phase for both, and logits fade with a - b.

    Neurons read only the sum of the two points on the circle, which is nearer to its centre the
    further apart they are: logits are |cos w_k (a - b) / 2| cos w_k (a + b - c).
    """
    return of_angles(p, keys(), around(64)[:, None].expand(-1, 2))


def use_one_key_hardly(p: int) -> Weights:
    """The story with a fourth key, which is there and not needed."""
    return of_angles(p, {**keys(), 7: AMPLITUDE * HARDLY}, both_around(PHASES))


def add_one_more(p: int) -> Weights:
    """Every answer is a + b + 1."""
    return of_angles(p, keys(), both_around(PHASES), ahead=1)


def of_pairs(p: int, entries: Float[Tensor, "sum logit"]) -> Weights:
    """A neuron for each pair (a, b), that writes the entry of its sum.

    Numbers have a direction each, and a neuron reads one of a's and one of b's.
    """
    a, b = torch.cartesian_prod(torch.arange(p), torch.arange(p)).T
    one_of = torch.eye(p)
    return written(one_of, one_of[:, a], one_of[:, b], -torch.ones(p * p), entries[(a + b) % p])


def look_up_pairs(p: int) -> Weights:
    """A table: the neuron of a pair gives its answer, and nothing to any other."""
    return of_pairs(p, AMPLITUDE * torch.eye(p))


def look_up_waves(p: int) -> Weights:
    """A table whose entries are the logits of the story: cos w_k (a + b - c) of the keys."""
    circle = circles(p, KEYS)
    return of_pairs(p, AMPLITUDE * circle @ circle.T)


def count_along_a_line(p: int) -> Weights:
    """Counts a + b from 0 to 2 p - 2, one neuron for each step, and takes p off from p on."""
    steps = torch.arange(2.0 * p - 1)
    entries = AMPLITUDE * torch.eye(p)[torch.arange(2 * p - 1) % p]
    bends = torch.nn.functional.pad(entries, (0, 0, 2, 0)).diff(n=2, dim=0)
    number = torch.arange(float(p))[:, None]
    return written(number, torch.ones(1, len(steps)), torch.ones(1, len(steps)), 1 - steps, bends)


def multiply_by_attending(p: int) -> Weights:
    """Heads alone: attention to '=' is 1 / (1 + u(a) + u(b)), which has products of its angles.

    u(t) is 2 + cos(w_k t - phase), and each head writes cos(w_k c - twice its phase). The logits
    are much as those of a pizza, and the MLP is silent.
    """
    phases = around(HEADS_A_KEY)[:, None]
    own, equals, logits = _directions([p, 1, p])
    weights = _nothing(p, 2 * p + 1, heads=len(KEYS) * HEADS_A_KEY, d_head=1, d_mlp=1)
    weights["embed.W_E"][:, : p + 1] = torch.eye(p + 1)
    weights["blocks.0.attn.W_Q"][:, equals] = 1.0
    weights["blocks.0.attn.W_V"][:, equals] = 1.0
    angle = angles(p, KEYS)[:, None]
    scores = (2 + (angle - phases).cos()).log().float()
    weights["blocks.0.attn.W_K"][:, own, 0] = rearrange(scores, "k head t -> (k head) t")
    waves = ATTENDED * (angle - 2 * phases).cos().float()
    weights["blocks.0.attn.W_O"][:, 0, logits] = rearrange(waves, "k head c -> (k head) c")
    weights["unembed.W_U"][logits] = torch.eye(p)
    return weights


CONSTRUCTED: dict[str, Callable[[int], Weights]] = {
    algorithm.__name__: algorithm
    for algorithm in (
        add_angles,
        average_angles,
        use_one_key_hardly,
        look_up_pairs,
        look_up_waves,
        count_along_a_line,
        multiply_by_attending,
        add_one_more,
    )
}
"""Each algorithm by its name, as a function of p, how many numbers there are."""
