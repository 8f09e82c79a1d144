"""The write-up's loss, made fast by what the task allows.

The write-up runs the model on 32,000 ordered pairs and takes the cross entropy of float64 logits
at '='. Three things make the same number, to rounding, cost a tenth:

- only '=' is answered, so only the attention from '=' is computed;
- (a, b) and (b, a) are one input to a model without positions, so each unordered pair is computed
  once and counted as often as the training split holds it;
- logits are made, turned into probabilities and into their own gradient a few pairs at a time,
  while they are still in the processor's cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag

from models.min_of_two.task import Task

Parameters = dict[str, Tensor]
PAIRS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Pairs:
    """Unordered pairs [low, high, =], each with the number of times that it counts."""

    tokens: Int[Tensor, "pair source"]
    labels: Int[Tensor, " pair"]
    counts: Float[Tensor, " pair"]

    @classmethod
    def for_training(cls, task: Task) -> Pairs:
        """The training split of a task."""
        as_representatives = task.representative[~task.held_out]
        index, counts = torch.unique(as_representatives, return_counts=True)
        return cls(task.inputs[index], task.labels[index], counts.double())


def residual_at_equals(
    parameters: Parameters, tokens: Int[Tensor, "pair source"], equals: int
) -> Float[Tensor, "pair d_model"]:
    """The last residual stream at '=': its embedding plus what the head moves there."""
    W_E = parameters["W_E"]
    query = W_E[equals] @ parameters["W_Q"]
    score = (W_E @ parameters["W_K"]) @ query / math.sqrt(query.shape[-1])
    moved = W_E @ parameters["W_V"] @ parameters["W_O"]
    pattern = embedding(tokens, score[:, None]).squeeze(-1).softmax(dim=-1)
    return embedding_bag(tokens, moved, per_sample_weights=pattern, mode="sum") + W_E[equals]


class _CrossEntropy(torch.autograd.Function):
    """Mean cross entropy of softmax(residual @ W_U) in float64; the gradient is made on the way.

    With p = softmax(l) and y one-hot, d(-log p_y)/dl = p - y, and for l = residual @ W_U the
    gradients are (p - y) @ W_U.T and residual.T @ (p - y).
    """

    @staticmethod
    def forward(ctx: Any, residual: Tensor, W_U: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        residual_gradient, W_U_gradient = torch.empty_like(residual), torch.zeros_like(W_U)
        share = counts / counts.sum()
        loss = counts.new_zeros(())
        for start in range(0, len(residual), PAIRS_AT_A_TIME):
            part = slice(start, start + PAIRS_AT_A_TIME)
            label, weight = labels[part, None], share[part, None]
            probability = (residual[part] @ W_U).softmax(dim=-1, dtype=torch.float64)
            loss -= (probability.gather(-1, label).log() * weight).sum()
            probability.scatter_add_(-1, label, -torch.ones_like(weight))
            logit_gradient = (probability * weight).to(residual.dtype)
            torch.mm(logit_gradient, W_U.T, out=residual_gradient[part])
            W_U_gradient.addmm_(residual[part].T, logit_gradient)
        ctx.save_for_backward(residual_gradient, W_U_gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        residual_gradient, W_U_gradient = ctx.saved_tensors
        scale = gradients[0].to(residual_gradient.dtype)
        return residual_gradient * scale, W_U_gradient * scale, None, None


def training_loss(parameters: Parameters, pairs: Pairs, equals: int) -> Float[Tensor, ""]:
    """Mean cross entropy of the training split, in nats, float64.

    `parameters` holds W_E [token d_model], W_Q, W_K, W_V [d_model d_head], W_O [d_head d_model]
    and W_U [d_model operand].
    """
    residual = residual_at_equals(parameters, pairs.tokens, equals)
    loss: Tensor = _CrossEntropy.apply(residual, parameters["W_U"], pairs.labels, pairs.counts)
    return loss


def training_losses(parameters: Parameters, pairs: Pairs, equals: int) -> Float[Tensor, " seed"]:
    """`training_loss` of several seeds at once: parameters have a leading axis of seeds."""
    W_E, W_U = parameters["W_E"], parameters["W_U"]
    seeds, tokens = W_E.shape[:2]
    query = W_E[:, equals, None] @ parameters["W_Q"]
    score = (W_E @ parameters["W_K"]) @ query.mT / math.sqrt(query.shape[-1])
    moved = W_E @ parameters["W_V"] @ parameters["W_O"]
    first = tokens * torch.arange(seeds, device=W_E.device)
    read = rearrange(pairs.tokens + first[:, None, None], "seed pair source -> (seed pair) source")
    score_of = rearrange(score, "seed token 1 -> (seed token) 1")
    pattern = embedding(read, score_of).squeeze(-1).softmax(dim=-1)
    value_of = rearrange(moved, "seed token d_model -> (seed token) d_model")
    mixed = embedding_bag(read, value_of, per_sample_weights=pattern, mode="sum")
    residual = rearrange(mixed, "(seed pair) d_model -> seed pair d_model", seed=seeds)
    residual = residual + W_E[:, equals, None]
    losses: Tensor = _CrossEntropies.apply(residual, W_U, pairs.labels, pairs.counts)
    return losses


class _CrossEntropies(torch.autograd.Function):
    """`_CrossEntropy` for a batch of seeds."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, W_U: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        residual_gradient, W_U_gradient = torch.empty_like(residual), torch.zeros_like(W_U)
        share = counts / counts.sum()
        seeds, pairs = residual.shape[:2]
        losses = counts.new_zeros(seeds)
        at_a_time = pairs if residual.is_cuda else max(1, PAIRS_AT_A_TIME // seeds)
        for start in range(0, pairs, at_a_time):
            part = slice(start, start + at_a_time)
            label = repeat(labels[part], "pair -> seed pair 1", seed=seeds)
            weight = share[part, None]
            probability = (residual[:, part] @ W_U).softmax(dim=-1, dtype=torch.float64)
            losses -= (probability.gather(-1, label).log() * weight).sum(dim=(1, 2))
            probability.scatter_add_(-1, label, -torch.ones_like(label, dtype=torch.float64))
            logit_gradient = (probability * weight).to(residual.dtype)
            residual_gradient[:, part] = logit_gradient @ W_U.mT
            W_U_gradient.baddbmm_(residual[:, part].mT, logit_gradient)
        ctx.save_for_backward(residual_gradient, W_U_gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        residual_gradient, W_U_gradient = ctx.saved_tensors
        scale = gradients[0].to(residual_gradient.dtype)[:, None, None]
        return residual_gradient * scale, W_U_gradient * scale, None, None
