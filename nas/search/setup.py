"""From what a user asked for to a study that can run: everything is checked before anything is written."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from nas import pareto
from nas.architecture import Architecture, Task
from nas.audit import audit
from nas.budget import Budget, parse_count
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.errors import InputError, StudyError, unknown
from nas.feasibility import Preflight, preflight, repair
from nas.records import StudyConfig, Suppression
from nas.results import StudyFolder
from nas.search.evaluator import TrainingEvaluator
from nas.search.proposals import SAMPLERS
from nas.search.request import DEFAULT_SPACE, SearchRequest
from nas.search.storage import open_storage, sqlite_path, sqlite_url
from nas.search.study import Study, study_names
from nas.space import SearchSpace, Target
from nas.space_file import load_space, parse_space
from nas.training.plan import measure_plan
from nas.training.recipe import default_recipe, rungs

DEFAULT_TRIALS = 48
DEFAULT_EPOCHS = 6
DEFAULT_REDUCTION = 2
PROXY_IMAGES = 10_000
"""Most images of an epoch unless asked for otherwise: a proxy ranks networks, it does not finish them."""
DEFAULT_VALIDATION_FRACTION = 0.2


@dataclass(frozen=True)
class Prepared:
    """A study that is ready to run, and what to tell the user before it does."""

    study: Study
    evaluator: TrainingEvaluator
    folder: StudyFolder
    report: Preflight
    is_resumed: bool
    plans: dict[str, float]

    def accept(self, architecture: Architecture) -> None:
        """Let fvcore count an architecture on the target; AuditError when it is over the cap or counted wrongly."""
        audit(architecture, self.study.config.target.task, self.study.config.budget)


def prepare(request: SearchRequest, tell: Callable[[str], None] = lambda _: None) -> Prepared:
    """Return the study of a request, opened or newly made. InputError, in one line, for anything that cannot be.

    This process then runs with the threads of the study's plan.
    """
    _check_name(request.name)
    folder = StudyFolder(request.results / request.name)
    url = request.storage or sqlite_url(folder.database)
    make = _resume if _exists(url, request.name) else _create
    prepared = make(request, url, folder, tell)
    torch.set_num_threads(prepared.study.config.plan.threads)
    return prepared


def _check_name(name: str) -> None:
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise StudyError(f"study: the name may hold letters, digits, '-', '_' and '.', got {name!r}")


def _exists(url: str, name: str) -> bool:
    path = sqlite_path(url)
    return (path is None or path.is_file()) and name in study_names(open_storage(url))


def _create(request: SearchRequest, url: str, folder: StudyFolder, tell: Callable[[str], None]) -> Prepared:
    space = load_space(request.space or DEFAULT_SPACE)
    sampler = request.sampler or "tpe"
    if sampler not in SAMPLERS:
        raise InputError(unknown("sampler", sampler, SAMPLERS))
    wanted = request.objectives or pareto.DEFAULT_OBJECTIVES
    pareto.objectives(wanted)
    spec = _data_spec(request, space)
    device = _device(request.device or "cpu")
    seed = request.seed or 0
    budget = space.target.budget(request.cap)
    if request.target != "data":  # an impossible cap is refused before images are read for minutes
        report = preflight(space, budget, seed=seed)
    data = _load(spec, request, seed, request.resolution, tell)
    if request.target == "data":
        space = replace(space, target=_target_of(data, space))
        report = preflight(space, budget, seed=seed)
    epochs = request.epochs or DEFAULT_EPOCHS
    fraction = request.train_fraction or min(1.0, PROXY_IMAGES / len(data.train))
    fidelities = rungs(epochs, data.resolution, round(fraction, 4))
    recipe = default_recipe(data, _suppression(request))
    typical = _typical(space, budget, seed)
    folder.prepare()
    tell("measuring how training runs fastest here")
    task = Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)
    plan, plans = measure_plan(typical, task, recipe, device)
    config = StudyConfig(
        name=request.name,
        space_name=space.name,
        space_text=space.text,
        target=space.target,
        budget=budget,
        data=str(spec),
        data_fingerprint=data.fingerprint,
        validation_fraction=DEFAULT_VALIDATION_FRACTION,
        objectives=wanted,
        fidelities=fidelities,
        reduction=DEFAULT_REDUCTION,
        recipe=recipe,
        plan=plan,
        sampler=sampler,
        seed=seed,
    )
    study = Study.create(open_storage(url, create=True), config, request.trials or DEFAULT_TRIALS)
    folder.write(config)
    return Prepared(study, TrainingEvaluator(data, recipe, plan), folder, report, False, plans)


def _resume(request: SearchRequest, url: str, folder: StudyFolder, tell: Callable[[str], None]) -> Prepared:
    study = Study.open(open_storage(url), request.name)
    config = study.config
    _refuse_changes(request, study)
    spec = DataSpec.parse(request.data or config.data)
    data = _load(spec, request, config.seed, config.fidelities[-1].resolution, tell)
    if data.fingerprint != config.data_fingerprint:
        raise StudyError(
            f"study {study.name!r}: data: the images of {spec} are not those the study was started with "
            f"(fingerprint {data.fingerprint}, the study has {config.data_fingerprint})"
        )
    if request.target is not None:
        own = parse_space(config.space_text)
        asked = _target_of(data, own) if request.target == "data" else own.target
        _refuse_change(study, "target", has=_in_words(config.target), asked=_in_words(asked))
    _device(config.plan.device)
    if request.trials is not None:
        study.extend(request.trials)
    folder.prepare()
    folder.write(config)
    report = preflight(study.space, config.budget, seed=config.seed)
    return Prepared(study, TrainingEvaluator(data, config.recipe, config.plan), folder, report, True, {})


def _refuse_changes(request: SearchRequest, study: Study) -> None:
    """Raise StudyError, naming the field, when the request differs from what the study was started with."""
    config = study.config
    asked: dict[str, object] = {
        "space": load_space(request.space).text if request.space else None,
        "cap": parse_count(request.cap, what="--cap") if request.cap else None,
        "seed": request.seed,
        "objectives": request.objectives,
        "epochs": request.epochs,
        "train-fraction": request.train_fraction,
        "resolution": request.resolution,
        "sampler": request.sampler,
        "device": request.device,
        "suppress": request.suppress,
        "suppress-to": request.suppress_to,
    }
    top, suppression = config.fidelities[-1], config.recipe.suppression
    has = {
        "space": config.space_text,
        "cap": config.budget.params,
        "seed": config.seed,
        "objectives": config.objectives,
        "epochs": top.epochs,
        "train-fraction": top.train_fraction,
        "resolution": top.resolution,
        "sampler": config.sampler,
        "device": config.plan.device,
        "suppress": None if suppression is None else suppression.strength,
        "suppress-to": None if suppression is None else suppression.target,
    }
    for field, value in asked.items():
        if value is not None:
            _refuse_change(study, field, has=has[field], asked=value)


def _refuse_change(study: Study, field: str, *, has: object, asked: object) -> None:
    if asked != has:
        difference = "" if field == "space" else f": the study has {_shown(has)}, asked was {_shown(asked)}"
        raise StudyError(
            f"study {study.name!r}: a different {field} than it was started with{difference}; "
            "give another --study name, or leave the option out to go on"
        )


def _in_words(target: Target) -> str:
    return f"{target.num_classes} classes, {target.in_channels}x{target.resolution}x{target.resolution} images"


def _suppression(request: SearchRequest) -> Suppression | None:
    if request.suppress is None and request.suppress_to is None:
        return None
    default = Suppression(target=request.suppress_to)
    return default if request.suppress is None else default.model_copy(update={"strength": request.suppress})


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _data_spec(request: SearchRequest, space: SearchSpace) -> DataSpec:
    if request.data is None and space.target.dataset not in {"digits"}:
        raise InputError(
            f"--data is missing: space {space.name!r} is for {space.target.dataset}; "
            "say what to train on, such as --data fashion_mnist:PATH or --data folder:PATH"
        )
    return DataSpec.parse(request.data or space.target.dataset)


def _device(name: str) -> str:
    """Return the device if this machine has it; InputError otherwise."""
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda"} or (index and not index.isdigit()):
        raise InputError(f"--device must be cpu, cuda or cuda:N, got {name!r}")
    found = torch.cuda.device_count()
    if kind == "cuda" and int(index or 0) >= found:
        raise InputError(f"--device {name}: this machine has {found} CUDA device(s)")
    return name


def _load(
    spec: DataSpec, request: SearchRequest, seed: int, resolution: int | None, tell: Callable[[str], None]
) -> Dataset:
    tell(f"reading {spec}")
    return load_dataset(
        spec,
        seed=seed,
        validation_fraction=DEFAULT_VALIDATION_FRACTION,
        resolution=resolution,
        download=request.download,
        skip_broken=request.skip_broken,
    )


def _target_of(data: Dataset, space: SearchSpace) -> Target:
    """Return the classes and the size of the data as a target, with the caps that the space proposes."""
    return space.target.model_copy(
        update={
            "dataset": data.name,
            "num_classes": data.num_classes,
            "in_channels": data.in_channels,
            "resolution": data.resolution,
        }
    )


def _typical(space: SearchSpace, budget: Budget, seed: int) -> Architecture:
    """Return the first random member that fits: the plan is measured on it."""
    rng = random.Random(seed)
    members = (repair(space, space.random(rng), budget) for _ in range(100))
    member = next((member for member in members if member is not None), None)
    if member is None:
        raise InputError(
            f"space {space.name!r}: none of 100 random members could be repaired under {budget.params:,} params"
        )
    return space.decode(member)
