"""Where a SQLite file lies: its file system, its room, its journal, and whether it is whole."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import filelock

from nas.search.faults import advice
from nas.search.workers import MOST_ON_SQLITE

NETWORK = (
    *("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "pvfs2", "orangefs", "davfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs", "vboxsf", "virtiofs"),
)
"""How the names of file systems begin that several machines share; SQLite's write-ahead log needs shared memory."""
LITTLE_BYTES, NO_BYTES = 100 * 2**20, 2**20
MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True)
class FileFacts:
    """What was found of a file; `integrity` and `journal` are empty where it could not be read, or there is none."""

    size_bytes: int | None
    free_bytes: int | None
    file_system: str
    is_network: bool
    is_writable: bool
    journal: str = ""
    integrity: str = ""


def examine(path: Path) -> FileFacts:
    """Return what is known of a file, that need not be there."""
    size = path.stat().st_size if path.is_file() else None
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else None
    kind = file_system(path.parent) if path.parent.is_dir() else ""
    journal, integrity = _read(path) if size else ("", "")
    writable = path.parent.is_dir() and _can_be_locked(path.parent)
    return FileFacts(size, free, kind, kind.startswith(NETWORK), writable, journal, integrity)


def file_system(folder: Path, mounts: Iterable[str] | None = None) -> str:
    """Return the kind of the file system that a folder is on, such as ext4 or nfs4; empty where nobody can tell."""
    if mounts is None:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines() if MOUNTS.is_file() else []
    place, best, kind = folder.resolve(), -1, ""
    for line in mounts:
        _, where, found, *_ = line.split()
        mounted = Path(where.replace("\\040", " "))
        if (place == mounted or mounted in place.parents) and len(mounted.parts) >= best:
            best, kind = len(mounted.parts), found
    return kind


def said_of_file(path: Path, facts: FileFacts, workers: int, problems: list[str], warnings: list[str]) -> None:
    """Add what is wrong with a file, and what to do."""
    if not path.parent.is_dir():
        problems.append(f"no folder {path.parent}: make it, or mend the path")
        return
    if facts.size_bytes == 0 and (path.parent / "study.json").is_file():
        problems.append("the file is empty, and it held a study: take the newest copy")
    if facts.integrity not in {"", "ok"}:
        problems.append(advice(facts.integrity))
    if not facts.is_writable:
        problems.append(f"folder {path.parent} cannot be written, and SQLite keeps its log there: copy the study away")
    if workers > MOST_ON_SQLITE:
        problems.append(
            f"{workers} workers are more than the {MOST_ON_SQLITE} that SQLite serves: `nas storage copy` to a server"
        )
    if facts.is_network:
        warnings.append(
            f"{facts.file_system} is a network file system, where SQLite's log and locks fail: put the file on a local "
            "disk, or the study on a server (`nas storage copy`)"
        )
    if facts.free_bytes is not None and facts.free_bytes < LITTLE_BYTES:
        said = f"{facts.free_bytes // 2**20} MiB are free beside it: make room"
        (problems if facts.free_bytes < NO_BYTES else warnings).append(said)


def _can_be_locked(folder: Path) -> bool:
    """Return whether a file can be made and locked beside a database; it is removed."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".nas-check-") as probe, filelock.FileLock(probe.name, 0):
            return True
    except (OSError, NotImplementedError):
        return False


def _read(path: Path) -> tuple[str, str]:
    """Return the journal mode of a file, and ``ok`` or the first thing that is broken; nothing is written."""
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            journal = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    except sqlite3.Error as error:
        return "", str(error)
    return journal, found if found == "ok" else f"database disk image is malformed ({' '.join(found.split())})"
