"""`nas status --watch` and `nas stop` on a search that runs in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.search.request import SearchRequest
from nas.search.setup import prepare
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.search.fakes import plain_choice

PATIENCE = 120


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the results folder of a study on digits whose trainings take long enough to be seen."""
    monkeypatch.setattr("nas.search.setup.choose_plan", plain_choice)
    prepare(SearchRequest(tmp_path / "results", study="s", trials=200, epochs=60, finalists=0))
    return tmp_path / "results"


def nas(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nas", *arguments, "--results", str(results)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_search_is_watched_and_told_to_stop_and_goes_on_another_time(results: Path) -> None:
    command = [sys.executable, "-m", "nas", "search", "--study", "s", "--results", str(results), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as search:
        deadline = time.monotonic() + PATIENCE
        seen: list[dict[str, object]] = []
        while len({worker["pid"] for worker in seen if worker["epoch"]}) < 2:
            assert time.monotonic() < deadline, "two workers were never seen to finish an epoch"
            seen = json.loads(nas(results, "status", "s", "--watch", "--json").stdout)["workers"]
        assert {worker["host"] for worker in seen} == {os.uname().nodename}
        assert all(worker["silent_seconds"] < PATIENCE and not worker["is_gone"] for worker in seen)
        assert nas(results, "stop", "s").stdout.startswith("study s: ")
        out, err = search.communicate(timeout=PATIENCE)
    assert (search.returncode, out) == (0, "")
    assert err.splitlines()[-1] == "stopped, as `nas stop` asked. The same command goes on from here."
    assert "died" not in err
    study = Study.open(open_storage(sqlite_url(results / "s" / "study.db")), "s")
    assert not study.processes()
    assert study.claim(lambda _: None).candidate.number in {worker["trial"] for worker in seen} | {0, 1, 2, 3}


def test_a_study_that_nobody_works_on_says_so(results: Path) -> None:
    assert nas(results, "stop", "s").stdout == "study s: no worker is training\n"
    assert nas(results, "stop", "other").returncode == 2
