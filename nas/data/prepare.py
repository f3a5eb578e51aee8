"""A source made into a store: found by what it was made from, else built by one process while others wait."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nas.data.canvas import Canvas
from nas.data.images import resize_into
from nas.data.raw import Division, Raw, build, of_store, rearranged
from nas.data.store import FORMAT, Contents, Name, Store, building, keep, link, open_store, remove_superseded

_OWN, _BUILT = "-own", "-built"
MOST_COPIED = 2 * 10**9
"""Bytes of a store of which a copy is made for another division: in order, images are read faster from a disk."""


@dataclass(frozen=True)
class Origin:
    """Where images come from: the place, and a text that changes with its files but does not name the place.

    `title` is what errors call it. `read` opens the files; it is called only where there is no store of them.
    `own_side`, where files are decoded, is what they get when nobody says a side.
    """

    title: str
    place: str
    files: str
    read: Callable[[], Raw]
    own_side: Callable[[], int] | None = None

    def name(self, split: str, side: str) -> Name:
        """Return the name of the store of these images, divided by `split`, either of them maybe a pattern."""
        return Name(_digest(self.place, 8), _digest(f"{FORMAT}\0{self.files}", 24), split, side)

    def find(self, division: Division | None, resolution: int | None) -> Store | None:
        """Return a store of these images, divided so, at this side or else at their own."""
        return self._find(split_digest(division), resolution)

    def sibling(self, resolution: int | None) -> Store | None:
        """Return a store that has the same images at the same side, divided in whatever way."""
        return self._find("*", resolution)

    def built(self, split: str, resolution: int | None) -> Store | None:
        """Return the smallest store that `nas data build` made of these images, divided so, brought down to the side.

        Whoever built one does not want all files decoded again, for a side that lies within it.
        """
        if self.own_side is None:
            return None
        found = self.name(split, f"*px{_BUILT}").all()
        side = resolution or (self.own_side() if found else 0)
        large = [store for store in found if store.pixels.shape[-1] >= side]
        if not large:
            return None
        store = min(large, key=lambda store: store.pixels.shape[-1])
        return store if store.pixels.shape[-1] == side else resized(store, side)

    def _find(self, split: str, resolution: int | None) -> Store | None:
        # a store of the images' own side serves those who ask for that side by its number
        kinds = ("", _OWN, _BUILT)
        sides = (f"*px{_OWN}",) if resolution is None else tuple(f"{resolution}px{kind}" for kind in kinds)
        found = (self.name(split, side).find() for side in sides)
        return next((store for store in found if store is not None), None)


def prepare(origin: Origin, resolution: int | None, division: Division | None) -> Store:
    """Return the images of `origin`, divided so, at `resolution` or else at their own side."""
    found = origin.find(division, resolution) or origin.built(split_digest(division), resolution)
    if found is not None:
        return found
    other = origin.built("*", resolution)  # not below: resizing it takes the same lock
    side = "*px-own" if resolution is None else f"{resolution}px"
    with building(origin.name(split_digest(division), side).path()):
        found = origin.find(division, resolution)  # by whom this one waited for
        if found is not None:
            return found
        sibling = origin.sibling(resolution) or other
        if sibling is not None and sibling.pixels.nbytes > MOST_COPIED:
            return rearranged(sibling, division, origin.title)
        raw = of_store(sibling) if sibling else origin.read()
        name = origin.name(split_digest(division), f"{raw.shape[-1]}px{_OWN if resolution is None else ''}")
        store = keep(name.path(), (len(raw.labels), *raw.shape), build(raw, division, origin.title))
        if store.path is not None:
            remove_superseded(name)
    return store


def build_store(origin: Origin, resolution: int, division: Division | None, folder: Path | None) -> Store:
    """Return the store of `origin` in `folder`, or else below the cache folder, where it is found in either case.

    What is there already is returned as it is; what was interrupted is gone on with. DataError if it cannot be kept.
    """
    name = built_name(origin, resolution, division)
    path = name.path(folder)
    with building(path), building(name.path()) if folder else nullcontext():
        store = open_store(path)
        if store is None:
            raw = origin.read()
            shape = (len(raw.labels), *raw.shape)
            store = keep(path, shape, build(raw, division, origin.title), must=True)
        if folder is not None:
            link(name.path(), path)
        remove_superseded(name)
    return store


def find_built(origin: Origin, resolution: int, division: Division | None, folder: Path | None) -> Path | None:
    """Return where the store that `build_store` made lies; None if there is none. It is not opened."""
    path = built_name(origin, resolution, division).path(folder)
    return path if path.exists() else None


def partial_bytes(origin: Origin, resolution: int, division: Division | None, folder: Path | None) -> int:
    """Return the room that an interrupted `build_store` has taken already."""
    partial = built_name(origin, resolution, division).path(folder).with_suffix(".partial")
    return partial.stat().st_size if partial.exists() else 0


def built_name(origin: Origin, resolution: int, division: Division | None) -> Name:
    """Return the name of a store that is built ahead."""
    return origin.name(split_digest(division), f"{resolution}px{_BUILT}")


def resized(store: Store, resolution: int) -> Store:
    """Return the images of `store`, in its order, at another side, kept beside it."""
    if store.base is not None:
        base = resized(store.base, resolution)
        return replace(store, pixels=base.pixels, base=base)

    def fill(canvas: Canvas) -> Contents:
        resize_into(torch.from_numpy(canvas.pixels), store.pixels)
        return Contents(store.labels, store.places, store.facts)

    shape = (store.pixels.shape[0], store.pixels.shape[1], resolution, resolution)
    if store.path is None:
        return keep(None, shape, fill)
    path = store.path.with_name(f"{store.path.stem}-at{resolution}.safetensors")
    found = open_store(path)
    if found is None:
        with building(path):
            found = open_store(path) or keep(path, shape, fill)
    return found


def split_digest(division: Division | None) -> str:
    """Return what stands for a division in the name of a store."""
    return _digest(repr(division), 8)


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
