"""Which modules of a network, any network, are projections and which are blocks?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.errors import InputError, unknown

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def projections(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return every module that may be a 1x1 map, by name: ungrouped 1x1 convolutions and linear layers.

    Whether one acts on a map is only known when it runs; `capture` leaves out those that do not.
    """
    return {name: module for name, module in model.named_modules() if is_projection(module)}


def is_projection(module: nn.Module) -> TypeGuard[nn.Conv2d | nn.Linear]:
    """Say whether `module` is a linear layer or an ungrouped, unpadded 1x1 convolution."""
    if isinstance(module, nn.Conv2d):
        return module.kernel_size == (1, 1) and module.groups == 1 and module.padding in {(0, 0), "same", "valid"}
    return isinstance(module, nn.Linear)


def norms(model: nn.Module) -> list[nn.Module]:
    """Return the modules that are, in eval mode, a fixed scale and shift per channel: batch-norm by any class name."""
    return [module for module in model.modules() if _is_batch_norm(module)]


def named_blocks(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """Return the modules called `names`; InputError for a name that the network does not have."""
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            # Not every module of the network: that line would have hundreds of names.
            raise InputError(unknown("block", name, guessed_blocks(model) or dict(model.named_children())))
    return {name: modules[name] for name in names}


def guessed_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of a foreign network that look like its blocks, by name.

    A *composite* is a module of a class of its own (not one of torch.nn's containers) with two or more weight layers.
    Walking down from the network, a composite is a block unless a container in it lines up two or more composites:
    then it is a stage, and the walk goes on inside it. This finds the blocks of torchvision's and timm's
    families without a list of names; a network put together from torch.nn alone has none.
    """
    return {name: block for child, module in model.named_children() for name, block in _blocks_in(child, module)}


def _is_batch_norm(module: nn.Module) -> bool:
    # Frozen batch-norms are no subclass of torch's, but keep the same buffers.
    return isinstance(module, _BatchNorm) or getattr(module, "running_var", None) is not None


def _blocks_in(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if _is_composite(module) and not _lines_up_composites(module):
        yield name, module
        return
    for child, inner in module.named_children():
        yield from _blocks_in(f"{name}.{child}", inner)


def _is_composite(module: nn.Module) -> bool:
    layers = sum(isinstance(part, (nn.Conv2d, nn.Linear)) for part in module.modules() if part is not module)
    return layers >= 2 and type(module).__module__ != nn.Sequential.__module__


def _lines_up_composites(module: nn.Module) -> bool:
    containers = (part for part in module.modules() if isinstance(part, CONTAINERS))
    return any(sum(map(_is_composite, container.children())) >= 2 for container in containers)
