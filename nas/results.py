"""The folder of a study under `results/`: what is written there, and always whole."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nas.errors import StudyError
from nas.records import StudyConfig

RECORDED_PACKAGES = ("nas", "torch", "torchvision", "optuna", "fvcore", "numpy", "scikit-learn", "moocore")


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader finds the old file or the new one, never a part."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


@dataclass(frozen=True)
class StudyFolder:
    """`results/<study>/`: the database, what was asked, and what came out."""

    path: Path

    @property
    def database(self) -> Path:
        """The SQLite file of the study."""
        return self.path / "study.db"

    @property
    def front_page(self) -> Path:
        """The front as a page."""
        return self.path / "front.html"

    @property
    def baselines_page(self) -> Path:
        """What other samplers found with the same budget, as a page."""
        return self.path / "baselines.html"

    @property
    def checkpoints(self) -> Path:
        """Where trainings lie that may go on."""
        return self.path / "checkpoints"

    def prepare(self) -> None:
        """Make the folder; StudyError when it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StudyError(f"results folder {self.path}: cannot be written: {error.strerror}") from None

    def write(self, config: StudyConfig) -> None:
        """Write `study.json` (configuration and environment) and the space file as used."""
        content = {"config": config.model_dump(mode="json"), "environment": environment()}
        write_whole(self.path / "study.json", json.dumps(content, indent=2) + "\n")
        write_whole(self.path / "space.toml", config.space_text)

    def environment(self) -> dict[str, object] | None:
        """Return the environment that `study.json` names; None where there is none to read."""
        try:
            found = json.loads((self.path / "study.json").read_text(encoding="utf-8"))["environment"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, dict) else None


def environment() -> dict[str, object]:
    """Return what a result depends on beside its configuration: versions, commit, machine."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in RECORDED_PACKAGES if (found := _version(name))},
        "git_commit": _git_commit(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def changes_of_environment(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Return what differs between two environments, in words; cores are left out, which change no result."""
    packages = [each.get("packages") for each in (before, now)]
    flat = [
        {name: value for name, value in each.items() if name not in {"packages", "cores"}}
        | (found if isinstance(found, dict) else {})
        for each, found in zip((before, now), packages, strict=True)
    ]
    return [
        f"{name.replace('_', ' ')} was {flat[0].get(name)}, is {flat[1].get(name)}"
        for name in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(name) != flat[1].get(name)
    ]


def processor() -> str:
    """Return the name of the processor, which decides about the kernels that compute on it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Return the commit of the clone this package runs from, `-dirty` if it was changed; None outside a clone."""
    folder = Path(__file__).parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
