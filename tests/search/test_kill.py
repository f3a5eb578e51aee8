"""`nas search` killed with -9 in the middle of a trial, three times, then interrupted, then run to its end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.records import Status, TrialRecord
from nas.search.loop import run
from nas.search.request import SearchRequest
from nas.search.setup import prepare
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.search.fakes import TINY_SPACE, plain_choice
from tests.search.test_evaluator import untimed

TRIALS = 8
KILLS = 3
PATIENCE = 120
"""Seconds that a process may take to reach a trial on a busy machine."""

SPACE = TINY_SPACE.replace("[8, 16]", "[8, 12, 16, 24]").replace("[4, 8]", "[4, 8, 12]")
START = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); runpy.run_module('nas')"
"""`python -m nas`, also where the parent ignores Ctrl-C, as a shell's background jobs do."""

HELD = """
SELECT count(*) FROM trials JOIN trial_user_attributes USING (trial_id) JOIN trial_heartbeats USING (trial_id)
WHERE state = 'RUNNING' AND key = 'nas:worker' AND value_json LIKE ?
"""


@dataclass(frozen=True)
class Story:
    """What was seen of a search that was killed: its records after every kill, and how it ended."""

    after_kill: list[tuple[TrialRecord, ...]]
    interrupted: subprocess.CompletedProcess[str]
    ended: subprocess.CompletedProcess[str]
    study: Study
    straight: Study


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Run the same study twice: killed and resumed in processes of their own, and straight through in this one."""
    folder = tmp_path_factory.mktemp("kill")
    (folder / "space.toml").write_text(SPACE)
    asked = {"space": str(folder / "space.toml"), "study": "s", "trials": TRIALS, "epochs": 2, "finalists": 0}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nas.search.setup.choose_plan", plain_choice)
        straight, _ = (prepare(SearchRequest(folder / name, **asked)) for name in ("straight", "killed"))

    after_kill = []
    for _ in range(KILLS):
        stop(folder / "killed", signal.SIGKILL)
        after_kill.append(open_study(folder / "killed").records())
    interrupted = stop(folder / "killed", signal.SIGINT)
    ended = subprocess.run(command(folder / "killed"), capture_output=True, text=True, check=False)

    run(straight.study, straight.evaluator, straight.accept)
    return Story(after_kill, interrupted, ended, open_study(folder / "killed"), straight.study)


def open_study(results: Path) -> Study:
    return Study.open(open_storage(sqlite_url(results / "s" / "study.db")), "s")


def command(results: Path) -> list[str]:
    return [sys.executable, "-c", START, "search", "--study", "s", "--results", str(results)]


def stop(results: Path, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Run the search until it is in the middle of a trial, and send it a signal there."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command(results), stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        wait_for_trial(results / "s" / "study.db", process)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for_trial(database: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the process has claimed a trial and begun to train it."""
    deadline = time.monotonic() + PATIENCE
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        while not connection.execute(HELD, (f"%|{process.pid}|%",)).fetchone()[0]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no trial was begun"
            time.sleep(0.01)
    time.sleep(0.05)


def test_every_kill_hits_a_trial(story: Story) -> None:
    for records in story.after_kill:
        assert any(len(record.measurements) < 2 for record in records)
    assert len(story.after_kill) == KILLS


def test_no_finished_trial_is_lost(story: Story) -> None:
    final = {record.number: record for record in story.study.records()}
    for records in story.after_kill:
        for record in records:
            assert final[record.number].candidate == record.candidate
            assert set(record.measurements) <= set(final[record.number].measurements)


def test_no_trial_is_left_running(story: Story) -> None:
    statuses = {record.status(story.study.config.fidelities) for record in story.study.records()}
    assert statuses == {Status.EVALUATED, Status.STOPPED_EARLY}
    assert "RUNNING" not in {trial.state.name for trial in story.study._main.trials + story.study._rungs.trials}


def test_the_total_is_as_asked(story: Story) -> None:
    assert story.ended.returncode == 0, story.ended.stderr
    assert [record.number for record in story.study.records()] == list(range(TRIALS))
    assert len(story.study._main.trials) == TRIALS


def test_no_network_is_trained_twice(story: Story) -> None:
    records = story.study.records()
    assert len({record.arch_id for record in records}) == TRIALS
    for record in records:
        fidelities = [made.fidelity for made in record.measurements]
        assert len(fidelities) == len(set(fidelities))


def test_a_killed_search_finds_what_a_straight_one_does(story: Story) -> None:
    for killed, straight in zip(story.study.records(), story.straight.records(), strict=True):
        assert killed.candidate == straight.candidate
        assert [untimed(made) for made in killed.measurements] == [untimed(made) for made in straight.measurements]


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(story: Story) -> None:
    lines = story.interrupted.stderr.splitlines()
    assert story.interrupted.returncode == 130
    assert story.interrupted.stdout == ""
    assert [line for line in lines if "goes on from here" in line] == lines[-1:]
    assert "Traceback" not in story.interrupted.stderr


def test_the_end_shows_the_front(story: Story) -> None:
    assert "front of study s" in story.ended.stdout
    assert f"[{TRIALS}/{TRIALS}]" in story.ended.stderr
