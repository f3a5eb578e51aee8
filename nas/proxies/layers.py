"""Which modules of a network, any network, are activations and which are norms?"""

from __future__ import annotations

from typing import TypeGuard

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

ACTIVATIONS = frozenset(
    [
        *("relu", "relu6", "relusquared", "leakyrelu", "prelu", "elu", "celu", "selu"),
        *("gelu", "gelutanh", "quickgelu", "silu", "swish", "mish", "hardswish", "hardmish", "solu"),
    ]
)
"""Class names of activations that pass what is positive and hold back the rest, in torch, timm and here.

Gates are none: sigmoids have one sign, and softmax works across channels or positions.
"""

NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
Norm = _BatchNorm | nn.LayerNorm | nn.GroupNorm


def is_activation(module: nn.Module) -> bool:
    """Say whether a module is an activation, by the name of its class or of one that it extends."""
    return any(kind.__name__.lower() in ACTIVATIONS for kind in type(module).__mro__)


def is_norm(module: nn.Module) -> TypeGuard[Norm]:
    """Say whether a module is a norm; timm's norms with an activation inside are."""
    return isinstance(module, NORMS)
