"""The kernel's count of processes that it killed for lack of memory: of the own group, else of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.training.oom_kills import oom_kills

V1 = Path("/sys/fs/cgroup/memory")
EVENTS = "low 0\nhigh 7\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"
VMSTAT = "pgfault 12\noom_kill 5\ndrop_pagecache 0\n"


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        ("0::/user/job\n", {"sys/fs/cgroup/user/job/memory.events": EVENTS, "proc/vmstat": VMSTAT}, 2),
        ("0::/\n", {"sys/fs/cgroup/memory.events": EVENTS}, 2),
        ("0::/\n", {"proc/vmstat": VMSTAT}, 5),
        (
            "4:cpu,memory:/a/b\n0::/\n",
            {"sys/fs/cgroup/memory/a/b/memory.oom_control": CONTROL, "proc/vmstat": VMSTAT},
            4,
        ),
        ("4:memory:/a:b\n", {"sys/fs/cgroup/memory/a:b/memory.oom_control": CONTROL}, 4),
        ("0::/\n", {"sys/fs/cgroup/memory.events": "oom_kill many\n", "proc/vmstat": VMSTAT}, 5),
        (None, {"proc/vmstat": VMSTAT}, 5),
        (None, {}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_the_closest_count_is_read(
    tmp_path: Path, groups: str | None, files: dict[str, str], count: int | None
) -> None:
    written = files if groups is None else files | {"proc/self/cgroup": groups}
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert oom_kills(tmp_path) == count


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """Give a control group of 200 MB, where one can be made."""
    group = V1 / f"nas_test_{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group can be made here")
    try:
        (group / "memory.limit_in_bytes").write_text("200M")
        yield group
    finally:
        group.rmdir()


SCRIPT = """
import subprocess, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text("0")  # this process
from nas.training.oom_kills import oom_kills
before = oom_kills()
ended = subprocess.run([sys.executable, "-c", "bytearray(10**9)"])
print(ended.returncode, oom_kills() - before)
"""


def test_a_process_that_the_kernel_kills_for_memory_is_counted(little_memory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, little_memory], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["-9", "1"]
