"""Blocks of other packages: how a space file names one, and that nothing runs before the user allows it.

A block of one's own is a function of (block, place) that returns layers of `nas.layers`, or a `Family` around it. A
space file names it in its table of blocks:

    [blocks]
    my_block = "my_package.blocks:my_block"

and a command that is started with ``nas --allow-code`` imports it. A plain function reads `PLAIN_GENES`; a `Family`
says which genes it reads, which are idle where, and what cannot stand where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

from nas.blocks.block import Block, Family, Place
from nas.errors import SpaceError
from nas.layers import AtMultiple, Chain, Layer, Leaf, Parallel, trace

PLAIN_GENES = frozenset({"kernel", "expansion", "activation", "norm", "skip"})

_SIDE = 16
"""Of the map that the widths of someone else's layers are tried on."""

_permission = {"given": False}
"""One for the process: a study that is read from a database asks for it as a file does."""


def allow_code(*, allowed: bool = True) -> None:
    """Permit (or forbid again) the import of blocks that space files name."""
    _permission["given"] = allowed


def is_code_allowed() -> bool:
    """Return whether the import is permitted."""
    return _permission["given"]


def own_family(name: str, reference: str) -> Family:
    """Return the family that ``package.module:attribute`` names; SpaceError when it is not allowed or not there."""
    if not _permission["given"]:
        raise SpaceError(f"block {name!r} is code of another package ({reference}); allow it with `nas --allow-code …`")
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise SpaceError(f"block {name!r}: must be named as package.module:function, got {reference!r}")
    try:
        found = getattr(import_module(module_name), attribute)
    except Exception as error:  # what another package raises when it is imported is the user's to see
        raise SpaceError(f"block {name!r}: cannot import {reference}: {error}") from error
    if isinstance(found, Family):
        return replace(found, layers=_guarded(name, found.layers))
    if callable(found):
        return Family(_guarded(name, found), PLAIN_GENES)
    raise SpaceError(f"block {name!r}: {reference} must be a function or a Family, got {type(found).__name__}")


def _guarded(name: str, layers: Callable[[Block, Place], Layer]) -> Callable[[Block, Place], Layer]:
    """Return `layers` with its faults told in one line."""

    def checked(block: Block, place: Place) -> Layer:
        try:
            found = layers(block, place)
        except Exception as error:
            where = f"{place.in_width} to {place.out_width} channels, stride {place.stride}"
            raise SpaceError(f"block {name!r} fails at {where}: {type(error).__name__}: {error}") from error
        if not isinstance(found, Leaf | Chain | Parallel | AtMultiple):
            raise SpaceError(f"block {name!r}: must return layers of nas.layers, got {type(found).__name__}")
        if (width := trace(found, place.in_width, _SIDE).channels) != place.out_width:
            raise SpaceError(f"block {name!r}: must give {place.out_width} channels, got layers that give {width}")
        return found

    return checked
