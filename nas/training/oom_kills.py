"""How often has the kernel killed a process here for lack of memory?

A process that is killed says nothing, and SIGKILL has other senders. What the kernel counts tells them apart: whoever
outlives a process reads the count when it starts, and again when it is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return the kills in this process's control group, of whichever limit; those of the machine where it has no group
    with a count of its own, None where nothing is counted, as outside Linux. `root` is where /proc and /sys are.

    A container has a group of its own. Others in the group may be meant: two readings say that a process was killed for
    memory only of one that SIGKILL ended in between.
    """
    for file in _counters(root):
        with suppress(OSError, ValueError):
            for line in file.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return None


def _counters(root: Path) -> Iterator[Path]:
    """Yield the files that may count, the closest to this process first."""
    groups = dict[str, str]()
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            groups |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
    if "" in groups:  # version 2, which has one hierarchy
        yield root / "sys/fs/cgroup" / groups[""] / "memory.events"
    if "memory" in groups:
        yield root / "sys/fs/cgroup/memory" / groups["memory"] / "memory.oom_control"
    yield root / "proc/vmstat"
