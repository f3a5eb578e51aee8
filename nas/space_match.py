"""Which genotype of a search space is a given network, if it is a member; and if not, why not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product

from nas.architecture import Architecture, Head, Stage, Stem, normal_block
from nas.blocks import Block, Place
from nas.space import NO_BLOCK, Gene, GeneValue, SearchSpace, Slot, Slots, StageSpace, read_keys, slot_values

Needs = list[tuple[str, Slot, GeneValue]]
"""Keys, their slots, and the values that these must have."""


def genotype_of(space: SearchSpace, architecture: Architecture) -> dict[str, GeneValue] | None:
    """Return the canonical genotype of `architecture`, the first one where several give it; None when none does."""
    bound, _ = _match(space, architecture)
    defaults = {gene.name: gene.values[0] for gene in space.genes}
    return space.canonical({**defaults, **bound[0]}) if bound else None


def why_not(space: SearchSpace, architecture: Architecture) -> str:
    """Return why no genotype gives `architecture`, naming the part and the key; empty where one does."""
    return _match(space, architecture)[1]


def _match(space: SearchSpace, architecture: Architecture) -> tuple[list[dict[str, GeneValue]], str]:
    """Return the gene values that give the network, in all ways; if there are none, why."""
    if len(architecture.stages) != len(space.stages):
        return [], f"it has {len(architecture.stages)} stages, the space has {len(space.stages)}"
    names = ("stem", *(f"stage {i}" for i in range(1, len(space.stages) + 1)), "head")
    bound: list[dict[str, GeneValue]] = [{}]
    for name, alternatives in zip(names, _alternatives(space, architecture), strict=True):
        ways = list(product(bound, alternatives))
        bound = [found for known, needs in ways if (found := _bind(known, needs)) is not None]
        if not bound:
            faults = (_misfit(known, needs) for known, needs in ways)
            _, fault = max(faults, default=(0, "it has more blocks than the space"))
            return [], f"{name}: {fault}"
    return bound, ""


def _bind(known: dict[str, GeneValue], needs: Needs) -> dict[str, GeneValue] | None:
    """Return the gene values with those that `needs` ask for; None where a slot cannot have its value."""
    found = dict(known)
    for _, slot, value in needs:
        if value not in slot_values(slot):
            return None
        if isinstance(slot, Gene):
            own = slot.values[slot.values.index(value)]  # 2, where the network says 2.0
            if found.setdefault(slot.name, own) != own:
                return None
    return found


def _misfit(known: dict[str, GeneValue], needs: Needs) -> tuple[int, str]:
    """Return the place of the first need that cannot be met, and in words why not."""
    for i, (key, slot, value) in enumerate(needs):
        values = slot_values(slot)
        if value not in values:
            rule = f"one of {', '.join(map(str, values))}" if len(values) > 1 else str(values[0])
            return i, f"{key} must be {rule}, got {value}"
        if _bind(known, needs[: i + 1]) is None and isinstance(slot, Gene):
            before = _bind(known, needs[:i]) or {}
            return i, f"{key} is {value}, but {slot.name}, which the space chooses once, is {before[slot.name]}"
    return len(needs), ""


def _alternatives(space: SearchSpace, architecture: Architecture) -> Iterator[list[Needs]]:
    """Yield, for the stem, each stage and the head, the ways in which the space may have described it."""
    stem = architecture.stem
    yield [[("name", space.stem, name), *_part(slots, stem)] for name, slots in space.stems.items()]
    in_width = stem.width
    for slots, stage in zip(space.stages, architecture.stages, strict=True):
        yield list(_stage(slots, stage, in_width))
        in_width = stage.width
    yield [_part(space.head, architecture.head)]


def _part(slots: Slots, part: Stem | Head) -> Needs:
    return [(key, slot, getattr(part, key)) for key, slot in slots.items() if key not in part.idle]


def _stage(slots: StageSpace, stage: Stage, in_width: int) -> Iterator[Needs]:
    """Yield the needs of a stage, with and without a block of its own in front and behind."""
    changes = stage.stride > 1 or stage.width != in_width
    shape: Needs = [("width", slots.width, stage.width), ("stride", slots.stride, stage.stride)]
    places = stage.places(in_width)
    fronts = _ways("downsample.", slots.downsample if changes else None)
    for (first, no_first), (last, no_last) in product(fronts, _ways("last.", slots.last)):
        depth = len(stage.blocks) - len(first) - len(last)
        if 1 <= depth <= len(slots.blocks):
            described = [*first, *(("", block) for block in slots.blocks[:depth]), *last]
            blocks = (_block(*found) for found in zip(described, stage.blocks, places, strict=True))
            yield [*shape, ("depth", slots.depth, depth), *no_first, *no_last, *chain.from_iterable(blocks)]


def _ways(prefix: str, slots: Slots | None) -> list[tuple[list[tuple[str, Slots]], Needs]]:
    """Return the block that a slot describes, with what its keys begin with, then its absence and what that needs."""
    if slots is None:
        return [([], [])]
    return [([(prefix, slots)], []), ([], [(f"{prefix}block", slots["block"], NO_BLOCK)])]


def _block(described: tuple[str, Slots], block: Block, place: Place) -> Needs:
    prefix, slots = described
    keys = read_keys(block.family, place)
    genes = [(prefix + key, slots[key], _value(slots[key], key, block, place)) for key in keys]
    return [(f"{prefix}block", slots["block"], block.family), *genes]


def _value(slot: Slot, key: str, block: Block, place: Place) -> GeneValue:
    """Return what a slot says of a gene of the block: heads may have been left open."""
    value: GeneValue = getattr(block, key)
    if key == "heads" and value not in slot_values(slot):
        return 0 if normal_block(block.model_copy(update={"heads": 0}), place) == block else value
    return value
