"""`zen`: how strongly does a network with Gaussian weights react to a small change of its input?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from nas.interference.running import as_map, hooked
from nas.network.modules import Branches, ChannelScale
from nas.proxies.layers import Norm, is_norm
from nas.proxies.subject import Subject

PERTURBATION = 0.01
"""alpha of the paper."""
MOST_IMAGES = 16
"""The batch of the paper's code; with 64 the ranks are the same (Spearman .999 over 40 members of `paper_cast`)."""


def zen(subject: Subject) -> float | None:
    """Return log E ||f(x) - f(x + alpha e)|| + sum_i log sigma_i, f the last map; x, e and weights drawn from N(0, 1).

    Lin et al. 2021, Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, algorithm 1. sigma_i^2 is the
    variance that norm i divides by, averaged over its channels: it puts back the scale that the norm takes out. Higher
    is better: a more complex function. Residual links are cut, as in the paper, in the networks built here; those of
    other libraries keep theirs.

    Ours: every norm counts, not batch-norms alone, a layer or group norm with the mean variance of what it normalises
    by itself; a network without norms keeps its scale and has no second term. Layer scales are one. One draw, where the
    paper's code averages 32: over `paper_cast` another seed gives the same ranks (Spearman .998).
    """
    generator = torch.Generator().manual_seed(subject.seed)
    network = subject.copy()
    _cut_residuals(network)
    _draw_weights(network, generator)
    shape = subject.images[:MOST_IMAGES].shape
    x, e = (torch.randn(shape, generator=generator).to(subject.images) for _ in range(2))
    plain, changed = (_run(network, images) for images in (x, x + PERTURBATION * e))
    if plain.last_map is None or changed.last_map is None:
        return None
    change = (plain.last_map - changed.last_map).double().flatten(1).norm(dim=1).mean()
    return float(change.log() + sum(variance.double().log() / 2 for variance in plain.variances))


def _cut_residuals(network: nn.Module) -> None:
    for part in network.modules():
        if isinstance(part, Branches) and part.is_residual:
            for name, branch in list(part.items()):
                if isinstance(branch, nn.Sequential) and not len(branch):
                    del part[name]


@torch.no_grad()
def _draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of convolutions and linear layers; all other scales become one, and all shifts zero."""
    for module in network.modules():
        if isinstance(module, ChannelScale):
            module.factors.fill_(1)
        elif isinstance(module, (_ConvNd, nn.Linear)):
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
        elif is_norm(module) and isinstance(module.weight, Tensor):
            module.weight.fill_(1)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            bias.zero_()


@dataclass
class _Pass:
    """What a pass shows: the last map that a module gives, and the variances that the norms divide by."""

    last_map: Tensor | None = None
    variances: list[Tensor] = field(default_factory=list)

    def attach(self, network: nn.Module) -> Iterator[RemovableHandle]:
        for module in network.modules():
            yield module.register_forward_hook(self._see_map)
            if is_norm(module):
                yield module.register_forward_pre_hook(self._see_variance)

    def _see_map(self, _module: nn.Module, _args: object, result: object) -> None:
        if isinstance(result, Tensor) and result.ndim in {3, 4} and result[0].numel() > as_map(result).shape[-1]:
            self.last_map = result

    def _see_variance(self, norm: Norm, args: tuple[Tensor, ...]) -> None:
        self.variances.append(_divided_by(norm, args[0]))


@torch.no_grad()
def _run(network: nn.Module, images: Tensor) -> _Pass:
    seen = _Pass()
    with hooked(lambda: seen.attach(network)):
        network(images.clone())
    return seen


def _divided_by(norm: Norm, x: Tensor) -> Tensor:
    """Return the mean variance of what `norm` normalises by itself: channels, groups of channels, or positions."""
    if isinstance(norm, _BatchNorm):
        parts = x.transpose(0, 1).flatten(1)
    elif isinstance(norm, nn.GroupNorm):
        parts = x.unflatten(1, (norm.num_groups, -1)).flatten(2)
    else:
        is_map = type(norm) is not nn.LayerNorm and x.ndim == 4 and x.shape[1] == norm.normalized_shape[0]
        parts = (x.movedim(1, -1) if is_map else x).flatten(-len(norm.normalized_shape))
    return (parts - parts.mean(-1, keepdim=True)).square().mean()  # torch's own variance takes six times as long
