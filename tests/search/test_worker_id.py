"""Which process holds a trial, whether it still lives, and who takes over when it does not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nas.search.storage import sqlite_url
from nas.search.study import Study
from nas.search.worker_id import is_gone, worker_id
from tests.core.examples import measurement
from tests.search.conftest import MakeStudy
from tests.search.fakes import accept_all

CLAIM = """
import sys, time
from nas.search.storage import open_storage
from nas.search.study import Study
job = Study.open(open_storage(sys.argv[1]), sys.argv[2]).claim(lambda architecture: None)
print(job.candidate.architecture.arch_id, flush=True)
time.sleep(600)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_living_process_is_not_gone() -> None:
    assert not is_gone(worker_id())


def test_a_killed_process_is_gone() -> None:
    with start("-c", "import time; time.sleep(600)") as process:
        worker = worker_id(process.pid)
        assert not is_gone(worker)
        process.kill()
        process.wait()
        assert is_gone(worker)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc tells a zombie from a process")
def test_a_killed_process_that_nobody_waited_for_is_gone() -> None:
    with start("-c", "import time; time.sleep(600)") as process:
        worker = worker_id(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(worker)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc says when a process started")
def test_a_new_process_of_an_old_number_is_not_the_old_one() -> None:
    host, pid, started = worker_id().split("|")
    assert is_gone(f"{host}|{pid}|{int(started) - 1}")


@pytest.mark.parametrize(
    "worker",
    ["elsewhere|1|2", f"elsewhere|{os.getpid()}|0", "", f"{socket.gethostname()}|x|y"],
    ids=["another host", "our pid on another host", "nobody", "no pid"],  # the same in every process of pytest-xdist
)
def test_nobody_is_declared_gone_on_a_guess(worker: str) -> None:
    assert not is_gone(worker)


def test_a_trial_of_a_killed_process_is_taken_over_with_its_number(make_study: MakeStudy, database: Path) -> None:
    study = make_study(3)
    study.finish(study.claim(accept_all), measurement(0.5))
    with start("-c", CLAIM, sqlite_url(database), study.name) as process:
        arch_id = process.stdout.readline().strip()
        assert study.claim(accept_all).candidate.number == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
    job = study.claim(accept_all)
    assert (job.candidate.number, job.candidate.architecture.arch_id) == (1, arch_id)
    assert study.claim(accept_all) is None


def test_a_trial_that_was_taken_over_belongs_to_its_new_worker(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, dead_worker: str
) -> None:
    study = make_study(1)
    with monkeypatch.context() as patched:
        patched.setattr("nas.search.books.worker_id", lambda: dead_worker)
        study.claim(accept_all)
    assert study.claim(accept_all).candidate.number == 0
    assert study.claim(accept_all) is None


def test_a_trial_of_another_host_is_left_until_it_stops_beating(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(2)
    with monkeypatch.context() as patched:
        patched.setattr("nas.search.books.worker_id", lambda: "elsewhere|1|1")
        lost = study.claim(accept_all)
    other = study.claim(accept_all)
    assert (lost.candidate.number, other.candidate.number) == (0, 1)
    study.finish(other, measurement(0.5))
    study.set_lease(0.0)
    again = study.claim(accept_all)
    assert again == lost
    assert again.claim != lost.claim
    assert not study.finish(lost, measurement(0.9))
    assert study.finish(again, measurement(0.6))
    assert [record.metrics["val_accuracy"] for record in study.records()] == [0.6, 0.5]


def test_a_study_is_not_told_of_a_trial_by_two_processes(make_study: MakeStudy) -> None:
    study = make_study(4)
    numbers = [other.claim(accept_all).candidate.number for other in (study, Study.open(study._storage, study.name))]
    assert numbers == [0, 1]
