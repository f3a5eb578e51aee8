"""Optuna's own tools open our studies: its command line, its dashboard, and the example of docs/optuna.md."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.search.storage import sqlite_url
from nas.search.study import Study
from tests.core.examples import measurement
from tests.search.conftest import MakeStudy
from tests.search.fakes import accept_all

PAGE = Path(nas.__file__).parent.parent / "docs" / "optuna.md"
DASHBOARD_SECONDS = 30


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    """Give a study of candidates, promotions, a fault and one that runs."""
    made = make_study(5, name="fashion")
    for accuracy in (0.5, 0.7, 0.9, 0.95):
        job = made.claim(accept_all)
        made.finish(job, measurement(accuracy, job.fidelity, seed=job.seed))
    made.fail(made.claim(accept_all), "broken")
    made.claim(accept_all)
    return made


def optuna(*arguments: str) -> str:
    """Run Optuna's command line as a user would."""
    command = [sys.executable, "-W", "ignore", "-c", "import sys, optuna.cli; sys.exit(optuna.cli.main())", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_command_line_lists_our_studies(study: Study, database: Path) -> None:
    listed = {
        row["name"]: row for row in json.loads(optuna("studies", "--storage", sqlite_url(database), "-f", "json"))
    }
    assert set(listed) == {"fashion", "fashion/rungs"}
    assert listed["fashion"]["n_trials"] == len(study.records())
    assert listed["fashion"]["direction"] == ["MAXIMIZE", "MINIMIZE"]


def test_its_command_line_prints_our_trials(study: Study, database: Path) -> None:
    where = ("--storage", sqlite_url(database), "--study-name", "fashion", "-f", "json")
    trials = json.loads(optuna("trials", *where))
    for trial, record in zip(trials, study.records(), strict=True):
        assert trial["number"] == record.number
        assert trial["params"] == dict(record.genotype)
        assert trial["user_attrs"]["nas:candidate"]["cost"]["params"] == record.cost.params
        first = record.measurements[:1]
        none = [None, None]
        assert trial["values"] == ([first[0].metrics["val_accuracy"], record.cost.params] if first else none)
    best = {trial["number"] for trial in json.loads(optuna("best-trials", *where))}
    done = {trial["number"]: trial["values"] for trial in trials if trial["state"] == "COMPLETE"}
    dominated = {
        number
        for number, (accuracy, params) in done.items()
        for other, (more, fewer) in done.items()
        if (more >= accuracy and fewer <= params) and (more, fewer) != (accuracy, params) and other != number
    }
    assert best == set(done) - dominated


@contextmanager
def dashboard(url: str) -> Iterator[str]:
    """Start optuna-dashboard on a free port; give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "import sys, optuna_dashboard._cli as cli; sys.exit(cli.main())"
    command = [sys.executable, "-W", "ignore", "-c", code, url, "--port", str(port), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def get(address: str) -> Any:
    """Return what a server says, once it does."""
    for _ in range(10 * DASHBOARD_SECONDS):
        try:
            with urllib.request.urlopen(address, timeout=DASHBOARD_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError(f"{address} did not answer in {DASHBOARD_SECONDS} seconds")


def test_its_dashboard_shows_our_studies(study: Study, database: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    with dashboard(sqlite_url(database)) as address:
        listed = {each["study_name"]: each["study_id"] for each in get(f"{address}/api/studies")["study_summaries"]}
        assert set(listed) == {"fashion", "fashion/rungs"}
        shown = get(f"{address}/api/studies/{listed['fashion']}")
    assert shown["directions"] == ["maximize", "minimize"]
    assert [trial["number"] for trial in shown["trials"]] == [record.number for record in study.records()]
    assert {parameter["name"] for parameter in shown["union_search_space"]} == set(study.records()[0].genotype)


def test_the_example_of_the_page_finds_the_most_accurate_network(
    study: Study, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results" / "fashion").mkdir(parents=True)
    study.storage.engine.dispose()
    os.link(database, tmp_path / "results" / "fashion" / "study.db")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert "import nas" not in block
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)
    measured = [record for record in study.records() if record.measurements]
    best = max(measured, key=lambda each: each.metrics["val_accuracy"])
    assert names["best"] == best.number
    assert capsys.readouterr().out.startswith(f"trial {best.number}: 95.00% with {best.cost.params:,} params, ")


def test_every_command_of_the_page_runs(study: Study, database: Path) -> None:
    assert study.records()
    commands = re.findall(r"^    optuna ((?:studies|trials|best-trials) .*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        said = optuna(*command.replace("sqlite:///results/fashion/study.db", sqlite_url(database)).split())
        assert "stem.width" in said or "fashion/rungs" in said
