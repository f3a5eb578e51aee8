"""What a study keeps from its start: a request that differs from it is refused, naming the field."""

from __future__ import annotations

from nas.budget import parse_count
from nas.data.images import Dataset
from nas.data.spec import DataSpec
from nas.errors import StudyError
from nas.records import Fidelity
from nas.search.request import SearchRequest
from nas.search.study import Study
from nas.space import SearchSpace, Target
from nas.space_file import load_space, parse_space
from nas.training.plan_options import parse_plan
from nas.training.recipe import parse_rungs

FREE = {"workers", "trials_per_device"}
"""Of the plan: how many train at once changes no result."""


def refuse_changes(request: SearchRequest, study: Study) -> None:
    """Raise StudyError when the request differs from what the study was started with."""
    config = study.config
    asked: dict[str, object] = {
        "space": load_space(request.space).text if request.space else None,
        "cap": parse_count(request.cap, what="--cap") if request.cap else None,
        "seed": request.seed,
        "objectives": request.objectives,
        "epochs": request.epochs,
        "train-fraction": request.train_fraction,
        "resolution": request.resolution,
        "finalists": request.finalists,
        "finalist-seeds": request.finalist_seeds,
        "sampler": request.sampler,
        "device": request.device,
        "suppress": request.suppress,
        "suppress-to": request.suppress_to,
        "warm-start": request.warm_start,
    }
    top, suppression = config.fidelities[-1], config.recipe.suppression
    if request.rungs is not None:
        asked["rungs"] = parse_rungs(request.rungs, top.resolution, top.train_fraction)
    has: dict[str, object] = {
        "space": config.space_text,
        "cap": config.budget.params,
        "seed": config.seed,
        "objectives": config.objectives,
        "epochs": top.epochs,
        "train-fraction": top.train_fraction,
        "resolution": top.resolution,
        "rungs": config.fidelities,
        "finalists": config.finalists,
        "finalist-seeds": config.finalist_seeds,
        "sampler": config.sampler,
        "device": config.plan.device,
        "suppress": None if suppression is None else suppression.strength,
        "suppress-to": None if suppression is None else suppression.target,
        "warm-start": tuple(mark.study for mark in config.warm_start),
    }
    kept = {**config.plan.model_dump(), "batch_size": config.recipe.batch_size}
    for name, value in (parse_plan(request.plan).decided if request.plan else {}).items():
        if name not in FREE:
            asked[f"plan {name}"], has[f"plan {name}"] = value, kept[name]
    for field, value in asked.items():
        if value is not None:
            _refuse_change(study, field, has=has[field], asked=value)


def refuse_other_images(study: Study, spec: DataSpec, data: Dataset) -> None:
    """Raise StudyError when the images are not those that the study was started with."""
    if data.fingerprint != study.config.data_fingerprint:
        raise StudyError(
            f"study {study.name!r}: data: the images of {spec} are not those the study was started with "
            f"(fingerprint {data.fingerprint}, the study has {study.config.data_fingerprint})"
        )


def refuse_other_target(request: SearchRequest, study: Study, data: Dataset) -> None:
    """Raise StudyError when the cap is asked to be counted on another task."""
    if request.target is not None:
        own = parse_space(study.config.space_text)
        asked = target_of(data, own) if request.target == "data" else own.target
        _refuse_change(study, "target", has=_in_words(study.config.target), asked=_in_words(asked))


def target_of(data: Dataset, space: SearchSpace) -> Target:
    """Return the classes and the size of the data as a target, with the caps that the space proposes."""
    return space.target.model_copy(
        update={
            "dataset": data.name,
            "num_classes": data.num_classes,
            "in_channels": data.in_channels,
            "resolution": data.resolution,
        }
    )


def _refuse_change(study: Study, field: str, *, has: object, asked: object) -> None:
    if asked != has:
        difference = "" if field == "space" else f": the study has {_shown(has)}, asked was {_shown(asked)}"
        raise StudyError(
            f"study {study.name!r}: a different {field} than it was started with{difference}; "
            "give another --study name, or leave the option out to go on"
        )


def _in_words(target: Target) -> str:
    return f"{target.num_classes} classes, {target.in_channels}x{target.resolution}x{target.resolution} images"


def _shown(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, Fidelity):
        return f"{value.epochs}@{value.resolution}x{value.train_fraction:g}"
    return ",".join(map(_shown, value)) if isinstance(value, tuple) else str(value)
