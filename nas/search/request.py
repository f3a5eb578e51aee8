"""What a user asks of a search."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path

from pydantic import ByteSize, TypeAdapter, ValidationError

from nas.errors import InputError, unknown

DEFAULT_SPACE = "digits"
TARGETS = ("space", "data")
"""What the cap is counted on: the target of the space's file, or the classes and the size of the data."""

LEAST = {
    "trials": 1,
    "epochs": 1,
    "resolution": 4,
    "seed": 0,
    "workers": 1,
    "trials_per_gpu": 1,
    "finalists": 0,
    "finalist_seeds": 1,
    "lease": 2,
}


@dataclass(frozen=True)
class SearchRequest:
    """What a user asked of a search; None leaves it to the study, if there is one, or to the default."""

    results: Path
    storage: str | None = None
    study: str | None = None
    space: str | None = None
    data: str | None = None
    cap: str | None = None
    trials: int | None = None
    max_hours: float | None = None
    epochs: int | None = None
    train_fraction: float | None = None
    resolution: int | None = None
    rungs: str | None = None
    finalists: int | None = None
    finalist_seeds: int | None = None
    objectives: tuple[str, ...] | None = None
    sampler: str | None = None
    target: str | None = None
    seed: int | None = None
    device: str | None = None
    trials_per_gpu: int | None = None
    workers: int | None = None
    plan: str | None = None
    suppress: float | None = None
    suppress_to: float | None = None
    warm_start: tuple[str, ...] | None = None
    checkpoint_disk: str | None = None
    lease: float | None = None
    download: bool = False
    skip_broken: bool = False

    def __post_init__(self) -> None:
        """Raise InputError for a number out of range, or an unknown target."""
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
        if self.max_hours is not None and not 0 < self.max_hours < inf:
            raise InputError(f"--max-hours must be a number above 0, got {self.max_hours}")
        if self.rungs is not None and self.epochs is not None:
            raise InputError("--rungs names the epochs of every rung; leave --epochs out")
        if self.train_fraction is not None and not 0 < self.train_fraction <= 1:
            raise InputError(f"--train-fraction must be above 0 and at most 1, got {self.train_fraction}")
        if self.suppress is not None and not 0 < self.suppress < inf:
            raise InputError(f"--suppress must be a number above 0, got {self.suppress}")
        if self.suppress_to is not None and not 0 <= self.suppress_to < 1:
            raise InputError(f"--suppress-to must be at least 0 and below 1, got {self.suppress_to}")
        names = self.warm_start
        if names is not None and not (names and all(names) and len(set(names)) == len(names)):
            raise InputError(f"--warm-start must name studies, each once, got {', '.join(names)!r}")
        if self.checkpoint_disk is not None:
            _size(self.checkpoint_disk)
        if self.target is not None and self.target not in TARGETS:
            raise InputError(unknown("target", self.target, TARGETS))

    @property
    def checkpoint_bytes(self) -> int | None:
        """How many bytes all checkpoints may take; None leaves it to the default, 0 keeps none."""
        return None if self.checkpoint_disk is None else _size(self.checkpoint_disk)

    @property
    def name(self) -> str:
        """The name of the study: as given, else the space's."""
        return self.study or Path(self.space or DEFAULT_SPACE).stem


def _size(text: str) -> int:
    try:
        return TypeAdapter(ByteSize).validate_python(text)
    except (ValidationError, OverflowError):
        raise InputError(f"--checkpoint-disk must be a size such as 500M, 5G or 0, got {text!r}") from None
