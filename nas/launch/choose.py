"""Which launcher was asked for, by its name, its options and its address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nas.errors import InputError, unknown
from nas.launch import ray, slurm
from nas.launch.crew import Crew, Order
from nas.launch.options import read_options
from nas.search.storage import sqlite_path

LOCAL = "local"
NAMES = (LOCAL, "slurm", "ray")


class Launcher(Protocol):
    """A place to start workers at, checked as far as it can be before there is a study."""

    @property
    def is_one_machine(self) -> bool:
        """Whether all workers run on this machine."""

    def crew(self, order: Order) -> Crew:
        """Return the workers of an order, not yet started."""


def launcher_of(name: str, options: Sequence[str] = (), address: str | None = None) -> Launcher | None:
    """Return the launcher of a name, None for this machine's own workers; InputError for what it does not know."""
    if name not in NAMES:
        raise InputError(unknown("launcher", name, NAMES))
    if address is not None and name != "ray":
        raise InputError(f"--address is of --launcher ray; the {name} launcher has none")
    if name == "slurm":
        return slurm.Slurm(read_options(name, options, slurm.OPTIONS))
    if name == "ray":
        return ray.Ray(read_options(name, options, ray.OPTIONS), address or ray.DEFAULT_ADDRESS)
    read_options(name, options, {})
    return None


def check_launch(name: str, launcher: Launcher, workers: int | None, storage: str | None) -> None:
    """Raise InputError where it is not said how many workers to start, or they could not all reach the database."""
    if workers is None:
        raise InputError(f"--launcher {name}: say how many workers by --workers N")
    if not launcher.is_one_machine and (storage is None or sqlite_path(storage) is not None):
        raise InputError(
            f"--launcher {name}: its workers run on several machines, which cannot share a SQLite file; "
            "give --storage postgresql://… or mysql://…, or set NAS_STORAGE"
        )
