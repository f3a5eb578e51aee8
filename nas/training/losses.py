"""The loss of a batch: labels, whole or mixed, a teacher's answers, and how much each image counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.errors import InputError
from nas.recipe import BiasLoss, Recipe

_LEAST_SPREAD = 1e-12


class LastMap:
    """How varied the map is that a network's head was last given: the variance of each image's, (B,), no gradient."""

    def __init__(self, network: nn.Module) -> None:
        """Watch the `head` of the network; InputError where it has none."""
        head = getattr(network, "head", None)
        if not isinstance(head, nn.Module):
            raise InputError("bias_loss: needs a network with a head, whose input is the last feature map")
        self.variance = torch.empty(0)
        head.register_forward_pre_hook(self._note)

    def _note(self, _head: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.variance = given[0].detach().float().flatten(1).var(dim=1)


@dataclass(frozen=True, eq=False)
class Criterion:
    """The loss that a recipe asks for."""

    recipe: Recipe
    last_map: LastMap | None = None

    def __call__(self, logits: Tensor, labels: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Return the sum over the images; `labels` are classes (B,) or shares of them (B, classes)."""
        recipe, soft = self.recipe, self.recipe.distillation
        if recipe.bias_loss is None or self.last_map is None:
            loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing, reduction="sum")
        else:
            each = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing, reduction="none")
            loss = (importance(self.last_map.variance, recipe.bias_loss) * each).sum()
        if soft is not None and teacher is not None:
            loss = loss + soft.weight * divergence(logits, teacher, soft.temperature)
        return loss


def importance(variance: Tensor, bias_loss: BiasLoss) -> Tensor:
    """Return how much each image counts, (B,), by the variance of its last map among those of the batch.

    exp(alpha v) - beta with v from 0 to 1 (Abrahamyan et al. 2021, equation 4).
    """
    low, high = variance.aminmax()
    scaled = (variance - low) / (high - low).clamp(min=_LEAST_SPREAD)
    return (bias_loss.alpha * scaled).exp() - bias_loss.beta


def divergence(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the sum of the Kullback-Leibler divergences from the teacher, softened, times the square temperature."""
    own, its = (F.log_softmax(each.float() / temperature, dim=1) for each in (logits, teacher))
    return temperature**2 * F.kl_div(own, its, reduction="sum", log_target=True)
