"""What does one pass of a batch, forward and back, show of a network's activations, blocks and gradients?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.interference.discovery import guessed_blocks
from nas.interference.running import as_logits, as_map, check_classes
from nas.network.build import Network
from nas.proxies.layers import is_activation

_EXACT_BITS = 24
"""Whole numbers of this many bits are exact in float32, in which a matrix product is fast."""


@dataclass
class Patterns:
    """The units of all activations: for which images is the input of each above zero?

    Gathered one activation after the other, so that the patterns of one layer at a time are in memory: `both` (B, B)
    counts the units that are on for two images, `codes` has a whole number for each unit, bit b of which is image b; an
    int64 holds 64.
    """

    images: int
    units: int = 0
    both: Tensor | None = None
    codes: list[Tensor] = field(default_factory=list)

    def read(self, _module: nn.Module, args: tuple[object, ...]) -> None:
        """Add the units of one activation, by its input: a hook."""
        given = args[0] if args else None
        if not isinstance(given, Tensor) or given.shape[0] % self.images:  # whatever is not one map for each image
            return
        on = (given.detach() > 0).reshape(self.images, -1).float()  # images x units
        both = (on @ on.T).double()
        self.both = both if self.both is None else self.both + both
        self.units += on.shape[1]
        self.codes.append(_codes(on))


def _codes(on: Tensor) -> Tensor:
    """Return the columns of zeros and ones (B, n) as whole numbers (n,)."""
    total = torch.zeros(on.shape[1], dtype=torch.int64, device=on.device)
    for first in range(0, len(on), _EXACT_BITS):
        rows = on[first : first + _EXACT_BITS]
        places = 2.0 ** torch.arange(len(rows), device=on.device)
        total += (places @ rows).long() << first
    return total


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen: the patterns of the activations, `spectra` and the norm of the gradient.

    A spectrum holds the eigenvalues (C,) of the covariance of a block's output over images and positions, float64.
    `gradient_norm` is None where the network gives no logits.
    """

    patterns: Patterns
    spectra: Sequence[Tensor]
    gradient_norm: float | None


def look(network: nn.Module, images: Tensor, labels: Tensor) -> Look:
    """Run `network`, which keeps the hooks, once; InputError for a label that is none of its classes."""
    patterns = Patterns(len(images))
    spectra: list[Tensor] = []
    for module in network.modules():
        if is_activation(module):
            module.register_forward_pre_hook(patterns.read)
    for block in _blocks(network):
        block.register_forward_hook(lambda _module, _args, result: _add_spectrum(spectra, result))
    logits = as_logits(network(images.clone()))  # cloned: a network may work in place on what it is given
    if logits is None:
        return Look(patterns, spectra, None)
    check_classes(labels, logits)
    parameters = [p for p in network.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(F.cross_entropy(logits, labels), parameters, allow_unused=True)
    squares = [g.double().square().sum() for g in gradients if g is not None]
    return Look(patterns, spectra, torch.stack(squares).sum().sqrt().item())


def _blocks(network: nn.Module) -> list[nn.Module]:
    if isinstance(network, Network):
        return [network.get_submodule(name) for name in network.block_names]
    return list(guessed_blocks(network).values())


def _add_spectrum(spectra: list[Tensor], result: object) -> None:
    if isinstance(result, Tensor) and result.ndim in {3, 4}:
        rows = as_map(result.detach()).flatten(0, -2).float()
        rows = rows - rows.mean(0)
        covariance = (rows.T @ rows / len(rows)).to("cpu", torch.float64)
        finite = bool(covariance.isfinite().all())
        spectra.append(torch.linalg.eigvalsh(covariance) if finite else covariance.diagonal())
