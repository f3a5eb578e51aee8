"""The reference networks that torchvision or timm build as well, by the names of their sources."""

from __future__ import annotations

import timm
import torchvision
from torch import nn

from nas.references import reference, references

ORACLES = [name for name, each in references().items() if each.source.split()[0] in {"torchvision", "timm"}]


def oracle(name: str) -> nn.Module:
    """Return the library's network of a reference, with random weights."""
    library, model = reference(name).source.split()
    return timm.create_model(model) if library == "timm" else getattr(torchvision.models, model)()
