"""A clock that jumps by an hour takes no trial from its worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.core.examples import config

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
N_TRIALS, LEASE_SECONDS, PATIENCE_SECONDS = 30, 5.0, 60

WORK = """
import select, sys, time
time.sleep = lambda seconds: select.select([], [], [], seconds)  # libfaketime fails with a deadline in the past
from nas.search import worker_id
worker_id._host = lambda: sys.argv[2]  # so that the lease decides, and not whether the process is there
from nas.search.loop import run
from nas.search.storage import open_storage
from nas.search.study import Study
from tests.search.fakes import FakeEvaluator, accept_all

class Slow(FakeEvaluator):
    def __call__(self, candidate, fidelity, seed, on_epoch):
        with open(sys.argv[3], "a") as log:
            print(candidate.number, fidelity.epochs, seed, int(time.time()), file=log)
        time.sleep(0.1)
        return super().__call__(candidate, fidelity, seed, on_epoch)

run(Study.open(open_storage(sys.argv[1]), "study"), Slow(), accept_all)
"""


@pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime, of Debian's package faketime")
def test_a_clock_that_jumps_takes_no_trial_from_its_worker(tmp_path: Path) -> None:
    """Of two hosts one has its clock put forward by an hour in the midst of a search, and back again."""
    url, log, clock = sqlite_url(tmp_path / "study.db"), tmp_path / "log", tmp_path / "clock"
    log.touch()
    clock.write_text("+0\n")
    study = Study.create(open_storage(url, create=True), config(), N_TRIALS)
    study.set_lease(LEASE_SECONDS)
    faked = os.environ | {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    environments = {"steady": dict(os.environ), "jumping": faked}
    workers = [
        subprocess.Popen([sys.executable, "-c", WORK, url, host, str(log)], env=environment)
        for host, environment in environments.items()
    ]
    for offset, count in (("+1h\n", 10), ("+0\n", 25)):
        _wait_for(log, count)
        (tmp_path / "next").write_text(offset)
        (tmp_path / "next").replace(clock)  # whole, whenever it is read
    assert [worker.wait(PATIENCE_SECONDS) for worker in workers] == [0, 0]
    trained = [line.split() for line in log.read_text().splitlines()]
    assert set(Counter(tuple(training) for *training, _ in trained).values()) == {1}
    moments = [int(moment) for *_, moment in trained]
    assert max(moments) - min(moments) > 3_500  # it did jump
    assert len(study.records()) == N_TRIALS
    assert all(record.measurements for record in study.records())


def _wait_for(log: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(log.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "the workers do nothing"
        time.sleep(0.05)
