"""The work of `nas retrain`: which networks, on which images, one seed after the other; and what came out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nas.architecture import Architecture
from nas.cli.output import count, print_json, print_table
from nas.cli.pages import write_front
from nas.cli.read import open_networks
from nas.cli.references import named
from nas.cli.retrain_progress import Display
from nas.cli.subject import read_architecture, say
from nas.data.files import split_files
from nas.data.folder import class_names, list_images
from nas.data.load import load_dataset, load_test
from nas.data.spec import DataSpec
from nas.errors import InputError, NasError, StudyError
from nas.recipe import Distillation
from nas.report.quantities import plural
from nas.results import StudyFolder
from nas.retrain.estimate import Estimate, chosen_plan, estimate, warnings
from nas.retrain.job import HELD_OUT, HELD_OUT_IMAGENET, Job, Source
from nas.retrain.launch import launch
from nas.retrain.run import DivergedError, How, is_done, retrain, settled
from nas.retrained import accuracies, retrained
from nas.search.confirm import finalists
from nas.search.study import Study
from nas.training.named import NamedRecipe, changed, find_recipe
from nas.training.plan import describe
from nas.training.plan_options import parse_device
from nas.training.ranks import Ranks, joined
from nas.training.teacher import Teacher, load_teacher

TOP = 3
RECIPES = {"imagenet": "tinynext", "digits": "tiny", "folder": "tiny"}
OTHERWISE = "cifar200"
FOLDERS = {"imagenet", "folder"}
ROOM = 8 / 7
"""Side at which the images of a folder are read, to that of the training: 256 pixels for 224."""


@dataclass(frozen=True)
class Request:
    """What was asked for, see the options of `nas retrain`."""

    study: str
    top: int | None
    trial: int | None
    arch: Path | None
    reference: str | None
    data: str | None
    recipe: str | None
    settings: tuple[str, ...]
    label: str | None
    seeds: int
    teacher: str | None
    teacher_weights: Path | None
    side: int | None
    hold_out: float | None
    device: str | None
    save_seconds: float
    save_steps: int | None
    results: Path
    storage: str | None
    download: bool
    skip_broken: bool
    on_the_fly: bool


def retrain_command(request: Request, gpus: int | None, *, plan: bool, as_json: bool) -> None:
    """Retrain what was asked for; what was done before is skipped. With `plan`, only say what it takes."""
    device = _device(request, gpus)
    with joined(device) as ranks, _one_voice(ranks):
        jobs = _jobs(request, device)
        if plan:
            _print_plan(jobs, request, device, gpus or ranks.world, as_json=as_json)
            return
        wanted = gpus or 1
        if wanted > 1 and ranks.world == 1:
            _launch(device, wanted)
        else:
            _train(jobs, request, device, ranks)
        if wanted == 1 or ranks.world == 1:  # else who launched this shows it
            _finish(jobs, request, ranks, as_json=as_json)


def _device(request: Request, gpus: int | None) -> str:
    """Return the device of this process."""
    found = torch.cuda.device_count()
    asked = request.device or ("cuda" if found else "cpu")
    if "," in asked:
        raise InputError(f"--device {asked}: one device; --gpus N shares a training between several")
    device = parse_device(asked, found)
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if gpus and device != "cpu" and gpus > found:
        raise InputError(f"--gpus {gpus}: this machine has {plural(found, 'CUDA device')}; --device cpu takes cores")
    return device


@contextmanager
def _one_voice(ranks: Ranks) -> Iterator[None]:
    """Let one of several processes say what all of them find wrong, and that Ctrl-C was no loss."""
    try:
        yield
    except (InputError, DivergedError) as error:
        if ranks.is_first:
            raise
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        if ranks.is_first:
            say("stopped; what was trained is kept. The same command goes on from here.")
        raise


def _launch(device: str, processes: int) -> None:
    """Start the same command in several processes; each finds its device."""
    say(f"{processes} processes share each training")
    if device == "cpu":
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    launch(sys.argv[1:], processes)


def _train(jobs: Sequence[Job], request: Request, device: str, ranks: Ranks) -> None:
    for job in jobs:
        for seed in range(request.seeds):
            if is_done(job, seed):
                if ranks.is_first:
                    say(f"{job.title}, seed {seed}: done before, in {job.folder(seed)}")
                continue
            _train_seed(job, seed, request, device, ranks)


def _train_seed(job: Job, seed: int, request: Request, device: str, ranks: Ranks) -> None:
    """Train one seed; the first of several processes says so."""
    # measured once, and kept with the training: another plan would give other bits
    plan = settled(job, seed, device, lambda: chosen_plan(job, device, processes=ranks.world).plan, ranks)
    how = How(plan, ranks, request.save_steps, request.save_seconds)
    if not ranks.is_first:
        retrain(job, seed, how)
        return
    say(f"{job.title}, seed {seed}, {job.label}: {describe(plan)}, {_processes(ranks.world)}")
    with Display(job, seed) as display:
        heard = replace(how, tell=display.say, on_epoch=display.epoch, on_steps=display.steps)
        outcome = retrain(job, seed, heard)
    if outcome is not None:
        say(f"{job.title}, seed {seed}: test top-1 {100 * outcome.test.top1:.2f} %, in {outcome.folder}")


def _finish(jobs: Sequence[Job], request: Request, ranks: Ranks, *, as_json: bool) -> None:
    """Print what the networks came to, and write the study's page anew where there is a study."""
    if not ranks.is_first:
        return
    found = retrained(jobs[0].study)
    rows = [each for job in jobs for each in found.get(job.architecture.arch_id, ()) if each.recipe == job.label]
    if as_json:
        print_json([asdict(each) for each in rows])
    else:
        ids = [job.architecture.arch_id for job in jobs]
        made = accuracies({arch_id: [each for each in rows if each.arch_id == arch_id] for arch_id in ids})
        cells = zip(jobs, ids, strict=True)
        table = [[job.title, arch_id, count(job.cost.params), made[arch_id].words] for job, arch_id in cells]
        print_table(["network", "arch id", "params", "test top-1"], table)
    folder = StudyFolder(request.results / request.study)
    if request.storage is not None or folder.database.is_file():
        write_front(folder, open_networks(request.study, request.results, request.storage))


def _print_plan(jobs: Sequence[Job], request: Request, device: str, processes: int, *, as_json: bool) -> None:
    found = list[Estimate]()
    for job in jobs:
        choice = chosen_plan(job, device, processes=processes)
        found.append(estimate(job, choice.plan, choice.pace, processes=processes))
    left = [sum(not is_done(job, seed) for seed in range(request.seeds)) for job in jobs]
    lines = warnings(found, request.results, device)
    hours = sum(each.hours * seeds for each, seeds in zip(found, left, strict=True))
    if as_json:
        rows = [asdict(each) | {"seeds_left": seeds} for each, seeds in zip(found, left, strict=True)]
        print_json({"networks": rows, "hours": hours, "processes": processes, "warnings": lines})
        return
    job, columns = jobs[0], ["network", "params", "images/s", "hours a seed", "seeds left", "memory", "disk"]
    print_table(
        columns,
        [
            [
                each.title,
                count(each.params),
                f"{each.images_per_second:,.0f}",
                f"{each.hours:.2f}",
                seeds,
                _size(each.train_bytes),
                _size(each.disk_bytes),
            ]
            for each, seeds in zip(found, left, strict=True)
        ],
        title=f"{job.label}: {job.fidelity.epochs} epochs at {job.fidelity.resolution} px on {device}, "
        f"{_processes(processes)}",
    )
    print(f"{hours:.2f} hours in all; the images take {_size(found[0].data_bytes)}, mapped or in memory")
    for line in lines:
        print(line)


def _size(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _jobs(request: Request, device: str) -> list[Job]:
    """Return what is to be retrained, checked; InputError in one line."""
    study, networks = _networks(request)
    spec = _spec(request, study)
    recipe = _recipe(request, spec)
    source = _source(request, spec, recipe, study)
    teacher = _teacher(request, source, device)
    label = request.label or recipe.name
    if not label.replace("-", "").replace("_", "").replace(".", "").isalnum() or label.startswith("."):
        raise InputError(f"--as: must be letters, digits, - _ or ., got {label!r}")
    folder = request.results / request.study
    jobs = [Job(title, architecture, source, recipe, label, folder, teacher) for title, architecture in networks]
    for job in jobs:
        job.check()
        for seed in range(request.seeds):
            is_done(job, seed)  # with another recipe it is refused before any is trained
    return jobs


def _networks(request: Request) -> tuple[Study | None, list[tuple[str, Architecture]]]:
    """Return the study, None where it is only a name for results, and the networks with what they are called."""
    given = [name for name in ("top", "trial", "arch", "reference") if getattr(request, name) is not None]
    if len(given) > 1:
        raise InputError(f"--{given[0]} and --{given[1]}: one of the two")
    is_there = request.storage is not None or StudyFolder(request.results / request.study).database.is_file()
    is_needed = request.arch is None and request.reference is None
    study = open_networks(request.study, request.results, request.storage) if is_needed or is_there else None
    if request.arch is not None:
        return study, [(str(request.arch), read_architecture(request.arch))]
    if request.reference is not None:
        found = named(request.reference)
        return study, [(f"reference {found.name}", found.architecture)]
    return study, _trials(request, study) if study is not None else []


def _trials(request: Request, study: Study) -> list[tuple[str, Architecture]]:
    view = study.view()
    if request.trial is not None:
        chosen = tuple(record for record in view.records if record.number == request.trial)
        if not chosen:
            raise StudyError(f"study {study.name!r}: no trial {request.trial}; it has {len(view.records)}, from 0")
    else:
        chosen = finalists(view, request.top or TOP)
    if not chosen:
        raise StudyError(f"study {study.name!r}: no trial was evaluated yet; --trial, --arch or --reference names one")
    return [(f"trial {record.number} of study {study.name}", record.network) for record in chosen]


def _spec(request: Request, study: Study | None) -> DataSpec:
    text = request.data if study is None else request.data or study.config.data
    if text is None:
        raise InputError("--data is missing; say which images, such as --data digits or --data imagenet:PATH")
    spec = DataSpec.parse(text)
    try:  # before hours of training, though nothing of it is opened
        files = split_files(spec, "test")
        if spec.kind in FOLDERS:
            list_images(files[0], class_names(split_files(spec, "train")[0]))
    except NasError:
        if not request.download:
            raise
    return spec


def _recipe(request: Request, spec: DataSpec) -> NamedRecipe:
    found = changed(find_recipe(request.recipe or RECIPES.get(spec.kind, OTHERWISE)), request.settings)
    if request.teacher is None:
        if found.recipe.distillation is not None:
            raise InputError("distillation: --teacher is missing; say who teaches, such as --teacher timm:NAME")
        return found
    if found.recipe.distillation is not None:
        return found
    return found.model_copy(update={"recipe": found.recipe.model_copy(update={"distillation": Distillation()})})


def _source(request: Request, spec: DataSpec, recipe: NamedRecipe, study: Study | None) -> Source:
    share = request.hold_out
    if share is None:
        share = HELD_OUT_IMAGENET if spec.kind == "imagenet" else HELD_OUT
    if not 0 < share < 1:
        raise InputError(f"--hold-out: must be above 0 and below 1, got {share}")
    side = request.side
    if side is None and spec.kind in FOLDERS and recipe.resolution is not None:
        side = max(recipe.sides(0)[-1], round(recipe.resolution * ROOM))
    reading: dict[str, Any] = {"download": request.download, "skip_broken": request.skip_broken}
    seed = study.config.seed if study is not None else 0
    where: dict[str, Any] = {"validation_fraction": share, "resolution": side, "on_the_fly": request.on_the_fly}
    data = load_dataset(spec, seed=seed, **where, **reading)

    def read_test(side: int) -> Any:
        return load_test(spec, resolution=side, **reading)

    return Source(spec, data, share, read_test)


def _teacher(request: Request, source: Source, device: str) -> Teacher | None:
    if request.teacher is None:
        if request.teacher_weights is not None:
            raise InputError("--teacher-weights: --teacher is missing; say whose weights they are")
        return None
    data = source.data
    return load_teacher(
        request.teacher, request.teacher_weights, data.classes, in_channels=data.in_channels, device=device
    )


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
