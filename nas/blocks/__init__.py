"""The block families. To add one: write its file, add its line here; nothing else changes.

Blocks of other packages join for the life of the process, when a space file names them and the user allows it.
"""

from __future__ import annotations

from nas.blocks import (
    conv,
    convnext,
    dense,
    former,
    fused_inverted,
    ghost,
    inverted,
    irmb,
    irmb_attention,
    irmb_hybrid,
    mobilevit,
    mobilevitv2,
    nodepth,
    nodepth_dense,
    patch,
    residual,
    residual_bottleneck,
    sandglass,
    sdta,
    se_mlp,
    separable,
    shuffle,
    star,
    universal_inverted,
)
from nas.blocks.block import Block, Family, Place
from nas.blocks.own import own_family
from nas.errors import SpaceError, unknown

__all__ = ["FAMILIES", "Block", "Family", "Place", "add_own_family", "family"]

FAMILIES: dict[str, Family] = {
    "conv": conv.FAMILY,
    "convnext": convnext.FAMILY,
    "dense": dense.FAMILY,
    "former": former.FAMILY,
    "fused_inverted": fused_inverted.FAMILY,
    "ghost": ghost.FAMILY,
    "inverted": inverted.FAMILY,
    "irmb": irmb.FAMILY,
    "irmb_attention": irmb_attention.FAMILY,
    "irmb_hybrid": irmb_hybrid.FAMILY,
    "mobilevit": mobilevit.FAMILY,
    "mobilevitv2": mobilevitv2.FAMILY,
    "nodepth": nodepth.FAMILY,
    "nodepth_dense": nodepth_dense.FAMILY,
    "patch": patch.FAMILY,
    "residual": residual.FAMILY,
    "residual_bottleneck": residual_bottleneck.FAMILY,
    "sandglass": sandglass.FAMILY,
    "sdta": sdta.FAMILY,
    "se_mlp": se_mlp.FAMILY,
    "separable": separable.FAMILY,
    "shuffle": shuffle.FAMILY,
    "star": star.FAMILY,
    "universal_inverted": universal_inverted.FAMILY,
}


def family(name: str) -> Family:
    """Return the family called `name`; SpaceError with the known names otherwise."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise SpaceError(unknown("block", name, FAMILIES)) from None


def add_own_family(name: str, reference: str) -> None:
    """Add the block that ``package.module:attribute`` names; SpaceError as `own_family`, or for a name of ours."""
    if name in FAMILIES and _OWN.get(name) != reference:
        taken = f"is {_OWN[name]} already" if name in _OWN else "is a block of nas; choose another name"
        raise SpaceError(f"block {name!r} {taken}")
    FAMILIES[name] = own_family(name, reference)
    _OWN[name] = reference


_OWN: dict[str, str] = {}
