"""From an architecture and a task to an `nn.Module`."""

from __future__ import annotations

import threading
from functools import singledispatch

import torch
from torch import Tensor, nn

from nas.architecture import Architecture, Task, walk
from nas.layers import (
    Act,
    AtMultiple,
    Chain,
    ChannelShuffle,
    Classifier,
    Conv,
    GlobalPool,
    Layer,
    LayerScale,
    Leaf,
    Narrow,
    Norm,
    Parallel,
    Pool,
    SqueezeExcite,
)
from nas.network import attention
from nas.network.modules import (
    ACTIVATIONS,
    NORMS,
    Branches,
    ChannelScale,
    Conv2d,
    FlatLinear,
    GlobalMeanPool,
    NarrowChannels,
    SqueezeExciteGate,
    Stretched,
    start_narrow,
)

_SEEDING = threading.Lock()
"""Modules draw their weights from torch's own generator: one network at a time is built from a seed."""


class Network(nn.Module):
    """A stem, stages of blocks and a head; images (B, C, H, W) in, logits (B, classes) out."""

    def __init__(self, stem: nn.Module, stages: nn.Sequential, head: nn.Sequential) -> None:
        """Put the three parts together."""
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.head = head

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map (B, C, H, W)."""
        features: Tensor = self.stages(self.stem(x))
        return features

    def forward_head(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of a feature map."""
        logits: Tensor = self.head(x)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of images."""
        return self.forward_head(self.forward_features(x))

    @property
    def block_names(self) -> list[str]:
        """The module names of all blocks, in the order of execution."""
        return [f"stages.{i}.{j}" for i, stage in self.stages.named_children() for j, _ in stage.named_children()]


def set_drop_path(network: nn.Module, rate: float, generator: torch.Generator | None = None) -> None:
    """Let training drop residual branches: none of the first block's, a share `rate` of the last's, linear between.

    Which ones for which images is drawn from `generator`, on the network's device; None is torch's own.
    """
    blocks = [network.get_submodule(name) for name in network.block_names] if isinstance(network, Network) else []
    for i, block in enumerate(blocks):
        for part in block.modules():
            if isinstance(part, Branches) and part.is_residual:
                part.drop_path, part.generator = rate * i / max(1, len(blocks) - 1), generator


def build(architecture: Architecture, task: Task, *, seed: int = 0) -> Network:
    """Return the network of `architecture` for `task`; its weights depend on `seed` alone, on no global state."""
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which reseeds every GPU as well
        return _assemble(architecture, task)


def _assemble(architecture: Architecture, task: Task) -> Network:
    parts = [(name, module(layer)) for name, layer in walk(architecture, task)]
    blocks = iter(parts[1:-1])
    stages = nn.Sequential()
    for i, stage in enumerate(architecture.stages, start=1):
        stages.add_module(f"stage{i}", nn.Sequential())
        for _ in stage.blocks:
            name, block = next(blocks)
            stages[-1].add_module(name.split(".")[1], block)
    head = parts[-1][1]
    if not isinstance(head, nn.Sequential):
        raise TypeError(f"a head is a chain of layers, got {type(head).__name__}")
    return Network(parts[0][1], stages, head)


@singledispatch
def module(layer: Layer) -> nn.Module:
    """Return the module that computes `layer`, its weights drawn from torch's generator."""
    raise TypeError(f"no module for layer {type(layer).__name__}")


@module.register
def _(layer: Chain) -> nn.Module:
    sequence = nn.Sequential()
    for name, inner in layer.layers:
        sequence.add_module(name, module(inner))
    return sequence


@module.register
def _(layer: Parallel) -> nn.Module:
    branches = Branches({name: module(branch) for name, branch in layer.branches}, layer.combine)
    if branches.is_residual:
        for branch in branches.values():
            _quieten(branch)
    return branches


def _quieten(branch: nn.Module) -> None:
    """Start the last convolution of a residual branch narrow where no norm follows, as ConvNeXt, StarNet, TinyNeXt do.

    Nothing rescales what it gives: drawn by its fan-out it would drown the residual stream.
    """
    while isinstance(branch, nn.Sequential) and len(branch):
        branch = branch[-1]
    if isinstance(branch, Conv2d):
        start_narrow(branch.weight, branch.bias)


@module.register
def _(layer: Conv) -> nn.Module:
    return Conv2d(
        layer.in_width, layer.out_width, layer.kernel, layer.stride, layer.padding, groups=layer.groups, bias=layer.bias
    )


@module.register
def _(layer: Norm) -> nn.Module:
    return NORMS[layer.kind](layer.width, layer.groups)


@module.register
def _(layer: Act) -> nn.Module:
    return ACTIVATIONS[layer.kind](layer.width)


@module.register
def _(layer: SqueezeExcite) -> nn.Module:
    return SqueezeExciteGate(layer)


@module.register
def _(layer: LayerScale) -> nn.Module:
    return ChannelScale(layer.width, layer.initial)


@module.register
def _(layer: Narrow) -> nn.Module:
    return NarrowChannels(layer.start, layer.width)


@module.register
def _(layer: ChannelShuffle) -> nn.Module:
    return nn.ChannelShuffle(layer.groups)


@module.register
def _(layer: Pool) -> nn.Module:
    if layer.kind == "max":
        return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding)
    return nn.AvgPool2d(layer.kernel, layer.stride, layer.padding)


@module.register
def _(layer: AtMultiple) -> nn.Module:
    return Stretched(module(layer.layer), layer.multiple)


@module.register
def _(layer: GlobalPool) -> nn.Module:  # noqa: ARG001 - dispatched on its type
    return GlobalMeanPool()


@module.register
def _(layer: Classifier) -> nn.Module:
    return FlatLinear(layer.in_width, layer.num_classes)


@module.register
def _(layer: Leaf) -> nn.Module:
    return attention.MODULES[type(layer)](layer)
