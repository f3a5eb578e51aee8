"""Worker processes of one machine: where each runs, how it is started, and that none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nas.errors import InputError
from nas.records import Plan

MOST_ON_SQLITE = 8
"""Workers that may write one SQLite file: they take turns, and more of them wait more than they train."""

AT_ONCE_SECONDS = 20
"""A worker that ends sooner after its start has died at once."""

MOST_AT_ONCE, MOST_KILLED = 5, 20
"""Of so many starts in a row after which a worker died at once, by its own fault or killed, there is no further one."""

LONGEST_PAUSE = 16.0
"""Seconds before a worker that dies at once is started again: none the first time, then twice as many each time."""

KILLED = {-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGINT}
"""Exit codes of what somebody else ended."""

USERS_FAULT = 2
"""The exit code of what will not get better by itself."""

PATIENCE_SECONDS = 10
"""How long a worker that was let go may take to end before it is killed."""


@dataclass(frozen=True)
class Post:
    """Where a worker runs: its device, and its cores; none leaves them to the system."""

    device: str
    cores: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Ended:
    """A worker that is no more, counted from 1. `reason` is empty for one that found nothing left to do.

    `is_replaced` says whether another one is started in its place.
    """

    worker: int
    reason: str
    is_replaced: bool = False


@dataclass
class _Tries:
    """The starts of one worker: when the last was, how many in a row died at once, and when it is started again."""

    started: float = 0.0
    own_faults: int = 0
    kills: int = 0
    due: float | None = None

    def died(self, code: int, now: float) -> bool:
        """Note a death; return whether there is to be another start."""
        if now - self.started > AT_ONCE_SECONDS:
            self.own_faults = self.kills = 0
        pause = min(LONGEST_PAUSE, 2.0 ** (self.own_faults + self.kills - 1)) if self.own_faults + self.kills else 0.0
        if code in KILLED:
            self.kills += 1
        else:
            self.own_faults += 1
        is_left = code != USERS_FAULT and self.own_faults < MOST_AT_ONCE and self.kills < MOST_KILLED
        self.due = now + pause if is_left else None
        return is_left


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

    One that dies is started again, but for those that do so at once, time after time.

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
        self._tries = {number: _Tries() for number in range(1, len(posts) + 1)}

    def __enter__(self) -> Self:
        """Start the workers."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for number in self._tries:
            self.log(number).unlink(missing_ok=True)
            self._start(number)
        return self

    def __exit__(self, *_: object) -> None:
        """Let the workers go that are still there, and wait for them."""
        for process in self._running.values():
            _let_go(process)
        for process in self._running.values():
            see_off(process)

    @property
    def place(self) -> str:
        """Where the workers are, in words."""
        return "this machine"

    @property
    def is_working(self) -> bool:
        """Whether any worker was there, or was to be started again, when last asked."""
        return bool(self._running) or any(each.due is not None for each in self._tries.values())

    def ended(self) -> list[Ended]:
        """Return the workers that have ended since last asked, and start those again that died."""
        now, gone = time.monotonic(), []
        for number, process in list(self._running.items()):
            code = process.poll()
            if code is not None:
                _let_go(self._running.pop(number))
                is_replaced = code != 0 and self._tries[number].died(code, now)
                gone.append(Ended(number, self._reason(number, code), is_replaced))
        for number, tries in self._tries.items():
            if tries.due is not None and tries.due <= now:
                self._start(number)
        return gone

    def log(self, number: int) -> Path:
        """Return the file that holds what a worker said."""
        return self._logs / f"{number}.log"

    def _start(self, number: int) -> None:
        post, tries = self._posts[number - 1], self._tries[number]
        tries.started, tries.due = time.monotonic(), None
        with self.log(number).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "nas", *self._command, "--device", post.device, "--with-parent"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        if post.cores:
            os.sched_setaffinity(process.pid, post.cores)  # at once: the threads that it will start inherit it
        self._running[number] = process

    def _reason(self, number: int, code: int) -> str:
        return reason_of(code, self.log(number).read_text(encoding="utf-8", errors="replace")) if code else ""


def reason_of(code: int, said: str) -> str:
    """Return why a worker died: the signal, or the last line that it said."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("nas: ") if lines else f"exit code {code}"


def see_off(process: subprocess.Popen[Any]) -> None:
    """Wait for a process that was told to end, and kill it where it does not."""
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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
