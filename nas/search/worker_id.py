"""Who runs a trial: host, process and its start, so that a dead process is told from a new one of the same number."""

from __future__ import annotations

import os
import socket
from pathlib import Path

NOBODY = "nobody"
"""Holds the trials that a worker let go of: whoever asks next takes them, a thread of the same process among others."""


def worker_id(pid: int | None = None) -> str:
    """Return the identity of a process on this host (this one, unless another is given)."""
    pid = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}|{pid}|{_start_of(pid)}"


def is_gone(worker: str) -> bool:
    """Return whether `worker` ran on this host and its process has ended; False for other hosts: nobody can tell."""
    if worker == NOBODY:
        return True
    host, _, rest = worker.partition("|")
    pid = rest.partition("|")[0]
    return host == socket.gethostname() and pid.isdigit() and (not _exists(int(pid)) or worker_id(int(pid)) != worker)


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
