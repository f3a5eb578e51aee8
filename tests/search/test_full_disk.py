"""A disk that runs full under a search: it is said once, nothing is lost, and the search goes on when there is room."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nas.search.loop import run
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.cli.conftest import SPACE
from tests.core.examples import config
from tests.search.conftest import MakeStudy
from tests.search.fakes import FakeEvaluator, accept_all
from tests.search.room import Disk, small_disk

PATIENCE_SECONDS = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Give a disk with room for a study and its page."""
    with small_disk(tmp_path / "disk", "16m") as made:
        yield made


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def test_a_worker_waits_for_room_and_goes_on(
    disk: Disk, caplog: pytest.LogCaptureFixture, make_study: MakeStudy
) -> None:
    path = disk.path / "study.db"
    study = Study.create(open_storage(sqlite_url(path), create=True), config(), 12)
    undisturbed, evaluator = FakeEvaluator(), FakeEvaluator()
    run(make_study(12), undisturbed, accept_all)
    disk.fill()

    def make_room() -> None:
        wait_until(lambda: "is away" in caplog.text)
        disk.empty()

    with caplog.at_level(logging.WARNING):
        helper = threading.Thread(target=make_room)
        helper.start()
        run(study, evaluator, accept_all)
        helper.join()
    assert caplog.text.count("database or disk is full") == caplog.text.count("is back") == 1
    assert evaluator.seen == undisturbed.seen
    assert all(record.measurements for record in study.records())
    study.storage.remove_session()
    study.storage.engine.dispose()
    assert integrity(path) == "ok"


def search(results: Path, *given: str) -> subprocess.Popen[str]:
    plan = ("--workers", "1", "--plan", "precision=float32,channels_last=false,threads=1,batch_size=64")
    command = [sys.executable, "-m", "nas", "search", "--study", "little", "--results", str(results), *given]
    command += plan if "--space" in given else ()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_search_on_a_disk_that_is_full_says_so_once_and_goes_on_later(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "little.toml").write_text(SPACE)
    path = disk.path / "little" / "study.db"
    given = ("--space", str(tmp_path / "little.toml"), "--rungs", "4,8", "--finalists", "0", "--trials", "6")
    said: list[str] = []
    with search(disk.path, *given) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if line.startswith("[2/6]"):
                disk.fill()
            if "is away" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130
    text = "".join(said)
    assert text.count("database or disk is full") == 1
    assert text.count("checkpoints are skipped") <= 1
    assert "Traceback" not in text
    assert said[-1].startswith("stopped; ")
    disk.empty()
    assert integrity(path) == "ok"
    before = {each.number: each.measurements for each in Study.open(open_storage(sqlite_url(path)), "little").records()}
    with search(disk.path, "--trials", "6", "--json") as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, err
    assert json.loads(out)
    after = Study.open(open_storage(sqlite_url(path)), "little").records()
    assert len(after) == 6
    assert all(set(before.get(record.number, ())) <= set(record.measurements) for record in after)
    assert all(record.measurements for record in after)
    assert integrity(path) == "ok"
