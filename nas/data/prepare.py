"""A source made into a store: found by what it was made from, else built by one process while others wait."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from nas.data.images import resize_into
from nas.data.raw import Division, Raw, build, of_store
from nas.data.store import FORMAT, Contents, Name, Store, building, keep, open_store, remove_superseded


@dataclass(frozen=True)
class Origin:
    """Where images come from: the place, and a text that changes with its files but does not name the place.

    `title` is what errors call it. `read` opens the files; it is called only where there is no store of them.
    """

    title: str
    place: str
    files: str
    read: Callable[[], Raw]


def prepare(origin: Origin, resolution: int | None, division: Division | None) -> Store:
    """Return the images of `origin`, divided so, at `resolution` or else at their own side."""
    where, files = _digest(origin.place, 8), _digest(f"{FORMAT}\0{origin.files}", 24)
    split = _digest(repr(division), 8)
    # a store of the images' own side serves those who ask for that side by its number
    sides = ("*px-own",) if resolution is None else (f"{resolution}px", f"{resolution}px-own")

    def existing(split: str) -> Store | None:
        found = (Name(where, files, split, side).find() for side in sides)
        return next((store for store in found if store is not None), None)

    found = existing(split)
    if found is not None:
        return found
    with building(Name(where, files, split, sides[0]).path()):
        found = existing(split)  # by whom this one waited for
        if found is not None:
            return found
        sibling = existing("*")
        raw = of_store(sibling) if sibling else origin.read()
        name = Name(where, files, split, f"{raw.shape[-1]}px{'-own' if resolution is None else ''}")
        store = keep(name.path(), (len(raw.labels), *raw.shape), build(raw, division, origin.title))
        if store.path is not None:
            remove_superseded(name)
    return store


def resized(store: Store, resolution: int) -> Store:
    """Return the images of `store`, in its order, at another side, kept beside it."""

    def fill(pixels: Tensor) -> Contents:
        resize_into(pixels, store.pixels)
        return Contents(store.labels, store.places, store.facts)

    shape = (*store.pixels.shape[:2], resolution, resolution)
    if store.path is None:
        return keep(None, shape, fill)
    path = store.path.with_name(f"{store.path.stem}-at{resolution}.safetensors")
    found = open_store(path)
    if found is None:
        with building(path):
            found = open_store(path) or keep(path, shape, fill)
    return found


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
