"""Which measurements of two studies can be compared?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from nas.records import Fidelity, Recipe, StudyConfig


def comparable(source: StudyConfig, config: StudyConfig) -> tuple[int, tuple[str, ...]]:
    """Return of how many rungs, from the lowest, measurements of two studies can be compared; if of none, why not.

    Networks: the same images, held out in the same way, which the seed of a study decides as well; the same recipe,
    batch size included, and precision; the same rungs up to this one, which a training goes through. Threads, memory
    layout, graphs and the kind of processor round differently, which moves a result less than another seed does.
    Problems: one of the same name, with the same rungs up to this one. Objectives, caps and samplers change nothing
    that was measured.
    """
    if differ := (*_differences(source, config), *_other_rungs(source, config)):
        return 0, differ
    both = zip(source.fidelities, config.fidelities, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both)), ()


def _differences(source: StudyConfig, config: StudyConfig) -> Iterator[str]:
    """Yield what makes no measurement of one study comparable with those of another, apart from the rungs."""
    if config.kind == "problem":
        if source.space_name != config.space_name:
            yield f"another problem: {source.space_name}"
        return
    if source.data_fingerprint != config.data_fingerprint:
        yield f"other images: {source.data}"
    if source.validation_fraction != config.validation_fraction:
        yield f"another share held out: {source.validation_fraction:g}"
    elif source.seed != config.seed:
        yield f"other images held out: seed {source.seed}"
    its, own = source.recipe.model_dump(), config.recipe.model_dump()
    for name in Recipe.model_fields:
        if its[name] != own[name]:
            yield f"another recipe: {name.replace('_', ' ')} {'differs' if name == 'suppression' else its[name]}"
    if source.plan.precision != config.plan.precision:
        yield f"another precision: {source.plan.precision}"


def _other_rungs(source: StudyConfig, config: StudyConfig) -> Iterator[str]:
    """Yield why not even the lowest rungs can be compared."""
    its, read = source.fidelities[0], source.fidelities[-1].resolution
    if its != config.fidelities[0]:
        yield f"another fidelity: {words(its)}"
    elif config.kind == "networks" and read != config.fidelities[-1].resolution:
        yield f"another fidelity: {words(its)}, of images read at {read} px"


def words(fidelity: Fidelity) -> str:
    """Return how long, and on what, a rung trains."""
    epochs = "1 epoch" if fidelity.epochs == 1 else f"{fidelity.epochs} epochs"
    part = f" of {fidelity.train_fraction:.0%} of the images" if fidelity.train_fraction < 1 else ""
    return f"{epochs} at {fidelity.resolution} px{part}"
