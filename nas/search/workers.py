"""Worker processes of one machine: where each runs, how it is started, and that none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nas.errors import InputError
from nas.records import Plan

MOST_ON_SQLITE = 8
"""Workers that may write one SQLite file: they take turns, and more of them wait more than they train."""

PATIENCE_SECONDS = 10
"""How long a worker that was let go may take to end before it is killed."""


@dataclass(frozen=True)
class Post:
    """Where a worker runs: its device, and its cores; none leaves them to the system."""

    device: str
    cores: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Ended:
    """A worker that is no more, counted from 1. `reason` is empty for one that found nothing left to do."""

    worker: int
    reason: str


def posts(plan: Plan, workers: int) -> tuple[Post, ...]:
    """Return the posts of so many workers: GPUs in turn, or cores of their own where they take all that there are.

    Where some are left over the system finds the free ones: another search may be running beside this one.
    """
    if plan.devices != ("cpu",):
        return tuple(Post(plan.devices[i % len(plan.devices)]) for i in range(workers))
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) != workers * plan.threads:
        return (Post("cpu"),) * workers
    return tuple(Post("cpu", frozenset(cores[i * plan.threads : (i + 1) * plan.threads])) for i in range(workers))


def check_workers(workers: int, *, is_sqlite: bool) -> None:
    """Raise InputError for more workers than the database can take."""
    if is_sqlite and workers > MOST_ON_SQLITE:
        raise InputError(
            f"--workers: at most {MOST_ON_SQLITE} workers share a SQLite file, got {workers}; "
            "give --storage postgresql://… or mysql://… for more"
        )


class Crew:
    """Some processes that run the same command, each at its post, ended with this one however it ends.

    A worker's standard input is a pipe that this process holds and nothing is ever written to: where the process is
    gone, even by kill -9, the pipe closes, and `end_with_parent` in the worker sees it. What a worker says goes to
    `<logs>/<its number>.log`. `environment` is what they are told beside this process's own.
    """

    def __init__(
        self,
        command: Sequence[str],
        posts: Sequence[Post],
        *,
        threads: int,
        logs: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._posts, self._logs = command, posts, logs
        self._environment = {"OMP_NUM_THREADS": str(threads), **(environment or {})}
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start the workers."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for number, post in enumerate(self._posts, start=1):
            self._running[number] = self._start(number, post)
        return self

    def __exit__(self, *_: object) -> None:
        """Let the workers go that are still there, and wait for them."""
        for process in self._running.values():
            _let_go(process)
        for process in self._running.values():
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def place(self) -> str:
        """Where the workers are, in words."""
        return "this machine"

    @property
    def is_working(self) -> bool:
        """Whether any worker was still there when last asked."""
        return bool(self._running)

    def ended(self) -> list[Ended]:
        """Return the workers that have ended since last asked."""
        codes = {number: process.poll() for number, process in self._running.items()}
        gone = [Ended(number, self._reason(number, code)) for number, code in codes.items() if code is not None]
        for each in gone:
            _let_go(self._running.pop(each.worker))
        return gone

    def log(self, number: int) -> Path:
        """Return the file that holds what a worker said."""
        return self._logs / f"{number}.log"

    def _start(self, number: int, post: Post) -> subprocess.Popen[bytes]:
        with self.log(number).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "nas", *self._command, "--device", post.device, "--with-parent"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        if post.cores:
            os.sched_setaffinity(process.pid, post.cores)  # at once: the threads that it will start inherit it
        return process

    def _reason(self, number: int, code: int) -> str:
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        said = self.log(number).read_text(encoding="utf-8", errors="replace").split("\n") if code else []
        lines = [line for line in said if line.strip()]
        return "" if code == 0 else lines[-1].removeprefix("nas: ") if lines else f"exit code {code}"


def _let_go(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def end_with_parent() -> None:
    """End this process when standard input closes. What it is doing is left to the next worker, as after a kill."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
