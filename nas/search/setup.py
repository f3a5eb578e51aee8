"""From what a user asked for to a study that can run: everything is checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Self

import torch
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage

from nas.architecture import Architecture, Task
from nas.audit import audit
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.errors import InputError, StudyError
from nas.feasibility import Preflight, preflight
from nas.members import NetworkMembers
from nas.records import Plan
from nas.results import StudyFolder
from nas.search.catalogue import refuse_problem, study_names
from nas.search.changes import FREE, refuse_changes, refuse_other_images, refuse_other_target
from nas.search.draft import DEFAULT_TRIALS, DEFAULT_VALIDATION_FRACTION, Draft, plan_overrides
from nas.search.estimate import SearchEstimate, estimate
from nas.search.evaluator import TrainingEvaluator
from nas.search.request import SearchRequest
from nas.search.sources import Places, Source
from nas.search.storage import open_storage, sqlite_path, sqlite_url
from nas.search.study import Study
from nas.search.warm_start import as_before, genes_of, missing, sources_of, take_over
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
    `notes` say what came of the studies that it starts from; `sampler` is one that was passed as an object.
    """

    study: Study
    plan: Plan
    evaluator: TrainingEvaluator
    folder: StudyFolder
    url: str
    choice: PlanChoice | None = None
    notes: tuple[str, ...] = ()
    sampler: BaseSampler | None = None

    @cached_property
    def report(self) -> Preflight:
        """What the space and the cap mean."""
        return preflight(self.study.config.space, self.study.config.budget, seed=self.study.config.seed)

    @cached_property
    def estimate(self) -> SearchEstimate:
        """What the study costs from its start."""
        data = self.evaluator.data
        sizes = {"train_images": len(data.train), "validation_images": len(data.validation)}
        return estimate(self.study.config, self.study.n_trials - len(self.study.taken_over), _task(data), **sizes)

    def accept(self, architecture: Architecture) -> None:
        """Let fvcore count an architecture on the target; AuditError when it is over the cap or counted wrongly."""
        audit(architecture, self.study.config.target.task, self.study.config.budget)

    def studies(self, count: int) -> tuple[Study, ...]:
        """Return an object of the study for each of so many threads; several have connections of their own."""
        if count == 1:
            return (self.study,)
        name, results = self.study.name, self.folder.path.parent
        each = partial(Study.open, name=name, sampler=self.sampler, results=results)
        return tuple(each(open_storage(self.url)) for _ in range(count))


def prepare(
    request: SearchRequest,
    tell: Callable[[str], None] = _nothing,
    on_step: Callable[[str], None] = _nothing,
    *,
    sampler: BaseSampler | None = None,
) -> Prepared:
    """Return the study of a request, opened or newly made. InputError, in one line, for anything that cannot be.

    This process then runs with the threads of the study's plan. `on_step` hears what is done now, `tell` what training
    has to say later, such as that a disk is full. `sampler` is any Optuna sampler, instead of one by its name: the
    study remembers its class, and goes on where one is passed again.
    """
    _check_name(request.name)
    if sampler is not None:
        request = replace(request, sampler=type(sampler).__name__)
    asked = replace(_Asked.of(request, tell, on_step), sampler=sampler)
    is_sqlite = sqlite_path(asked.url) is not None
    check_workers(plan_overrides(request).workers or 1, is_sqlite=is_sqlite)
    prepared = _resume(asked) if asked.is_known else _create(asked)
    torch.set_num_threads(prepared.study.config.plan.threads)
    return prepared


def join(request: SearchRequest, tell: Callable[[str], None] = _nothing) -> Prepared:
    """Return the study of a request for one more worker, on a device of the kind that the study has."""
    asked = _Asked.of(request, tell, _nothing)
    study = asked.open()
    plan = study.config.plan
    if sqlite_path(asked.url) is not None:
        check_workers(len(study.processes()) + 1, is_sqlite=True)
    trials = request.trials_per_gpu or plan.trials_per_device
    device = parse_device(request.device or plan.devices[0], torch.cuda.device_count())
    if "," in device:
        raise InputError(f"--device {device}: a worker has one device; start another for each")
    if device.partition(":")[0] != plan.device.partition(":")[0]:
        raise InputError(f"--device {device}: study {study.name!r} is trained on {plan.device}")
    torch.set_num_threads(plan.threads)
    mine = plan.model_copy(update={"device": device, "trials_per_device": trials})
    return asked.prepared(study, mine, asked.same_data(study))


@dataclass(frozen=True)
class _Asked:
    """A request, where its study is kept, and who hears of it: `on_step` of what is done now, `tell` of training."""

    request: SearchRequest
    url: str
    folder: StudyFolder
    tell: Callable[[str], None]
    on_step: Callable[[str], None]
    sampler: BaseSampler | None = None

    @classmethod
    def of(cls, request: SearchRequest, tell: Callable[[str], None], on_step: Callable[[str], None]) -> Self:
        """Return a request with the database that it means."""
        folder = StudyFolder(request.results / request.name)
        return cls(request, request.storage or sqlite_url(folder.database), folder, tell, on_step)

    @property
    def is_known(self) -> bool:
        """Whether the study exists."""
        with self.storage() as opened:
            return opened is not None and self.request.name in study_names(opened)

    @contextmanager
    def storage(self) -> Iterator[RDBStorage | None]:
        """Give the database while inside, to read; None where there is none yet."""
        path = sqlite_path(self.url)
        if path is not None and not path.is_file():
            yield None
            return
        opened = open_storage(self.url)
        try:
            yield opened
        finally:
            opened.remove_session()
            opened.engine.dispose()

    def open(self) -> Study:
        """Return the study; StudyError where its candidates are not trained by this program."""
        study = Study.open(
            open_storage(self.url), self.request.name, sampler=self.sampler, results=self.request.results
        )
        refuse_problem(study.config)
        return study

    def load(self, spec: DataSpec, *, seed: int, resolution: int | None) -> Dataset:
        """Return the images of a study with this seed."""
        self.on_step(f"reading {spec}")
        return load_dataset(
            spec,
            seed=seed,
            validation_fraction=DEFAULT_VALIDATION_FRACTION,
            resolution=resolution,
            download=self.request.download,
            skip_broken=self.request.skip_broken,
        )

    def same_data(self, study: Study) -> Dataset:
        """Return the images of a study; StudyError when they have changed."""
        config = study.config
        spec = DataSpec.parse(self.request.data or config.data)
        data = self.load(spec, seed=config.seed, resolution=config.fidelities[-1].resolution)
        refuse_other_images(study, spec, data)
        return data

    def prepared(
        self, study: Study, plan: Plan, data: Dataset, *, choice: PlanChoice | None = None, notes: Sequence[str] = ()
    ) -> Prepared:
        """Return the study ready to be worked on by this plan."""
        config = study.config
        others = [StudyFolder(self.request.results / mark.study).checkpoints for mark in config.warm_start]
        evaluator = TrainingEvaluator(
            data,
            config.recipe,
            plan.model_copy(update={"device": plan.devices[0]}),
            ladder=config.fidelities,
            checkpoints=Checkpoints(self.folder.checkpoints, self.tell, self.request.checkpoint_bytes, others=others),
            pace=config.pace,
            tell=self.tell,
        )
        return Prepared(study, plan, evaluator, self.folder, self.url, choice, tuple(notes), self.sampler)


def _check_name(name: str) -> None:
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        raise StudyError(f"study: the name may hold letters, digits, '-', '_' and '.', got {name!r}")


def _create(asked: _Asked) -> Prepared:
    request, draft = asked.request, Draft.of(asked.request, passed=asked.sampler is not None)
    sources = _sources(asked, draft)
    draft, data = _read(asked, draft)
    members, images = draft.members(), draft.images(data)
    asked.folder.prepare()
    asked.on_step("measuring how training runs fastest here")
    overrides = as_before(
        draft.overrides, draft.recipe(data), sources, fingerprint=data.fingerprint, device=draft.device
    )
    choice = choose_plan(
        members,
        _task(data),
        draft.recipe(data),
        device=draft.device,
        overrides=overrides,
        images=images,
    )
    config = draft.config(data, choice).model_copy(update={"warm_start": tuple(source.mark for source in sources)})
    accept = partial(audit, task=config.target.task, budget=config.budget)
    start = take_over(config, NetworkMembers(config.space, config.budget), sources, accept)
    study = Study.create(
        open_storage(asked.url, create=True),
        config,
        request.trials or DEFAULT_TRIALS,
        request.max_hours,
        sampler=asked.sampler,
        results=request.results,
        start=start,
    )
    if request.lease is not None:
        study.set_lease(request.lease)
    asked.folder.write(config)
    kept = ["warm start: precision and batch size as they were, so that measurements can be compared"]
    notes = [*start.lines, *(kept if overrides != draft.overrides else [])]
    return asked.prepared(study, config.plan, data, choice=choice, notes=notes)


def _sources(asked: _Asked, draft: Draft) -> tuple[Source, ...]:
    """Return the studies that a new one is to start from; StudyError for what cannot be one."""
    request = asked.request
    if not request.warm_start:
        return ()
    with asked.storage() as opened:
        places, genes = Places(opened, request.results), genes_of(draft.space)
        return sources_of(request.warm_start, places, kind="networks", choices=genes, study=request.name)


def _read(asked: _Asked, draft: Draft) -> tuple[Draft, Dataset]:
    """Return the images, and the draft with its cap counted on them where that was asked; CapError where none fits."""
    counts_on_data = asked.request.target == "data"
    if not counts_on_data:  # an impossible cap is refused before images are read for minutes
        preflight(draft.space, draft.budget, seed=draft.seed)
    data = asked.load(draft.spec, seed=draft.seed, resolution=draft.resolution)
    if counts_on_data:
        draft = draft.on(data)
        preflight(draft.space, draft.budget, seed=draft.seed)
    return draft, data


def _resume(asked: _Asked) -> Prepared:
    request, study = asked.request, asked.open()
    config = study.config
    refuse_changes(request, study)
    data = asked.same_data(study)
    refuse_other_target(request, study, data)
    parse_device(config.plan.device, torch.cuda.device_count())
    check_overrides(plan_overrides(request), config.plan.device)
    study.extend(request.trials, request.max_hours)
    if request.lease is not None:
        study.set_lease(request.lease)
    asked.folder.prepare()
    asked.folder.write(config)
    now = {name: value for name, value in plan_overrides(request).decided.items() if name in FREE}
    plan = config.plan.model_copy(update=now)
    return asked.prepared(study, plan, data, notes=missing(config, Places(study.storage, request.results)))


def _task(data: Dataset) -> Task:
    return Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)
