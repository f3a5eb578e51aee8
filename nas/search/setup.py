"""From what a user asked for to a study that can run: everything is checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from nas.architecture import Architecture, Task
from nas.audit import audit
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.errors import InputError, StudyError
from nas.feasibility import Preflight, preflight
from nas.records import Plan
from nas.results import StudyFolder
from nas.search.changes import FREE, refuse_changes, refuse_other_images, refuse_other_target
from nas.search.draft import DEFAULT_TRIALS, DEFAULT_VALIDATION_FRACTION, Draft, plan_overrides
from nas.search.estimate import SearchEstimate, estimate
from nas.search.evaluator import TrainingEvaluator
from nas.search.request import SearchRequest
from nas.search.storage import open_storage, sqlite_path, sqlite_url
from nas.search.study import Study, study_names
from nas.search.workers import check_workers
from nas.training.checkpoint import Checkpoints
from nas.training.plan import PlanChoice, choose_plan
from nas.training.plan_options import check_overrides, parse_device


def _nothing(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Prepared:
    """A study that is ready to be worked on, and what to tell the user before; `choice` only of a new one.

    `plan` is this run's: how many train at once may differ from run to run. The evaluator trains on its first device.
    """

    study: Study
    plan: Plan
    evaluator: TrainingEvaluator
    folder: StudyFolder
    url: str
    choice: PlanChoice | None = None

    @cached_property
    def report(self) -> Preflight:
        """What the space and the cap mean."""
        return preflight(self.study.config.space, self.study.config.budget, seed=self.study.config.seed)

    @cached_property
    def estimate(self) -> SearchEstimate:
        """What the study costs from its start."""
        data = self.evaluator.data
        sizes = {"train_images": len(data.train), "validation_images": len(data.validation)}
        return estimate(self.study.config, self.study.n_trials, _task(data), **sizes)

    def accept(self, architecture: Architecture) -> None:
        """Let fvcore count an architecture on the target; AuditError when it is over the cap or counted wrongly."""
        audit(architecture, self.study.config.target.task, self.study.config.budget)

    def studies(self, count: int) -> tuple[Study, ...]:
        """Return an object of the study for each of so many threads; several have connections of their own."""
        if count == 1:
            return (self.study,)
        return tuple(Study.open(open_storage(self.url), self.study.name) for _ in range(count))


def prepare(
    request: SearchRequest, tell: Callable[[str], None] = _nothing, on_step: Callable[[str], None] = _nothing
) -> Prepared:
    """Return the study of a request, opened or newly made. InputError, in one line, for anything that cannot be.

    This process then runs with the threads of the study's plan. `on_step` hears what is done now, `tell` what training
    has to say later, such as that a disk is full.
    """
    _check_name(request.name)
    folder = StudyFolder(request.results / request.name)
    url = request.storage or sqlite_url(folder.database)
    check_workers(plan_overrides(request).workers or 1, is_sqlite=sqlite_path(url) is not None)
    make = _resume if _exists(url, request.name) else _create
    prepared = make(request, url, folder, tell, on_step)
    torch.set_num_threads(prepared.study.config.plan.threads)
    return prepared


def join(request: SearchRequest, tell: Callable[[str], None] = _nothing) -> Prepared:
    """Return the study of a request for one more worker, on a device of the kind that the study has."""
    folder = StudyFolder(request.results / request.name)
    url = request.storage or sqlite_url(folder.database)
    study = Study.open(open_storage(url), request.name)
    plan = study.config.plan
    trials = request.trials_per_gpu or plan.trials_per_device
    device = parse_device(request.device or plan.devices[0], torch.cuda.device_count())
    if "," in device:
        raise InputError(f"--device {device}: a worker has one device; start another for each")
    if device.partition(":")[0] != plan.device.partition(":")[0]:
        raise InputError(f"--device {device}: study {study.name!r} is trained on {plan.device}")
    torch.set_num_threads(plan.threads)
    data = _same_data(request, study, _nothing)
    mine = plan.model_copy(update={"device": device, "trials_per_device": trials})
    return Prepared(study, mine, _evaluator(study, data, mine, folder, tell), folder, url)


def _check_name(name: str) -> None:
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise StudyError(f"study: the name may hold letters, digits, '-', '_' and '.', got {name!r}")


def _exists(url: str, name: str) -> bool:
    path = sqlite_path(url)
    return (path is None or path.is_file()) and name in study_names(open_storage(url))


def _create(
    request: SearchRequest,
    url: str,
    folder: StudyFolder,
    tell: Callable[[str], None],
    on_step: Callable[[str], None],
) -> Prepared:
    draft = Draft.of(request)
    if request.target != "data":  # an impossible cap is refused before images are read for minutes
        preflight(draft.space, draft.budget, seed=draft.seed)
    data = _load(draft.spec, request, draft.seed, draft.resolution, on_step)
    if request.target == "data":
        draft = draft.on(data)
        preflight(draft.space, draft.budget, seed=draft.seed)
    members, images = draft.members(), draft.images(data)
    folder.prepare()
    on_step("measuring how training runs fastest here")
    choice = choose_plan(
        members,
        _task(data),
        draft.recipe(data),
        device=draft.device,
        overrides=draft.overrides,
        images=images,
    )
    config = draft.config(data, choice)
    trials = request.trials or DEFAULT_TRIALS
    study = Study.create(open_storage(url, create=True), config, trials, request.max_hours)
    folder.write(config)
    return Prepared(study, config.plan, _evaluator(study, data, config.plan, folder, tell), folder, url, choice)


def _resume(
    request: SearchRequest,
    url: str,
    folder: StudyFolder,
    tell: Callable[[str], None],
    on_step: Callable[[str], None],
) -> Prepared:
    study = Study.open(open_storage(url), request.name)
    config = study.config
    refuse_changes(request, study)
    data = _same_data(request, study, on_step)
    refuse_other_target(request, study, data)
    parse_device(config.plan.device, torch.cuda.device_count())
    check_overrides(plan_overrides(request), config.plan.device)
    study.extend(request.trials, request.max_hours)
    folder.prepare()
    folder.write(config)
    now = {name: value for name, value in plan_overrides(request).decided.items() if name in FREE}
    plan = config.plan.model_copy(update=now)
    return Prepared(study, plan, _evaluator(study, data, plan, folder, tell), folder, url)


def _evaluator(
    study: Study, data: Dataset, plan: Plan, folder: StudyFolder, tell: Callable[[str], None]
) -> TrainingEvaluator:
    config = study.config
    return TrainingEvaluator(
        data,
        config.recipe,
        plan.model_copy(update={"device": plan.devices[0]}),
        ladder=config.fidelities,
        checkpoints=Checkpoints(folder.checkpoints, tell),
        pace=config.pace,
        tell=tell,
    )


def _same_data(request: SearchRequest, study: Study, on_step: Callable[[str], None]) -> Dataset:
    """Return the images of a study; StudyError when they have changed."""
    spec = DataSpec.parse(request.data or study.config.data)
    data = _load(spec, request, study.config.seed, study.config.fidelities[-1].resolution, on_step)
    refuse_other_images(study, spec, data)
    return data


def _task(data: Dataset) -> Task:
    return Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)


def _load(
    spec: DataSpec, request: SearchRequest, seed: int, resolution: int | None, on_step: Callable[[str], None]
) -> Dataset:
    on_step(f"reading {spec}")
    return load_dataset(
        spec,
        seed=seed,
        validation_fraction=DEFAULT_VALIDATION_FRACTION,
        resolution=resolution,
        download=request.download,
        skip_broken=request.skip_broken,
    )
