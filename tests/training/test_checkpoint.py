"""Checkpoints: what is written comes back; what is torn, corrupt or foreign is ignored; a full disk stops nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import torch
from safetensors.torch import save_file

from nas.records import Epoch, Fidelity, Plan, Recipe
from nas.training import checkpoint
from nas.training.checkpoint import Checkpoint, Checkpoints, Reached, TrainingId
from nas.training.step import Step
from tests.training.conftest import Build

OURS, OTHERS = (TrainingId(arch_id=name, seed=1, conditions="c") for name in ("abcdef012345", "fedcba543210"))
RUNG = Fidelity(epochs=1, resolution=8)
REACHED = Reached(
    training=OURS,
    stages=(RUNG,),
    epochs=(Epoch(train_loss=2.0, seconds=1.0),),
    towards=RUNG,
    continued_from=0,
    seconds=1.5,
)

Damage = Callable[[Path], object]


@pytest.fixture
def saved(make: Build) -> Checkpoint:
    """Give the checkpoint of a network of several number types and layouts."""
    network = make().to(memory_format=torch.channels_last)
    return Checkpoint(REACHED, Step(network, Recipe(), Plan(), steps=1, seed=0).state())


def test_what_is_saved_is_loaded(saved: Checkpoint, tmp_path: Path) -> None:
    Checkpoints(tmp_path / "made").save(saved)
    found = Checkpoints(tmp_path / "made").load(OURS)
    assert found is not None
    assert found.reached == REACHED
    assert found.state.keys() == saved.state.keys()
    assert all(torch.equal(found.state[name], tensor) for name, tensor in saved.state.items())


def test_a_training_has_one_file_and_nothing_else_is_left(saved: Checkpoint, tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(saved)
    later = REACHED.model_copy(update={"epochs": REACHED.epochs * 2})
    store.save(Checkpoint(later, saved.state))
    assert [path.name for path in tmp_path.iterdir()] == [OURS.file_name]
    assert store.load(OURS).reached == later


def test_without_a_folder_nothing_is_kept(saved: Checkpoint) -> None:
    store = Checkpoints(None)
    store.save(saved)
    assert store.load(OURS) is None


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, pytest.fail).load(OURS) is None


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(rb"\"train_loss\":2.0", rb"\"train_loss\":1.0"))


def write_another_s(path: Path) -> None:
    other = Checkpoint(REACHED.model_copy(update={"training": OTHERS}), {"a": torch.zeros(1)})
    Checkpoints(path.parent).save(other)
    (path.parent / OTHERS.file_name).replace(path)


DAMAGES: dict[str, Damage] = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "torn in its header": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "empty": lambda path: path.write_bytes(b""),
    "corrupt": flip_last_byte,
    "of other epochs than were trained": change_header,
    "no checkpoint": lambda path: save_file({"a": torch.zeros(1)}, path),
    "of another training": write_another_s,
    "a pickle": lambda path: path.write_bytes(b"\x80\x02}q\x00."),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_or_foreign_is_ignored_and_said_once(saved: Checkpoint, tmp_path: Path, damage: Damage) -> None:
    lines = list[str]()
    store = Checkpoints(tmp_path, lines.append)
    store.save(saved)
    before = (tmp_path / OURS.file_name).read_bytes()
    damage(tmp_path / OURS.file_name)
    assert (tmp_path / OURS.file_name).read_bytes() != before
    assert store.load(OURS) is store.load(OURS) is None
    (line,) = lines
    assert line.startswith("a checkpoint is ignored")
    assert "\n" not in line


def test_one_of_another_version_is_ignored(saved: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = list[str]()
    written = REACHED.model_dump_json(exclude={"towards", "continued_from", "seconds", "halved_from"})
    with monkeypatch.context() as patch:
        patch.setattr(Reached, "model_dump_json", lambda _: written)
        Checkpoints(tmp_path).save(saved)
    assert Checkpoints(tmp_path, lines.append).load(OURS) is None
    assert lines[0].endswith(": its header is not one that this version writes")


def test_a_bit_flipped_anywhere_is_found(saved: Checkpoint, tmp_path: Path) -> None:
    store, file = Checkpoints(tmp_path), tmp_path / OURS.file_name
    store.save(saved)
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    assert len(content) > 2 * header
    for place in {*range(16), *range(0, header, 41), *range(header, len(content), 97), len(content) - 1}:
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        assert store.load(OURS) is None, place
    file.write_bytes(content)
    assert store.load(OURS) is not None


def test_a_file_cut_anywhere_or_grown_is_found(saved: Checkpoint, tmp_path: Path) -> None:
    store, file = Checkpoints(tmp_path), tmp_path / OURS.file_name
    store.save(saved)
    content = file.read_bytes()
    for changed in [*(content[:end] for end in range(0, len(content), 997)), content + b"\0", b"\xff" * 16]:
        file.write_bytes(changed)
        assert store.load(OURS) is None, len(changed)


def test_a_huge_file_is_not_even_read(saved: Checkpoint, tmp_path: Path) -> None:
    lines = list[str]()
    store = Checkpoints(tmp_path, lines.append)
    store.save(saved)
    with (tmp_path / OURS.file_name).open("r+b") as file:
        file.truncate(10**12)  # sparse: it takes no disk
    assert store.load(OURS) is None
    assert lines[0].endswith("its 1,000,000,000,000 bytes are more than the 5,000,000,000 that all may take")


def test_one_that_is_larger_than_all_may_be_is_skipped(saved: Checkpoint, tmp_path: Path) -> None:
    lines = list[str]()
    other = Checkpoint(REACHED.model_copy(update={"training": OTHERS}), {"a": torch.zeros(1)})
    store = Checkpoints(tmp_path, lines.append, most_bytes=5_000)
    store.save(other)
    store.save(saved)
    assert store.load(OURS) is None
    assert store.load(OTHERS) is not None
    assert lines[0].startswith("checkpoints are skipped: ")
    assert lines[0].endswith(" bytes is more than the 5,000 that all may take")


def test_the_last_one_of_a_training_makes_no_room_for_its_next(
    saved: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Checkpoints(tmp_path).save(saved)
    size = (tmp_path / OURS.file_name).stat().st_size
    store = Checkpoints(tmp_path, most_bytes=size + 100)

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        store.save(saved)
    assert store.load(OURS) is not None


def test_what_is_forgotten_is_gone_with_what_a_killed_writer_left(saved: Checkpoint, tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, pytest.fail)
    store.save(saved)
    store.save(Checkpoint(REACHED.model_copy(update={"training": OTHERS}), saved.state))
    (tmp_path / f".{OURS.file_name}.123").write_bytes(b"half")
    store.forget(OURS)
    store.forget(OURS)
    Checkpoints(None).forget(OURS)
    assert [path.name for path in tmp_path.iterdir()] == [OTHERS.file_name]


def test_a_full_disk_is_said_once_and_stops_nothing(
    saved: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lines = list[str]()
    store = Checkpoints(tmp_path, lines.append)
    monkeypatch.setattr(checkpoint.os, "fsync", full)
    store.save(saved)
    store.save(saved)
    assert lines == [f"checkpoints are skipped: {tmp_path}: No space left on device"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_stops_nothing(saved: Checkpoint, tmp_path: Path) -> None:
    lines = list[str]()
    (tmp_path / "file").touch()
    store = Checkpoints(tmp_path / "file" / "checkpoints", lines.append)
    store.save(saved)
    assert store.load(OURS) is None
    assert lines[0].startswith("checkpoints are skipped: ")


def test_the_oldest_go_when_there_are_too_many_bytes(saved: Checkpoint, tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(saved)
    size = (tmp_path / OURS.file_name).stat().st_size
    os.utime(tmp_path / OURS.file_name, (1, 1))
    left_behind = tmp_path / f".{OTHERS.file_name}.123"
    left_behind.write_bytes(bytes(size))
    os.utime(left_behind, (0, 0))
    for number in range(3):
        training = OTHERS.model_copy(update={"seed": number})
        reached = REACHED.model_copy(update={"training": training})
        Checkpoints(tmp_path, most_bytes=2 * size + 100).save(Checkpoint(reached, saved.state))
    assert not left_behind.exists()
    assert Checkpoints(tmp_path).load(OURS) is None
    assert Checkpoints(tmp_path).load(training) is not None
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * size + 100


def test_the_folders_of_others_are_only_read(saved: Checkpoint, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    Checkpoints(other).save(saved)
    store = Checkpoints(own, pytest.fail, others=[tmp_path / "nowhere", other])
    assert store.load(OURS).reached == saved.reached
    later = saved.reached.model_copy(update={"epochs": saved.reached.epochs * 2})
    store.save(Checkpoint(later, saved.state))
    assert store.load(OURS).reached == later
    assert Checkpoints(other).load(OURS).reached == saved.reached


def test_one_that_is_replaced_while_it_is_read_is_read_whole(saved: Checkpoint, tmp_path: Path) -> None:
    """Of every instant of a reading some are hit: 3,000 readings beside a writer that does nothing but replace it."""
    store, stop = Checkpoints(tmp_path, pytest.fail), Event()
    states = [{name: torch.full((1000,), number) for name in "abc"} for number in (0.0, 1.0)]

    def replace_again_and_again() -> None:
        while not stop.is_set():
            for state in states:
                Checkpoints(tmp_path).save(Checkpoint(saved.reached, state))

    store.save(Checkpoint(saved.reached, states[0]))
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(replace_again_and_again)
        try:
            values = {store.load(OURS).state["a"][0].item() for _ in range(3000)}
        finally:
            stop.set()
        writing.result()
    assert values == {0, 1}
