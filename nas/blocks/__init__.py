"""The block families. To add one: write its file, add its line here; nothing else changes."""

from __future__ import annotations

from nas.blocks import convnext, inverted, nodepth, residual, sandglass, separable
from nas.blocks.block import Block, Family, Place
from nas.errors import SpaceError, unknown

__all__ = ["FAMILIES", "Block", "Family", "Place", "family"]

FAMILIES: dict[str, Family] = {
    "convnext": convnext.FAMILY,
    "inverted": inverted.FAMILY,
    "nodepth": nodepth.FAMILY,
    "residual": residual.FAMILY,
    "sandglass": sandglass.FAMILY,
    "separable": separable.FAMILY,
}


def family(name: str) -> Family:
    """Return the family called `name`; SpaceError with the known names otherwise."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise SpaceError(unknown("block", name, FAMILIES)) from None
