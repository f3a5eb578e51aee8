"""From what a user asked for to a study that can run: everything is checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from nas.architecture import Architecture, Task
from nas.audit import audit
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.errors import InputError, StudyError
from nas.feasibility import Preflight, preflight
from nas.results import StudyFolder
from nas.search.changes import refuse_changes, refuse_other_images, refuse_other_target
from nas.search.draft import DEFAULT_TRIALS, DEFAULT_VALIDATION_FRACTION, Draft
from nas.search.evaluator import TrainingEvaluator
from nas.search.request import SearchRequest
from nas.search.storage import open_storage, sqlite_path, sqlite_url
from nas.search.study import Study, study_names
from nas.training.plan import measure_plan


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
    draft = Draft.of(request)
    device = _device(request.device or "cpu")
    if request.target != "data":  # an impossible cap is refused before images are read for minutes
        report = preflight(draft.space, draft.budget, seed=draft.seed)
    data = _load(draft.spec, request, draft.seed, request.resolution, tell)
    if request.target == "data":
        draft = draft.on(data)
        report = preflight(draft.space, draft.budget, seed=draft.seed)
    typical, recipe = draft.typical(), draft.recipe(data)
    folder.prepare()
    tell("measuring how training runs fastest here")
    task = Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)
    plan, plans = measure_plan(typical, task, recipe, device)
    config = draft.config(data, recipe, plan)
    study = Study.create(open_storage(url, create=True), config, request.trials or DEFAULT_TRIALS)
    folder.write(config)
    return Prepared(study, TrainingEvaluator(data, recipe, plan), folder, report, False, plans)


def _resume(request: SearchRequest, url: str, folder: StudyFolder, tell: Callable[[str], None]) -> Prepared:
    study = Study.open(open_storage(url), request.name)
    config = study.config
    refuse_changes(request, study)
    spec = DataSpec.parse(request.data or config.data)
    data = _load(spec, request, config.seed, config.fidelities[-1].resolution, tell)
    refuse_other_images(study, spec, data)
    refuse_other_target(request, study, data)
    _device(config.plan.device)
    if request.trials is not None:
        study.extend(request.trials)
    folder.prepare()
    folder.write(config)
    report = preflight(study.space, config.budget, seed=config.seed)
    return Prepared(study, TrainingEvaluator(data, config.recipe, config.plan), folder, report, True, {})


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
