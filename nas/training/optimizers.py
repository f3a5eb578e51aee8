"""The optimizers of a recipe, their learning rate over a training, and the clipping of gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nas.recipe import Recipe

MUON_SCALE = 0.2
"""Root mean square of AdamW's updates, to which those of Muon are scaled: one rate and one decay serve both (Liu et al.
2025, Muon is Scalable for LLM Training, section 2.2)."""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, steepest at zero (Jordan et al. 2024, Muon)."""
ITERATIONS = 5
LEAST_OWN_NORM, LEAST_GRADIENT_NORM = 1e-3, 1e-6
"""Of a unit: one that starts at zero can still move (Brock et al. 2021, section 4.1)."""
_EPS = 1e-7


class Muon(torch.optim.Optimizer):
    """Steps of momentum whose singular values are all made one (Jordan et al. 2024), for dense kernels and matrices.

    A kernel (out, in, k, k) is the matrix (out, in k k). torch's own Muon takes matrices alone. Kernels of one shape
    are worked on together.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float) -> None:
        """Take the groups of parameters, each with a `weight_decay`."""
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override] # noqa: ARG002
        """Make a step."""
        for group in self.param_groups:
            for parameters in _by_shape(p for p in group["params"] if p.grad is not None):
                updates = torch.stack([self._momentum(p, group["momentum"]) for p in parameters]).flatten(2)
                scale = MUON_SCALE * math.sqrt(max(updates.shape[1:]))
                for p, update in zip(parameters, orthogonalised(updates), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(update.view_as(p) * (scale * group["lr"]))

    def _momentum(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """Take the gradient into the momentum; return Nesterov's look ahead."""
        state, gradient = self.state[parameter], parameter.grad
        if gradient is None:
            raise ValueError("a parameter without a gradient has no momentum")
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum_buffer"], momentum)


class Optimizers:
    """Several optimizers that make a step together, each for parameters of its own."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        """Take the optimizers."""
        self._all = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all."""
        return [group for each in self._all for group in each.param_groups]

    def remembered(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return what is remembered of a parameter, by name: to be read and to be changed."""
        owner = next(o for o in self._all if any(parameter is p for group in o.param_groups for p in group["params"]))
        state: dict[str, Tensor] = owner.state[parameter]
        return state

    def step(self) -> None:
        """Make a step."""
        for each in self._all:
            each.step()

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for each in self._all:
            each.zero_grad(set_to_none=True)


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizers:
    """Return the optimizer; weight decay acts on matrices and kernels, not on norms and biases.

    The learning rate is the recipe's at its `rate_batch_size`, scaled linearly for SGD (Goyal et al. 2017, section
    2.1) and by the square root for AdamW (Malladi et al. 2022) and Muon. Muon has the dense kernels and matrices but
    the classifier's; AdamW beside it the rest.
    """
    dense = _dense(network) if recipe.optimizer == "muon" else []
    kept = {id(p) for p in dense}
    weights = [p for p in network.parameters() if p.ndim >= 2 and id(p) not in kept]
    others = [p for p in network.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    scale = recipe.batch_size / recipe.rate_batch_size
    if recipe.optimizer == "sgd":
        rate, momentum = recipe.learning_rate * scale, recipe.momentum
        return Optimizers(torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=momentum > 0, fused=True))
    rate, on_gpu = recipe.learning_rate * scale**0.5, any(p.is_cuda for p in network.parameters())
    plain = torch.optim.AdamW(groups, lr=rate, fused=True, capturable=on_gpu)
    if not dense:
        return Optimizers(plain)
    own = [{"params": dense, "weight_decay": recipe.weight_decay}]
    return Optimizers(plain, Muon(own, lr=rate, momentum=recipe.momentum))


def learning_rate_factor(
    step: int, steps: int, warmup_fraction: float, schedule: Literal["linear", "cosine"] = "linear"
) -> float:
    """Return the share of the peak rate at `step` of `steps`: a linear rise, then a line or half a cosine to zero."""
    warmup = max(1, round(steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    left = max(0.0, (steps - step) / max(1, steps - warmup))
    return left if schedule == "linear" else (1 - math.cos(math.pi * left)) / 2


@torch.no_grad()
def clip_gradients(network: nn.Module, ratio: float) -> None:
    """Scale down the gradient of each unit whose norm is more than `ratio` times that of the unit's weights.

    A unit is what gives one output: a row or a filter; of norms and biases it is the whole vector. The classifier is
    left alone (Brock et al. 2021, High-Performance Large-Scale Image Recognition Without Normalization, section 4.1).
    """
    last = classifier(network)
    spared = {id(p) for p in last.parameters()} if last is not None else set[int]()
    for p in network.parameters():
        if p.grad is not None and id(p) not in spared:
            most = ratio * _unit_norm(p).clamp(min=LEAST_OWN_NORM)
            p.grad.mul_((most / _unit_norm(p.grad).clamp(min=LEAST_GRADIENT_NORM)).clamp(max=1))


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices (N, rows, columns) with the same singular vectors and singular values of about one.

    Five Newton-Schulz iterations: the values come to lie from 0.7 to 1.2.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalised(matrices.transpose(1, 2)).transpose(1, 2)
    a, b, c = NEWTON_SCHULZ
    x = matrices.float()
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + _EPS)
    for _ in range(ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.to(matrices.dtype)
    return result


def classifier(network: nn.Module) -> nn.Linear | None:
    """Return the last linear layer, which gives the logits; None where there is none."""
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return linears[-1] if linears else None


def _dense(network: nn.Module) -> list[nn.Parameter]:
    """Return the matrices and kernels that mix channels, the classifier's aside."""
    last = classifier(network)
    spared = None if last is None else last.weight
    return [p for p in network.parameters() if p.ndim >= 2 and p is not spared and min(len(p), p.shape[1]) > 1]


def _by_shape(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    shapes: dict[torch.Size, list[nn.Parameter]] = {}
    for p in parameters:
        shapes.setdefault(p.shape, []).append(p)
    yield from shapes.values()


def _unit_norm(values: Tensor) -> Tensor:
    dims = tuple(range(min(1, values.ndim - 1), values.ndim))
    found: Tensor = torch.linalg.vector_norm(values, dim=dims, keepdim=True)
    return found
