"""A store whose builder was killed is gone on with: what was written stays, and what has changed since does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.data import canvas, crew, store
from nas.data.journal import Journal
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from tests.data.conftest import MakeFolder

BLOCKS, BLOCK = 6, 5


@pytest.fixture
def root(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder whose store has six blocks."""
    monkeypatch.setattr(canvas, "_MOST_ROWS", BLOCK)
    return make_folder(per_class=BLOCKS * BLOCK // 2)


def load(root: Path) -> bytes:
    data = load_dataset(DataSpec.parse(f"folder:{root}"), seed=0)
    (path,) = Path(os.environ["NAS_CACHE"]).glob("stores/*.safetensors")
    assert len(data.train) + len(data.validation) == BLOCKS * BLOCK
    return path.read_bytes()


def interrupt(root: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Interrupt a build after some blocks; return what is left of it."""
    note, left = Journal.note, iter(range(after))

    def stop(self: Journal, block: int, sums: tuple[int, int]) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        note(self, block, sums)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "note", stop)
        with pytest.raises(KeyboardInterrupt):
            load(root)
    (partial,) = Path(os.environ["NAS_CACHE"]).glob("stores/*.partial")
    return partial


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the blocks that are decoded from here on."""
    numbers: list[int] = []
    fill = canvas.Canvas.fill
    monkeypatch.setattr(canvas.Canvas, "fill", lambda self, block: numbers.append(block.number) or fill(self, block))
    return numbers


def test_an_interrupted_build_goes_on_where_it_was(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(root)
    for path in (cache / "stores").iterdir():
        path.unlink()
    interrupt(root, 4, monkeypatch)
    numbers = decoded(monkeypatch)
    assert load(root) == whole
    assert sorted(numbers) == [4, 5]
    assert {path.suffix for path in (cache / "stores").iterdir()} == {".safetensors", ".lock"}


def test_a_block_that_did_not_reach_the_disk_is_decoded_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = interrupt(root, 4, monkeypatch)
    with partial.open("r+b") as file:
        file.seek(4096 + 16 * BLOCKS * BLOCK + 2 * BLOCK * 192 + 7)  # within the third block
        file.write(b"torn")
    numbers = decoded(monkeypatch)
    load(root)
    assert sorted(numbers) == [2, 4, 5]


def test_other_files_do_not_take_over_what_was_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = interrupt(root, 4, monkeypatch)
    (root / "cat" / "0.png").touch()
    numbers = decoded(monkeypatch)
    load(root)
    assert sorted(numbers) == list(range(BLOCKS))
    assert not partial.exists()


def test_another_side_leaves_an_interrupted_build_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = interrupt(root, 4, monkeypatch)
    load_dataset(DataSpec.parse(f"folder:{root}"), seed=0, resolution=4)
    assert partial.exists()


def test_processes_write_the_same_bytes_as_threads(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(root)
    for path in (cache / "stores").glob("*.safetensors"):
        path.unlink()
    one = crew._pool
    monkeypatch.setattr(crew, "_pool", lambda canvas, _: one(canvas, 2))
    assert load(root) == whole


def test_a_flipped_bit_is_found(root: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = load(root)
    (path,) = (cache / "stores").glob("*.safetensors")
    assert store.damaged_rows(path) == []
    with path.open("r+b") as file:
        file.seek(4096 + 16 * BLOCKS * BLOCK + 2 * BLOCK * 192 + 7)
        flipped = whole[file.tell()] ^ 1
        file.write(bytes([flipped]))
    assert store.damaged_rows(path) == [range(2 * BLOCK, 3 * BLOCK)]
    assert load(root) == whole
    assert "images 10 to 14 differ from their checksum" in caplog.text


LOAD = """
import sys, time
from nas.data import canvas
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
decode, canvas._MOST_ROWS = canvas.decode, 5
canvas.decode = lambda *given: (time.sleep(float(sys.argv[2])), decode(*given))[1]
load_dataset(DataSpec.parse(sys.argv[1]), seed=0)
"""


def test_a_killed_process_leaves_what_it_decoded(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen([sys.executable, "-c", LOAD, f"folder:{root}", "0.1"])
    until = time.monotonic() + 60
    done = 0
    while done < 2 and time.monotonic() < until:
        time.sleep(0.02)
        journals = list((cache / "stores").glob("*.journal"))
        done = len(Journal(journals[0], BLOCKS).done()) if journals and journals[0].stat().st_size > 32 else 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= done < BLOCKS
    numbers = decoded(monkeypatch)
    load(root)
    assert 0 < len(numbers) <= BLOCKS - done
