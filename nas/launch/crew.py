"""What every launcher is given, and what it gives back: workers that were started, watched and let go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from nas.search.workers import Ended


@dataclass(frozen=True)
class Order:
    """What to start: so many times `nas` with the arguments of a worker, each on a device of its own of this kind.

    `environment` is what the workers are told beside this process's own: a URL may hold a password, and a command line
    is visible to everybody on a machine.
    """

    arguments: Sequence[str]
    workers: int
    logs: Path
    device: str = "cpu"
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)


class Crew(Protocol):
    """Workers that run inside its context; when that ends, those that are left are let go and waited for.

    When one has found nothing left to do, those that still wait for a place are let go too: neither would they, and a
    search must not wait for a machine that may never come.
    """

    @property
    def place(self) -> str:
        """Where the workers are, in words."""

    @property
    def is_working(self) -> bool:
        """Whether any worker was there, or waited for its place, when last asked."""

    def ended(self) -> list[Ended]:
        """Return the workers that have ended for good since last asked."""

    def log(self, number: int) -> Path:
        """Return the file that holds what a worker said."""

    def __enter__(self) -> Self:
        """Start the workers."""

    def __exit__(self, *_: object) -> None:
        """End them."""
