"""The modules that torch does not have: channel norms, SoLU, gates, branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.layers import SqueezeExcite
from nas.network.depthwise import Convolution

VECTOR = 16
"""Below as many channels, torch's softmax over the last axis does not use vector instructions: 5 to 20 times slower."""


def precise(x: Tensor) -> Tensor:
    """Return a bfloat16 map on a CPU as float32, any other as it is.

    On a GPU autocast does so by itself for norms and softmax; on a CPU it leaves them in bfloat16, where torch is slow:
    a layer norm takes 5 times as long there, and 20 times as long where the width is not a multiple of 32.
    """
    return x.float() if x.dtype == torch.bfloat16 and x.device.type == "cpu" else x


class Conv2d(Convolution):
    """A convolution that starts as He et al. 2015 say, by the fan-out of each group, with biases of zero."""

    def reset_parameters(self) -> None:
        """Draw the weights."""
        fan_out = self.out_channels // self.groups * self.kernel_size[0] * self.kernel_size[1]
        nn.init.normal_(self.weight, std=(2 / fan_out) ** 0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class NarrowConv2d(Convolution):
    """A projection of an attention: starts narrow, as in transformers, so that attention starts out even."""

    def reset_parameters(self) -> None:
        """Draw the weights."""
        start_narrow(self.weight, self.bias)


class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position of a map (B, C, H, W), as ConvNeXt uses it."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the map, normalised over C."""
        return super().forward(precise(input).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).to(input.dtype)


class ReLUSquared(nn.Module):
    """max(x, 0)^2 (So et al. 2021, Primer)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the squared positive part."""
        return F.relu(x).square()


class SoLU(nn.Module):
    """x * softmax(x) over channels, then a channel LayerNorm (Elhage et al. 2022, Softmax Linear Units).

    The norm has a learned scale and shift and an eps of 1e-5: the products shrink with the number of channels, and from
    about a thousand on, at unit variance, what it gives is damped.
    """

    def __init__(self, width: int) -> None:
        """Normalise `width` channels."""
        super().__init__()
        self.norm = ChannelLayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised map of the same shape (B, C, H, W)."""
        values = precise(x)
        if values.is_contiguous() or x.shape[1] < VECTOR:
            values = values.contiguous()
            products = values * values.softmax(dim=1)
        else:
            values = values.permute(0, 2, 3, 1)
            products = (values * values.softmax(dim=-1)).permute(0, 3, 1, 2)
        normalised: Tensor = self.norm(products)
        return normalised.to(x.dtype)


class SqueezeExciteGate(nn.Module):
    """Multiplies each channel by a gate computed from the pooled map (Hu et al. 2018, section 3)."""

    def __init__(self, layer: SqueezeExcite) -> None:
        """Take the widths and the gate from `layer`."""
        super().__init__()
        plain = layer.norm == "none"
        self.reduce = Conv2d(layer.width, layer.squeeze, 1, bias=plain)
        self.norm = NORMS[layer.norm](layer.squeeze, 1)
        self.act = ACTIVATIONS[layer.activation](layer.squeeze)
        self.expand = Conv2d(layer.squeeze, layer.width, 1, bias=plain)
        self.gate = GATES[layer.gate]()

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated map of the same shape."""
        pooled = x.mean((2, 3), keepdim=True)
        gates: Tensor = self.gate(self.expand(self.act(self.norm(self.reduce(pooled)))))
        return x * gates


class Branches(nn.ModuleDict):
    """Branches on one input whose results are added, multiplied or concatenated over channels.

    While training, a residual branch is dropped for each image with probability `drop_path` (Huang et al. 2016, Deep
    Networks with Stochastic Depth), the others scaled up.
    """

    def __init__(self, branches: dict[str, nn.Module], combine: Literal["add", "multiply", "concat"]) -> None:
        """Keep the branches by name, in their order."""
        super().__init__(branches)
        self.combine = combine
        self.drop_path = 0.0
        self.generator: torch.Generator | None = None

    @property
    def is_residual(self) -> bool:
        """Whether the input itself is one of the terms of a sum."""
        return self.combine == "add" and any(isinstance(b, nn.Sequential) and not len(b) for b in self.values())

    def forward(self, x: Tensor) -> Tensor:
        """Return the combination of all branches."""
        results: list[Tensor] = [branch(x) for branch in self.values()]
        if self.training and self.drop_path:
            results = [y if y is x else self._dropped(y) for y in results]
        if self.combine == "concat":
            return torch.cat(results, dim=1)
        total = results[0]
        for result in results[1:]:
            total = total + result if self.combine == "add" else total * result
        return total

    def _dropped(self, y: Tensor) -> Tensor:
        """Return a branch's map with that of some images zero, drawn from `generator`, and the others scaled up."""
        drawn = torch.rand(len(y), 1, 1, 1, generator=self.generator, device=y.device)
        return y * ((drawn >= self.drop_path) / (1 - self.drop_path)).to(y.dtype)


class ChannelScale(nn.Module):
    """Multiplies each channel by a learned factor (Touvron et al. 2021, CaiT, section 2.2)."""

    def __init__(self, width: int, initial: float) -> None:
        """Start with `initial` for all `width` channels."""
        super().__init__()
        self.factors = nn.Parameter(torch.full((width,), initial))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled map of the same shape (B, C, H, W)."""
        return x * self.factors[:, None, None]


class NarrowChannels(nn.Module):
    """The channels from `start` to `start` + `width`."""

    def __init__(self, start: int, width: int) -> None:
        """Keep which channels."""
        super().__init__()
        self.start, self.width = start, width

    def forward(self, x: Tensor) -> Tensor:
        """Return a view (B, width, H, W)."""
        return x.narrow(1, self.start, self.width)


class Stretched(nn.Module):
    """Runs a module on the map stretched to a multiple of `multiple`, and shrinks the result back, bilinearly."""

    def __init__(self, body: nn.Module, multiple: int) -> None:
        """Wrap `body`."""
        super().__init__()
        self.body, self.multiple = body, multiple

    def forward(self, x: Tensor) -> Tensor:
        """Return the map at the side it came with."""
        side = x.shape[-1]
        stretched = -(-side // self.multiple) * self.multiple
        if stretched == side:
            result: Tensor = self.body(x)
            return result
        wide = F.interpolate(x, size=(stretched, stretched), mode="bilinear")
        return F.interpolate(self.body(wide), size=(side, side), mode="bilinear")


class GlobalMeanPool(nn.Module):
    """The mean over positions: (B, C, H, W) -> (B, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return one position for each image."""
        return x.mean((2, 3), keepdim=True)


class FlatLinear(nn.Linear):
    """A linear layer on pooled maps, (B, C, 1, 1) -> (B, out), that starts narrow."""

    def reset_parameters(self) -> None:
        """Draw the weights."""
        start_narrow(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return one vector for each image."""
        return super().forward(input.flatten(1))


def start_narrow(weight: Tensor, bias: Tensor | None) -> None:
    """Draw weights with a spread of 0.02, as transformers and ConvNeXt do; biases start at zero."""
    nn.init.normal_(weight, std=0.02)
    if bias is not None:
        nn.init.zeros_(bias)


GATES: dict[str, Callable[[], nn.Module]] = {"sigmoid": nn.Sigmoid, "hardsigmoid": nn.Hardsigmoid}

ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda _: nn.ReLU(),
    "relu6": lambda _: nn.ReLU6(),
    "leaky_relu": lambda _: nn.LeakyReLU(0.01),
    "hardswish": lambda _: nn.Hardswish(),
    "silu": lambda _: nn.SiLU(),
    "gelu": lambda _: nn.GELU(),
    "mish": lambda _: nn.Mish(),
    "relu_squared": lambda _: ReLUSquared(),
    "solu": SoLU,
    "identity": lambda _: nn.Identity(),
}

NORMS: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda width, _: nn.BatchNorm2d(width),
    "layer": lambda width, _: ChannelLayerNorm(width, eps=1e-6),
    "group": lambda width, groups: nn.GroupNorm(groups, width),
    "none": lambda _, __: nn.Identity(),
}
