"""How many different networks a search space holds: counted exactly, without enumerating them.

The count runs over stages, keeping the width that the next stage is given. A gene with one slot multiplies the count
where it is read. A gene with several slots counts once, and only when a block reads it; so states also keep the set of
such genes that became active, and their values are multiplied in when the last slot has been seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

from nas.blocks import Place
from nas.space import Gene, SearchSpace, Slot, StageSpace, read_keys, slot_values

Blocks = tuple[Mapping[str, Slot], ...]
Active = frozenset[Gene]


def size(space: SearchSpace) -> int:
    """Return the exact number of different canonical genotypes of `space`."""
    if gene := _common_family_gene(space):
        return sum(size(_with_family(space, gene, value)) for value in gene.values)
    network = _repeated(list(_slots(space)))
    read_by_stem, own = _split(space.stem.values(), network)
    own_rest = own // len(slot_values(space.stem["width"]))
    states = Counter({(int(width), read_by_stem): own_rest for width in slot_values(space.stem["width"])})
    for stage in space.stages:
        states = _extend(states, stage, network)
    return sum(count * _head_ways(space.head, active, network) for (_, active), count in states.items())


def _slots(space: SearchSpace) -> Iterable[Slot]:
    """Yield the slots of the space, those of a stage once: what repeats is shared between stages, stem and head."""
    yield from space.stem.values()
    for stage in space.stages:
        yield from {slot: None for block in stage.blocks for slot in block.values()}
    yield from space.head.values()


def _repeated(slots: Iterable[Slot]) -> Active:
    counts = Counter(slot for slot in slots if isinstance(slot, Gene))
    return frozenset(gene for gene, count in counts.items() if count > 1)


def _split(slots: Iterable[Slot], shared: Active) -> tuple[Active, int]:
    """Return the shared genes among `slots`, and the number of ways to fill the others."""
    genes = [slot for slot in slots if isinstance(slot, Gene)]
    return shared.intersection(genes), prod(len(gene.values) for gene in genes if gene not in shared)


def _one_family_gene(blocks: Iterable[Mapping[str, Slot]]) -> Gene | None:
    """Return the gene that chooses the family of all `blocks`, if one does."""
    slots = {block["block"] for block in blocks}
    only = slots.pop() if len(slots) == 1 else None
    return only if isinstance(only, Gene) else None


def _common_family_gene(space: SearchSpace) -> Gene | None:
    """Return the gene that chooses the family of several stages, if there is one: that of [network]."""
    genes = [gene for stage in space.stages if (gene := _one_family_gene(stage.blocks))]
    return next((gene for gene in genes if genes.count(gene) > 1), None)


def _fix_family(blocks: Blocks, gene: Gene, value: object) -> Blocks:
    """Return the blocks with the family `value` where `gene` chooses it."""
    return tuple({**block, "block": str(value)} if block["block"] == gene else block for block in blocks)


def _with_family(space: SearchSpace, gene: Gene, value: object) -> SearchSpace:
    stages = tuple(replace(stage, blocks=_fix_family(stage.blocks, gene, value)) for stage in space.stages)
    return replace(space, stages=stages)


def _extend(states: Counter[tuple[int, Active]], stage: StageSpace, network: Active) -> Counter[tuple[int, Active]]:
    extended: Counter[tuple[int, Active]] = Counter()
    for (in_width, active), count in states.items():
        for width in map(int, slot_values(stage.width)):
            for stride in map(int, slot_values(stage.stride)):
                for depth in map(int, slot_values(stage.depth)):
                    places = [Place(in_width, width, stride), *[Place(width, width, 1)] * (depth - 1)]
                    for read, ways in _stage_ways(stage.blocks[:depth], places, network).items():
                        extended[width, active | read] += count * ways
    return extended


def _stage_ways(blocks: Blocks, places: list[Place], network: Active) -> Counter[Active]:
    """Return, for each set of active network genes, the number of ways to fill the blocks of a stage."""
    if gene := _one_family_gene(blocks):
        choices = (_stage_ways(_fix_family(blocks, gene, value), places, network) for value in gene.values)
        return sum(choices, Counter())
    shared = network | _repeated(slot for block in blocks for slot in block.values())
    states: Counter[Active] = Counter({frozenset(): 1})
    for slots, place in zip(blocks, places, strict=True):
        filled: Counter[Active] = Counter()
        for family in slot_values(slots["block"]):
            read, own = _split((slots[key] for key in read_keys(str(family), place)), shared)
            for active, count in states.items():
                filled[active | read] += count * own
        states = filled
    ways: Counter[Active] = Counter()
    for active, count in states.items():
        ways[active & network] += count * prod(len(gene.values) for gene in active - network)
    return ways


def _head_ways(head: Mapping[str, Slot], active: Active, network: Active) -> int:
    """Return the ways to fill the head and all active network genes; without a width the head reads nothing else."""
    read, own = _split((slot for key, slot in head.items() if key != "width"), network)
    ways = 0
    for width in slot_values(head["width"]):
        genes = active | read if width else active
        ways += (own if width else 1) * prod(len(gene.values) for gene in genes)
    return ways
