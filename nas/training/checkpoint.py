"""Where a training stands between two epochs, on disk: its state and its epochs, whole or not at all.

Each training has one file, safetensors with a JSON header, that each of its epochs replaces, or, where epochs are
short, those that are `SECONDS_AT_RISK` apart: to write and flush a small network's takes some milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from nas.records import Epoch, Fidelity
from nas.training.once import Once
from nas.training.step import State
from nas.value import Value, canonical_json, digest

MOST_BYTES = 5_000_000_000
SECONDS_AT_RISK = 1.0
"""Of training that a kill may cost, where an epoch is no longer."""
_HEADER, _CHECKSUM = "nas", "sha256"
_SUFFIX = ".safetensors"


class TrainingId(Value):
    """Which training a checkpoint is of. `conditions` is a digest of all else that its bits depend on."""

    arch_id: str
    seed: int
    conditions: str

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.arch_id}-{digest(canonical_json(self))}{_SUFFIX}"


class Reached(Value):
    """How far a training has come: the stages that it has begun, as fidelities of the ladder, its epochs, and the steps
    that it has made `within` the next.

    What a measurement says of its making goes on as well: whoever wrote this was on the way to the fidelity `towards`,
    had taken the training up at epoch `continued_from`, and had spent `seconds` on it since.
    """

    training: TrainingId
    stages: tuple[Fidelity, ...] = Field(min_length=1)
    epochs: tuple[Epoch, ...]
    within: int = Field(default=0, ge=0)
    towards: Fidelity
    continued_from: int = Field(ge=0)
    seconds: float = Field(ge=0)
    halved_from: int | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """How far a training has come, and its state there."""

    reached: Reached
    state: State


class Checkpoints:
    """The checkpoints of a study, in a folder of any number of processes; without a folder, none are kept.

    What cannot be written is skipped, what cannot be read is ignored: epochs are then trained again. `tell` hears of
    either, once. Beyond `most_bytes` the oldest go first, and none is as large. In the folders of `others` is only
    read: a study that took over a training of theirs goes on from it. `seconds_at_risk`: of training that may be lost
    where an epoch is no longer. Of 0 bytes, none are kept or read either.
    """

    def __init__(
        self,
        folder: Path | None,
        tell: Callable[[str], None] = lambda _: None,
        most_bytes: int | None = None,
        *,
        others: Sequence[Path] = (),
        seconds_at_risk: float = SECONDS_AT_RISK,
    ) -> None:
        self.most_bytes = MOST_BYTES if most_bytes is None else most_bytes
        self._folder, self._tell = folder if self.most_bytes else None, Once(tell)
        self.others, self.seconds_at_risk = tuple(others), seconds_at_risk

    @property
    def are_kept(self) -> bool:
        """Whether there is a folder."""
        return self._folder is not None

    def save(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint in the place of the training's last one."""
        if self._folder is None:
            return
        path = self._folder / checkpoint.reached.training.file_name
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            content = _bytes(checkpoint)
            if len(content) > self.most_bytes:
                raise OSError(f"one of {len(content):,} bytes is more than the {self.most_bytes:,} that all may take")
            self._make_room(len(content), path)
            try:
                _write(scratch, content)
                scratch.replace(path)
            finally:
                scratch.unlink(missing_ok=True)
        except OSError as error:
            self._tell(f"checkpoints are skipped: {self._folder}: {error.strerror or error}")

    def forget(self, training: TrainingId) -> None:
        """Remove the checkpoint of a training that is not to go on, and what a killed writer left of one."""
        if self._folder is None:
            return
        for path in (self._folder / training.file_name, *self._folder.glob(f".{training.file_name}.*")):
            if not path.exists():  # a read-only folder would refuse to remove even what is not there
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self._tell(f"checkpoints that are not needed stay: {self._folder}: {error.strerror or error}")

    def ignore(self, training: TrainingId, reason: str) -> None:
        """Say that what was loaded of a training cannot be gone on from."""
        self._ignored(Path(training.file_name) if self._folder is None else self._folder / training.file_name, reason)

    def load(self, training: TrainingId) -> Checkpoint | None:
        """Return the latest checkpoint of a training; None when there is none that is whole and its own."""
        folders = [] if self._folder is None else [self._folder, *self.others]
        found = (self._read(folder / training.file_name, training) for folder in folders)
        return next((checkpoint for checkpoint in found if checkpoint is not None), None)

    def _read(self, path: Path, training: TrainingId) -> Checkpoint | None:
        try:
            checkpoint = _read(path, self.most_bytes)
        except FileNotFoundError:
            return None
        except ValidationError:
            self._ignored(path, "its header is not one that this version writes")
            return None
        except (OSError, SafetensorError, ValueError, KeyError) as error:  # KeyError: a number type without a torch one
            self._ignored(path, str(error).splitlines()[0])
            return None
        if checkpoint.reached.training != training:
            self._ignored(path, "of another training")
            return None
        return checkpoint

    def _files(self) -> Iterator[Path]:
        return iter(()) if self._folder is None else self._folder.glob(f"*{_SUFFIX}*")

    def _make_room(self, size: int, place: Path) -> None:
        """Remove the oldest files until one of `size` is allowed at its place, those of killed writers among them."""
        others = (path for path in self._files() if path != place)  # what is there now is replaced, never missing
        found = sorted((status.st_mtime_ns, status.st_size, path) for path, status in _statuses(others))
        excess = size + sum(own for _, own, _ in found) - self.most_bytes
        for _, own, path in found:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= own

    def _ignored(self, path: Path, reason: str) -> None:
        self._tell(f"a checkpoint is ignored, and what it holds trained again: {path}: {reason}")


def _statuses(paths: Iterator[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            yield path, path.stat()
        except FileNotFoundError:  # another process was faster
            continue


def _bytes(checkpoint: Checkpoint) -> bytes:
    header = checkpoint.reached.model_dump_json()
    return save(checkpoint.state, {_HEADER: header, _CHECKSUM: _checksum(header, checkpoint.state)})


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, most_bytes: int) -> Checkpoint:
    """Return what a file holds; ValueError, KeyError, SafetensorError or OSError when it is not what was written.

    It is opened once: `safe_open` opens it again for the tensors, which are another checkpoint's where a writer has
    replaced the file in between.
    """
    size = path.stat().st_size
    if size > most_bytes:
        raise ValueError(f"its {size:,} bytes are more than the {most_bytes:,} that all may take")
    content = path.read_bytes()
    state = load(content)
    # as the format has it: the length of its header in eight bytes, then that header as JSON
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    header = metadata.get(_HEADER, "")
    if metadata.get(_CHECKSUM) != _checksum(header, state):
        raise ValueError("its checksum does not match")
    return Checkpoint(Reached.model_validate_json(header), state)


def _checksum(header: str, state: State) -> str:
    sha = hashlib.sha256(header.encode())
    for name in sorted(state):
        sha.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}".encode())
        sha.update(state[name].flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
