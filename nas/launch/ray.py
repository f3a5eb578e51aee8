"""`--launcher ray`: workers as tasks of a Ray cluster that runs already, on as much of a processor or GPU as they need.

A task runs the worker as a process of its own and streams what it says to this one, which writes the logs: the machines
of the cluster need share no folder. A task whose machine dies is handed in again; Ray's own retries would replay the
stream as if it had said the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from nas.errors import InputError, NasError
from nas.launch.crew import Crew, Order
from nas.launch.keep import MOST_QUICK_DEATHS, QUICK_SECONDS, Keeper, verdict
from nas.launch.options import Reader, share
from nas.search.workers import PATIENCE_SECONDS, Ended

OPTIONS: Mapping[str, Reader] = {"num_cpus": share, "num_gpus": share}
"""Of a processor and of a GPU, what one worker takes."""
DEFAULT_ADDRESS = "auto"
GONE = "its machine, or Ray's process there, is gone"


@dataclass(frozen=True)
class Ray:
    """Starts workers on the Ray cluster at an address; `auto` is the one that this machine belongs to."""

    options: Mapping[str, Any] = field(default_factory=dict)
    address: str = DEFAULT_ADDRESS

    def __post_init__(self) -> None:
        """Raise InputError where Ray is missing, or the address is one of its client, which cannot stream."""
        try:
            import ray  # noqa: F401
        except ImportError:
            raise InputError("--launcher ray: ray is not installed; pip install 'nas[cluster]'") from None
        if "://" in self.address:
            raise InputError(
                f"--address must be auto or HOST:PORT, got {self.address!r}; run it on a machine of the cluster"
            )

    @property
    def is_one_machine(self) -> bool:
        """Whether all workers run on this machine."""
        return False

    def crew(self, order: Order) -> Crew:
        """Return the workers of an order, not yet started."""
        return RayCrew(order, self)


class RayCrew:
    """A task for each worker; all end with this process, however it ends."""

    def __init__(self, order: Order, launcher: Ray) -> None:
        self._order, self._address = order, launcher.address
        gpus = 0.0 if order.device == "cpu" else 1.0
        self._needs = {"num_cpus": float(order.threads), "num_gpus": gpus, **launcher.options}
        self._streams: dict[int, Any] = {}
        self._started: dict[int, float] = {}
        self._deaths: dict[int, int] = {}
        self._silent: set[int] = set()

    def __enter__(self) -> Self:
        """Join the cluster and hand the tasks in; NasError where there is none, or no machine of it is large enough."""
        import ray

        try:
            ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise NasError(f"--launcher ray: no cluster at --address {self._address}: {reason}") from None
        try:
            self._check_needs()
            self._order.logs.mkdir(parents=True, exist_ok=True)
            for number in range(1, self._order.workers + 1):
                self.log(number).write_bytes(b"")
                self._start(number)
        except BaseException:
            ray.shutdown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the tasks, write what they still say, and leave the cluster."""
        import ray

        self._cancel(set(self._streams))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._streams and time.monotonic() < deadline:
            for number in list(self._streams):
                if self._read(number) is not None:
                    del self._streams[number]
            time.sleep(0.1)
        ray.shutdown()

    @property
    def place(self) -> str:
        """The cluster."""
        return f"the Ray cluster at {self._address}"

    @property
    def is_working(self) -> bool:
        """Whether any task was there when last asked."""
        return bool(self._streams)

    def ended(self) -> list[Ended]:
        """Return the workers that have ended for good since last asked; start those again whose machine is gone."""
        over = [(number, self._read(number)) for number in list(self._streams)]
        ends = [self._end(number, reason) for number, reason in over if reason is not None]
        if any(end is not None and not end.reason for end in ends):
            self._cancel(self._silent)
        return [end for end in ends if end is not None]

    def log(self, number: int) -> Path:
        """Return the file that holds what a worker said."""
        return self._order.logs / f"{number}.log"

    def _start(self, number: int) -> None:
        import ray

        order = self._order
        environment = {"OMP_NUM_THREADS": str(order.threads), **order.environment}
        task = ray.remote(_keep).options(
            **self._needs, max_retries=0, num_returns="streaming", name=f"nas worker {number}"
        )
        self._started[number] = time.monotonic()
        self._silent.add(number)
        self._streams[number] = task.remote(list(order.arguments), environment, str(Path.cwd()))

    def _end(self, number: int, reason: str) -> Ended | None:
        """Return what became of a worker whose task is over, None where it was started again."""
        del self._streams[number]
        if reason == GONE:
            was_quick = time.monotonic() - self._started[number] < QUICK_SECONDS
            self._deaths[number] = self._deaths.get(number, 0) + 1 if was_quick else 1
            if self._deaths[number] < MOST_QUICK_DEATHS:
                self._write(number, f"worker died: {reason}; it starts again\n".encode())
                self._start(number)
                return None
        return Ended(number, reason)

    def _read(self, number: int) -> str | None:
        """Write down what a worker has said since; return why it ended, empty if by itself, None while it has not."""
        import ray

        stream = self._streams[number]
        while ray.wait([stream], timeout=0)[0]:
            try:
                self._write(number, ray.get(next(stream)))
                self._silent.discard(number)
            except StopIteration:
                return verdict(self.log(number))
            except ray.exceptions.TaskCancelledError:
                return ""
            except ray.exceptions.RayTaskError as error:
                return f"{type(error.cause).__name__}: {error.cause}"
            except ray.exceptions.RayError:
                return GONE
        return None

    def _cancel(self, numbers: set[int]) -> None:
        import ray

        for number in numbers & set(self._streams):
            ray.cancel(self._streams[number])

    def _write(self, number: int, said: bytes) -> None:
        with self.log(number).open("ab") as log:
            log.write(said)

    def _check_needs(self) -> None:
        """Raise NasError where no machine of the cluster has what one worker takes: its task would wait for ever."""
        from ray import nodes

        machines = [node["Resources"] for node in nodes() if node["Alive"]]
        cpus, gpus = self._needs["num_cpus"], self._needs["num_gpus"]
        if not any(each.get("CPU", 0) >= cpus and each.get("GPU", 0) >= gpus for each in machines):
            have = "; ".join(f"{each.get('CPU', 0):g} CPUs, {each.get('GPU', 0):g} GPUs" for each in machines)
            raise NasError(
                f"--launcher ray: a worker takes {cpus:g} CPUs and {gpus:g} GPUs, and no machine of the cluster "
                f"has them ({have}); give --launch-option num_cpus=… and num_gpus=…"
            )


def _keep(arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> Iterator[bytes]:
    """Run a worker in a task, and yield what it says; a task that is cancelled lets its worker go."""
    keeper = Keeper(arguments, environment, folder)
    try:
        yield from keeper.said()
    finally:
        keeper.end()
