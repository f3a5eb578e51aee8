"""Worker processes: posts, what is said of one that died, and a search that several of them share."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.errors import InputError
from nas.records import Plan, Status
from nas.search.request import SearchRequest
from nas.search.setup import prepare
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.search.worker import complete
from nas.search.worker_id import is_gone
from nas.search.workers import Crew, Post, check_workers, posts
from tests.search.fakes import TINY_SPACE, FakeEvaluator, accept_all, plain_choice

GENES = 'block = "separable"\nkernel = [3, 5, 7]\nactivation = ["relu", "gelu", "hardswish", "solu"]'
SPACE = TINY_SPACE.replace("[8, 16]", "[8, 12, 16, 24]").replace("[4, 8]", "[4, 8, 12]")
SPACE = SPACE.replace('block = "separable"', GENES)
"""144 networks: a search that is to be interrupted must not have seen them all before."""
TRIALS = 8
PATIENCE = 120
"""Seconds that processes may take on a busy machine."""

RUNNING = """
SELECT value_json FROM trials JOIN trial_user_attributes USING (trial_id) JOIN trial_heartbeats USING (trial_id)
WHERE state = 'RUNNING' AND key = 'nas:worker'
"""


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make believe that this process may use the cores 4 and 6."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {4, 6}, raising=False)


@pytest.mark.usefixtures("two_cores")
def test_workers_have_cores_of_their_own_where_they_take_all() -> None:
    assert posts(Plan(), 2) == (Post("cpu", frozenset({4})), Post("cpu", frozenset({6})))
    assert posts(Plan(threads=2), 1) == (Post("cpu", frozenset({4, 6})),)
    assert posts(Plan(), 3) == (Post("cpu"),) * 3
    assert posts(Plan(), 1) == (Post("cpu"),)


def test_gpus_have_workers_in_turn() -> None:
    assert posts(Plan(device="cuda:0,2"), 3) == (Post("cuda:0"), Post("cuda:2"), Post("cuda:0"))


def test_more_workers_than_a_file_can_take_are_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match="at most 8 workers share a SQLite file, got 9; give --storage postgresql://"):
        check_workers(9, is_sqlite=True)
    check_workers(8, is_sqlite=True)
    check_workers(9, is_sqlite=False)


def test_a_worker_that_cannot_start_is_reported_with_its_last_line(tmp_path: Path) -> None:
    ended = []
    with Crew(["no-such-command"], [Post("cpu")] * 2, threads=1, logs=tmp_path / "logs") as crew:
        until(lambda: ended.extend(crew.ended()) or not crew.is_working)
    assert sorted(each.worker for each in ended) == [1, 2]
    assert {each.reason for each in ended} == {"No such command 'no-such-command'."}
    assert "no-such-command" in crew.log(2).read_text()


@dataclass(frozen=True)
class Shared:
    """A search of two workers in a process of its own."""

    results: Path
    process: subprocess.Popen[str]

    def running(self) -> list[str]:
        """Return the workers that are in the middle of a training."""
        with closing(sqlite3.connect(self.results / "s" / "study.db", timeout=60)) as connection:
            return [json.loads(value) for (value,) in connection.execute(RUNNING)]

    def end(self) -> tuple[str, str]:
        """Wait for the end; return what it printed."""
        return self.process.communicate(timeout=PATIENCE)

    def study(self) -> Study:
        """Return the study."""
        return Study.open(open_storage(sqlite_url(self.results / "s" / "study.db")), "s")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Give the results folder of a small study on digits that has not begun."""
    (tmp_path / "space.toml").write_text(SPACE)
    asked = {"space": str(tmp_path / "space.toml"), "study": "s", "trials": TRIALS, "epochs": 2, "finalists": 0}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nas.search.setup.choose_plan", plain_choice)
        prepare(SearchRequest(tmp_path / "results", **asked))
    return tmp_path / "results"


@pytest.fixture
def shared(results: Path) -> Iterator[Callable[..., Shared]]:
    """Start searches of that study."""
    started = []

    def start(*options: str) -> Shared:
        command = [sys.executable, "-m", "nas", "search", "--study", "s", "--results", str(results)]
        pipe = subprocess.PIPE
        process = subprocess.Popen([*command, *options], stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return Shared(results, process)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(is_so: Callable[[], object]) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def pid_of(worker: str) -> int:
    """Return the process of a worker."""
    return int(worker.split("|")[1])


def test_a_worker_killed_in_mid_trial_is_reported_and_the_other_one_does_its_work(
    shared: Callable[..., Shared],
) -> None:
    search = shared("--workers", "2")
    until(lambda: len(set(search.running())) == 2)
    os.kill(pid_of(search.running()[0]), signal.SIGKILL)
    out, err = search.end()
    records = search.study().records()
    assert search.process.returncode == 0, err
    assert "died: killed by SIGKILL; another one is started; all it said is in " in err
    assert "front of study s" in out
    assert [record.number for record in records] == list(range(TRIALS))
    assert len({record.arch_id for record in records}) == TRIALS
    assert Status.RUNNING not in {record.status(search.study().config.fidelities) for record in records}
    assert f"[{TRIALS}/{TRIALS}]" in err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(shared: Callable[..., Shared], number: signal.Signals) -> None:
    search = shared("--workers", "2", "--trials", "60")  # more than are done before the signal comes
    until(lambda: len(set(search.running())) == 2)
    workers = search.running()
    search.process.send_signal(number)
    _, err = search.end()
    until(lambda: all(map(is_gone, workers)))
    if number is signal.SIGINT:
        assert search.process.returncode == 130
        assert err.splitlines()[-1].endswith("The same command goes on from here.")
        assert "Traceback" not in err


def test_a_finished_study_starts_no_worker(shared: Callable[..., Shared], results: Path) -> None:
    study = Study.open(open_storage(sqlite_url(results / "s" / "study.db")), "s")
    complete([study], FakeEvaluator(), accept_all)
    again = shared("--workers", "2")
    out, err = again.end()
    assert "nothing is left to train" in err
    assert "front of study s" in out
    assert not (results / "s" / "workers").exists()
