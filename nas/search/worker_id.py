"""Who runs a trial: host, process and its start, so that a dead process is told from a new one of the same number."""

from __future__ import annotations

import os
import socket
import uuid
from functools import cache
from pathlib import Path
from typing import NamedTuple

NOBODY = "nobody"
"""Holds the trials that a worker let go of: whoever asks next takes them, a thread of the same process among others."""


class Process(NamedTuple):
    """The host and the process of a worker, as people name them; empty and 0 where nobody holds a trial."""

    host: str
    pid: int


def worker_id(pid: int | None = None) -> str:
    """Return the identity of a process on this host (this one, unless another is given)."""
    pid = os.getpid() if pid is None else pid
    return f"{_host()}|{pid}|{_start_of(pid)}"


def claim_id(worker: str) -> str:
    """Return the name of a new claim of a worker: no two are alike, whatever became of the earlier ones."""
    return f"{worker}|{uuid.uuid4().hex[:12]}"


def process_of(worker: str) -> Process:
    """Return where a worker, or its claim, runs."""
    host, pid, *_ = (*worker.split("|"), "")
    return Process(host.partition("/")[0], int(pid)) if pid.isdigit() else Process("", 0)


def is_gone(worker: str) -> bool:
    """Return whether `worker` ran on this host and its process has ended; False for other hosts: nobody can tell."""
    if worker == NOBODY:
        return True
    host, pid, start = (*worker.split("|"), "", "")[:3]
    return host == _host() and pid.isdigit() and (not _exists(int(pid)) or _start_of(int(pid)) != start)


@cache
def _host() -> str:
    """Return the name of this host and, of a container, of its processes: their numbers say nothing outside of it."""
    try:
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink().name.strip('pid:[]')}"
    except OSError:
        return socket.gethostname()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_of(pid: int) -> str:
    """Return when the process started, in clock ticks since boot; empty where /proc does not say.

    Also empty for a process that has ended but that its parent did not wait for: it still has its number.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]
