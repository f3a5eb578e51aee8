"""One suite over every launcher: its workers finish a study, die, start again, and end when they are told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.records import Status
from tests.launch.conftest import PASSWORD, TRIALS, Begun, Place, RayCluster, Search, command_lines
from tests.search.test_workers import until

Start = Callable[..., Search]
CREW = """
import sys, time
from pathlib import Path
from nas.cli.launch import Launch
from nas.launch.crew import Order
name, option, address, logs = sys.argv[1:]
launcher = Launch(name, (option,) if option else (), address or None).launcher
with launcher.crew(Order(["no-such-command"], 2, Path(logs))) as crew:
    while crew.is_working:
        for each in crew.ended():
            print(each.reason)
        time.sleep(0.1)
"""


def test_a_killed_worker_starts_again_and_the_study_is_exact(begun: Begun, search: Start) -> None:
    running = search(begun)
    until(lambda: begun.logs.count("working on study s") == 2)
    seen = [line for line in command_lines().values() if PASSWORD in line]
    os.kill(begun.workers()[0], signal.SIGKILL)
    code, said = running.end()
    with begun.open() as study:
        records, ladder = study.records(), study.config.fidelities
    assert code == 0, said
    assert "worker died: killed by SIGKILL; it starts again" in begun.logs
    assert [record.number for record in records] == list(range(TRIALS))
    assert len({record.arch_id for record in records}) == TRIALS
    assert Status.RUNNING not in {record.status(ladder) for record in records}
    assert begun.workers() == []
    assert seen == [], "everybody on the machine can see the password"
    files = [path for path in begun.results.rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes() or path.suffix == ".pkl"] == []


def test_ctrl_c_ends_all_workers(begun: Begun, search: Start) -> None:
    running = search(begun, "--trials", "60")
    until(lambda: begun.logs.count("working on study s") == 2)
    workers = begun.workers()
    running.process.send_signal(signal.SIGINT)
    code, said = running.end()
    assert len(workers) == 2
    assert code == 130
    assert said.splitlines()[-1].endswith("The same command goes on from here.")
    assert "Traceback" not in said
    until(lambda: not begun.workers())


def test_a_worker_that_cannot_start_ends_with_its_reason(place: Place, tmp_path: Path) -> None:
    given = dict(zip(place.options[::2], place.options[1::2], strict=True))
    where = (given["--launcher"], given.get("--launch-option", ""), given.get("--address", ""))
    command = [sys.executable, "-c", CREW, *where, str(tmp_path / "logs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines() == ["No such command 'no-such-command'."] * 2


@pytest.mark.parametrize("place", ["submitit", pytest.param("slurm", marks=pytest.mark.slow)], indirect=True)
def test_a_job_that_is_told_its_time_is_up_goes_back_to_the_queue(begun: Begun, search: Start) -> None:
    running = search(begun)
    until(lambda: begun.logs.count("working on study s") == 2)
    os.kill(begun.relays()[0], signal.SIGUSR2)
    code, said = running.end()
    assert code == 0, said
    assert "Requeued job" in begun.logs or begun.logs.count("working on study s") > 2
    assert "worker died" not in begun.logs
    with begun.open() as study:
        assert [record.number for record in study.records()] == list(range(TRIALS))


@pytest.mark.parametrize("place", ["ray"], indirect=True)
def test_a_need_that_no_machine_has_is_said_at_once(begun: Begun, search: Start) -> None:
    code, said = search(begun, "--launch-option", "num_gpus=0.5").end()
    assert code == 1
    assert "a worker takes 0.5 CPUs and 0.5 GPUs, and no machine of the cluster has them (1 CPUs, 0 GPUs" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("place", ["ray"], indirect=True)
def test_a_worker_whose_machine_dies_starts_on_another(begun: Begun, search: Start, ray_cluster: RayCluster) -> None:
    running = search(begun, "--launch-option", "num_gpus=0")
    until(lambda: begun.logs.count("working on study s") == 2)
    ray_cluster.lose_a_node()
    code, said = running.end()
    assert code == 0, said
    assert "worker died: its machine, or Ray's process there, is gone; it starts again" in begun.logs
    with begun.open() as study:
        assert [record.number for record in study.records()] == list(range(TRIALS))
