"""How many bytes of activations a forward pass really holds: every tensor that torch allocates, until it frees it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Interpreter
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from nas.network.modules import ACTIVATIONS, NORMS, ChannelScale

FOLDED = (
    *{type(NORMS[kind](8, 1)) for kind in NORMS},
    *{type(ACTIVATIONS[kind](8)) for kind in ACTIVATIONS},
    ChannelScale,
)
"""Modules that run in place or vanish into their neighbours, and so hold nothing in the memory model."""


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that are alive, and the most there were at once."""

    def __init__(self) -> None:
        """Start with nothing."""
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operator and take its results into the count."""
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self._hold(value)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            weakref.finalize(storage, self._free, storage.nbytes())
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _free(self, size: int) -> None:
        self.now -= size


def fold(network: nn.Module) -> nn.Module:
    """Return the network with norms, activations and layer scales taken out."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, FOLDED):
                module.register_module(name, nn.Identity())
    return network.eval()


@torch.no_grad()
def measured_peak_bytes(network: nn.Module, channels: int, side: int) -> int:
    """Return the most bytes of activations alive while `network` runs one image (channels, side, side).

    The operators run one by one and each tensor is freed after its last reader, as on a device: called as a module,
    every container would keep its input until it returns.
    """

    def on_zeros(zero: Tensor) -> Any:
        return network(zero.repeat(1, channels, side, side))

    zero = torch.zeros(1, 1, 1, 1)
    operators = Interpreter(make_fx(on_zeros)(zero))
    with LiveBytes() as live:
        operators.run(zero)
    return live.peak
