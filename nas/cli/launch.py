"""Where the workers of a search run: this machine's own, or those that a launcher starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from nas.cli.options import STORAGE_VARIABLE
from nas.launch.choose import LOCAL, Launcher, check_launch, launcher_of
from nas.launch.crew import Crew, Order
from nas.search.request import SearchRequest
from nas.search.setup import Prepared
from nas.search.storage import sqlite_path
from nas.search.workers import Crew as LocalCrew
from nas.search.workers import check_workers, posts


@dataclass(frozen=True)
class Launch:
    """Where the workers of a search are to run, as a user said it."""

    name: str = LOCAL
    options: tuple[str, ...] = ()
    address: str | None = None

    @cached_property
    def launcher(self) -> Launcher | None:
        """The launcher, None for this machine's own workers; InputError for what it cannot be."""
        return launcher_of(self.name, self.options, self.address)

    def check(self, request: SearchRequest) -> SearchRequest:
        """Return a request without the workers that a launcher starts: how many run here is measured, as their threads.

        InputError for what cannot be started, before anything is written.
        """
        if self.launcher is None:
            return request
        check_launch(self.name, self.launcher, request.workers, request.storage)
        is_sqlite = request.storage is None or sqlite_path(request.storage) is not None
        check_workers(request.workers or 1, is_sqlite=is_sqlite)
        return replace(request, workers=None)

    def led(self, prepared: Prepared, request: SearchRequest) -> Prepared:
        """Return a study that is worked on by as many workers as the launcher starts."""
        if self.launcher is None:
            return prepared
        return replace(prepared, plan=prepared.plan.model_copy(update={"workers": request.workers}))

    def crew(self, prepared: Prepared, request: SearchRequest, arguments: Sequence[str]) -> Crew:
        """Return the workers, not yet started. The database's URL is told them in their environment."""
        plan, logs = prepared.plan, prepared.folder.path / "workers"
        environment = {STORAGE_VARIABLE: request.storage} if request.storage else {}
        if self.launcher is None:
            places = posts(plan, plan.workers)
            return LocalCrew(arguments, places, threads=plan.threads, logs=logs, environment=environment)
        kind = plan.devices[0].partition(":")[0]
        device = "cpu" if kind == "cpu" else f"{kind}:0"  # the only one that a job sees
        arguments = [*arguments, "--device", device]
        order = Order(arguments, plan.workers, logs, device=kind, threads=plan.threads, environment=environment)
        return self.launcher.crew(order)
