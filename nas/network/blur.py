"""A low-pass filter in front of what strides, so that maps do not alias.

After Zhang 2019, Making Convolutional Networks Shift-Invariant Again. The filter stands in front of the convolution,
which then costs what it did; as both are linear it is the same, edges aside, as a convolution at stride one whose map
is blurred before it is thinned out. No parameter is added.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_WIDTH = 4
"""Input channels below which a convolution is left as it is: those of images, which the stem sees sharp."""


def set_blur_pool(network: nn.Module) -> int:
    """Blur what each strided convolution of `network` is given, but for the first one; return how many there are."""
    found = [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and max(module.stride) > 1 and module.in_channels >= LEAST_WIDTH
    ]
    for convolution in found:
        convolution.register_forward_pre_hook(_blur)
    return len(found)


def blurred(x: Tensor) -> Tensor:
    """Return the map (B, C, H, W), each channel filtered by [1 2 1] along either side, its edges repeated."""
    line = torch.tensor((0.25, 0.5, 0.25), dtype=x.dtype, device=x.device)
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])


def _blur(_convolution: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (blurred(given[0]),)
