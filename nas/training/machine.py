"""What this machine is: its processor, the cores this process may use, its memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from nas.results import processor


def cores() -> int:
    """Return the cores that this process may use: those it is bound to, or fewer where a container has a share."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = "".join(_lines("/sys/fs/cgroup/cpu.max")).partition(" ")
    return min(found, max(1, round(int(quota) / int(period)))) if quota.isdecimal() else found


def free_bytes(device: str) -> int:
    """Return the memory that is free now: of a GPU, or what this process and its like may still take."""
    if device != "cpu":
        return torch.cuda.mem_get_info(device)[0]
    available = (int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemAvailable:"))
    free = next(available, _physical_bytes() // 2)
    limit, used = (_lines(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit and used and limit[0].isdecimal():
        free = min(free, int(limit[0]) - int(used[0]))
    return max(0, free)


@contextmanager
def using_threads(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads here, and with as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def facts(devices: tuple[str, ...]) -> list[str]:
    """Return what tells this machine from others, as far as the speed of training on `devices` goes."""
    gpus = [torch.cuda.get_device_name(device) for device in devices if device != "cpu"]
    return [torch.__version__, processor(), f"{cores()} cores", f"{_physical_bytes()} bytes", *devices, *gpus]


def _physical_bytes() -> int:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return 8 << 30
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
