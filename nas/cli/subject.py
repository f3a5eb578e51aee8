"""Which network and which images does a user mean? What the commands that look at one network have in common."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nas.architecture import Architecture, Task
from nas.budget import cost
from nas.cli.read import open_study
from nas.cli.references import named
from nas.data.images import Dataset, Images
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.errors import InputError, SpaceError, StudyError, unknown
from nas.network.foreign import IN_CHANNELS, LIBRARIES
from nas.records import Fidelity, Plan, StudyConfig
from nas.references import references
from nas.search.draft import DEFAULT_EPOCHS, PROXY_IMAGES

FORMS = "FILE, STUDY:TRIAL, reference:NAME, timm:NAME or torchvision:NAME"


@dataclass(frozen=True)
class NetworkRequest:
    """A network and the images to use it with, as a user named them; `results` and `storage` say where studies are."""

    network: str
    data: str | None
    resolution: int | None
    seed: int
    results: Path
    storage: str | None
    download: bool = False
    skip_broken: bool = False


@dataclass(frozen=True)
class Subject:
    """An architecture with the name it goes by, and the study that it is a trial of."""

    name: str
    architecture: Architecture
    study: StudyConfig | None = None


@dataclass(frozen=True)
class Foreign:
    """A network of another library (`nas.network.foreign`)."""

    library: str
    network: str

    @property
    def name(self) -> str:
        """The name it goes by, ``timm:resnet18``."""
        return f"{self.library}:{self.network}"


def find(request: NetworkRequest) -> Subject | Foreign:
    """Return what ``FILE``, ``STUDY:TRIAL``, ``reference:NAME``, ``timm:NAME`` or ``torchvision:NAME`` names.

    InputError in one line when there is no such file, study, trial or reference; libraries are not asked yet.
    """
    text = request.network
    source, _, name = text.partition(":")
    if source in LIBRARIES and name:
        return Foreign(source, name)
    if source == "reference" and name:
        found = named(name)
        return Subject(f"reference {found.name}", found.architecture)
    if (path := Path(text)).exists():
        return Subject(text, read_architecture(path))
    study, _, trial = text.rpartition(":")
    if trial.isdecimal() and study:
        return _trial(study, int(trial), request)
    raise InputError(_nothing(text, source, name))


def find_architecture(request: NetworkRequest) -> Subject:
    """Return what `find` does; InputError for a network of another library, which has no architecture to change."""
    found = find(request)
    if isinstance(found, Foreign):
        raise InputError(f"{found.name}: needs an architecture: FILE, STUDY:TRIAL or reference:NAME")
    return found


def load_data(request: NetworkRequest, subject: Subject | Foreign) -> tuple[DataSpec, Dataset]:
    """Return the images asked for, else those of the study, split as the study splits them.

    A network of another library gets grey images as RGB. InputError when nothing says which images.
    """
    config = subject.study if isinstance(subject, Subject) and request.data is None else None
    if config is None and request.data is None:
        raise InputError("--data is missing; say which images, such as --data digits or --data folder:PATH")
    spec = DataSpec.parse(config.data if config else request.data or "")
    data = load_dataset(
        spec,
        seed=config.seed if config else request.seed,
        validation_fraction=config.validation_fraction if config else None,
        resolution=request.resolution or (config.fidelities[-1].resolution if config else None),
        download=request.download,
        skip_broken=request.skip_broken,
    )
    if config and data.fingerprint != config.data_fingerprint:
        raise StudyError(
            f"study {config.name!r}: data: the images of {spec} are not those the study was started with "
            f"(fingerprint {data.fingerprint}, the study has {config.data_fingerprint}); --data takes others"
        )
    return spec, _as_rgb(data) if isinstance(subject, Foreign) else data


def check(subject: Subject, data: Dataset) -> None:
    """Raise SpaceError, with the names, when an architecture cannot be built for images as small as these."""
    try:
        cost(subject.architecture, data_task(data))
    except SpaceError as error:
        raise SpaceError(f"{subject.name} at {data.resolution} px: {error}") from None


def proxy_fidelity(subject: Subject | Foreign, data: Dataset, epochs: int | None) -> Fidelity:
    """Return how `subject` is trained here: as the top rung of its study, or as that of a new one would be."""
    if isinstance(subject, Subject) and subject.study:
        top = subject.study.fidelities[-1]
        wanted, fraction = epochs or top.epochs, top.train_fraction
    else:
        wanted, fraction = epochs or DEFAULT_EPOCHS, round(min(1.0, PROXY_IMAGES / len(data.train)), 4)
    return Fidelity(epochs=wanted, train_fraction=fraction, resolution=data.resolution)


def training_plan(subject: Subject | Foreign) -> Plan:
    """Return how to run training: as the study does, where its device is here, else plainly, on all threads.

    The fastest plan is not measured: it may be another one the next time, and with it the figures.
    """
    study = subject.study if isinstance(subject, Subject) else None
    if study and (study.plan.device == "cpu" or torch.cuda.is_available()):
        return study.plan
    return Plan(threads=torch.get_num_threads())


def say(message: str) -> None:
    """Print a line about what is going on, to stderr."""
    print(message, file=sys.stderr, flush=True)


def data_task(data: Dataset) -> Task:
    """Return the task of classifying `data` at its own resolution."""
    return Task(num_classes=data.num_classes, in_channels=data.in_channels, resolution=data.resolution)


def read_architecture(path: Path) -> Architecture:
    """Return the architecture that a file holds as JSON; InputError or SpaceError in one line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"architecture {path}: cannot be read: {reason}") from None
    try:
        json.loads(text)  # pydantic's line on what is no JSON at all quotes the whole of it
    except ValueError as error:
        raise InputError(f"architecture {path}: not JSON: {error}") from None
    try:
        return Architecture.from_json(text)
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from None


def _trial(study: str, number: int, request: NetworkRequest) -> Subject:
    opened = open_study(study, request.results, request.storage)
    records = opened.records()
    record = next((record for record in records if record.number == number), None)
    if record is None:
        raise StudyError(f"study {study!r}: no trial {number}; it has {len(records)}, numbered from 0")
    return Subject(f"trial {number} of study {study}", record.network, opened.config)


def _nothing(text: str, source: str, name: str) -> str:
    """Return the line for a text that names no network."""
    if name and "/" not in source:
        kinds = ("reference", *LIBRARIES)
        return f"{unknown('source of networks', source, kinds)}; a trial is STUDY:TRIAL with its number"
    if text in references():
        return f"network {text!r}: no such file; the reference of that name is reference:{text}"
    return f"network {text!r}: no such file; give {FORMS}"


def _as_rgb(data: Dataset) -> Dataset:
    """Return the data with its grey channel three times; images of three channels are returned as they are."""

    def wide(images: Images) -> Images:
        return replace(images, pixels=images.pixels.expand(-1, IN_CHANNELS, -1, -1))

    if data.in_channels == IN_CHANNELS:
        return data
    return replace(data, train=wide(data.train), validation=wide(data.validation))
