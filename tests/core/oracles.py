"""The reference networks that torchvision or timm build as well, found by the sources of their counts."""

from __future__ import annotations

import timm
import torchvision
from torch import nn

from nas.references import reference, references

timm.layers.set_fused_attn(enable=False)  # fvcore does not count the fused product

ORACLES = [name for name, each in references().items() if each.source.split()[0] in {"torchvision", "timm"}]


def oracle(name: str) -> nn.Module:
    """Return the library's network of a reference, with random weights."""
    library, model = reference(name).source.split()
    found: nn.Module = timm.create_model(model) if library == "timm" else getattr(torchvision.models, model)()
    return found
