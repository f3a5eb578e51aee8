"""What is judged: an untrained network, and the batch it is judged on."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.proxies.look import Look, look


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, `images` (B, C, H, W) as it takes them, `labels` (B,), and a seed for what a score draws."""

    network: nn.Module
    images: Tensor
    labels: Tensor
    seed: int

    def copy(self) -> nn.Module:
        """Return a copy of the network to do anything with, all its parameters asking for gradients.

        Batch-norms use the statistics of the batch, as in training; everything else is in eval mode, so that no dropout
        draws from a global generator.
        """
        network = deepcopy(self.network).eval()
        for parameter in network.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.train()
        return network

    @cached_property
    def look(self) -> Look:
        """What one pass of the batch, forward and back, shows: several scores read it."""
        return look(self.copy(), self.images, self.labels)
