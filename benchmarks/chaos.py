"""What is lost when processes are killed, and when the database goes away?

    python benchmarks/chaos.py kills --data KIND:PATH [--storage sqlite|postgresql] [--kills 200] [--minutes 60]
    python benchmarks/chaos.py outage [--workers 4] --data KIND:PATH

`kills`: a real search by several workers, of which, and of its parent, one is killed by SIGKILL at random instants,
seconds after one was seen to train; a parent that is gone is started again by the same command. After each kill the
finished trainings are read, and at the end it is counted what of them is missing, what is left RUNNING, what was
measured twice and, from what the workers said, how many epochs were trained more than once.

`outage`: a PostgreSQL server of this benchmark's own is started anew in the middle of a search and later is away for
thirty seconds; the workers' processes must be the same before and after, and every trial be there.

Each writes a JSON into `benchmarks/results/chaos/`; of `kills` every run has one, numbered.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from many_workers import database
from scaling import search_command

from nas.results import environment, write_whole
from nas.search.ledger import read_trials
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study

FOLDER = Path(__file__).parent / "results" / "chaos"
NAME = "chaos"
MEAN_PAUSE = 2.0
"""Seconds from when a worker was seen to train until the next kill: its start alone takes longer on a busy machine."""
RUNGS = "2,4,8"
EPOCH = re.compile(r"trial (\d+) \((\d+) epochs, .* params\), seed (\d+): epoch (\d+) of")

Training = tuple[int, int, int]
"""(trial, epochs, seed)"""


def main() -> None:
    """Run one experiment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=["kills", "outage"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--storage", default="sqlite", choices=["sqlite", "postgresql"])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60, help="no kills after so many")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=60)
    asked = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = kills(asked) if asked.experiment == "kills" else outage(asked)
    before = len(list(FOLDER.glob(f"kills-{asked.storage}-*.json")))
    name = f"kills-{asked.storage}-{before + 1}" if asked.experiment == "kills" else "outage"
    write_whole(FOLDER / f"{name}.json", json.dumps(found | {"environment": environment()}, indent=2) + "\n")
    print(json.dumps(found, indent=2))


class Search:
    """A search that is started again each time that it is gone."""

    def __init__(self, folder: Path, url: str, asked: argparse.Namespace) -> None:
        self.folder, self.url, self.starts = folder, url, 0
        command = search_command(NAME, asked.data, asked.trials, asked.workers, RUNGS, folder)
        self._command = [*command, "--train-fraction", "0.2", "--lease", "60", "--storage", url]
        self._again = [*self._command[:6], "--results", str(folder), "--storage", url]
        self._log = (folder / "search.log").open("ab")
        self.process = self._start(self._command)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        self.starts += 1
        return subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def keep_on(self) -> None:
        """Start it again if it is gone."""
        if self.process.poll() is not None:
            self.process = self._start(self._again if self.is_begun else self._command)

    @property
    def is_begun(self) -> bool:
        """Whether the study exists."""
        return (self.folder / NAME / "study.json").is_file()

    def workers(self) -> list[int]:
        """Return the processes of its workers."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(line) for line in found.stdout.split()]

    def said(self) -> str:
        """Return all that its workers said in this start and, as far as it was kept, in earlier ones."""
        folder = self.folder / NAME / "workers"
        before = [path for path in folder.glob("kept/*.log") if not path.name.startswith(f"{self.starts}-")]
        return "\n".join(path.read_text(errors="replace") for path in [*folder.glob("*.log"), *before])


def kills(asked: argparse.Namespace) -> dict[str, Any]:
    """Kill processes of a search until there were enough kills, then let it come to its end."""
    rng = random.Random(0)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(database("postgresql")) if asked.storage != "sqlite" else sqlite_url(folder / "s.db")
        search, began = Search(folder, url, asked), time.monotonic()
        seen: dict[Training, str] = {}
        struck = Counter[str]()
        while not search.is_begun or not finished(url):
            time.sleep(1)
            search.keep_on()
        while struck.total() < asked.kills and time.monotonic() < began + 60 * asked.minutes and not done(url):
            while not is_training(url):
                search.keep_on()
                time.sleep(0.2)
            time.sleep(rng.expovariate(1 / MEAN_PAUSE))
            search.keep_on()
            victims = [search.process.pid, *search.workers()]
            victim = rng.choice(victims)
            keep_logs(search)
            os.kill(victim, signal.SIGKILL)
            struck["parent" if victim == search.process.pid else "worker"] += 1
            seen |= finished(url)
            if struck.total() % 20 == 0:
                print(f"{struck.total()} kills, {len(seen)} trainings done", file=sys.stderr, flush=True)
        while not done(url):
            time.sleep(1)
            search.keep_on()
        search.process.wait()
        final = finished(url)
        epochs = Counter(tuple(map(int, found)) for found in EPOCH.findall(search.said()))
        again = sum(count - 1 for count in epochs.values())
        return {
            "storage": asked.storage,
            "workers": asked.workers,
            "kills": dict(struck),
            "starts_of_the_parent": search.starts,
            "trainings": len(final),
            "lost": len(seen.keys() - final.keys()),
            "changed": sum(final[key] != text for key, text in seen.items() if key in final),
            "left_running": running(url),
            "measured_twice": measured_twice(url),
            "epochs": len(epochs),
            "epochs_trained_again": again,
            "epochs_again_a_kill": round(again / struck.total(), 2),
            "minutes": round((time.monotonic() - began) / 60, 1),
        }


def keep_logs(search: Search) -> None:
    """Keep what workers said under another name: a parent that starts anew begins their files anew."""
    for path in search.folder.glob(f"{NAME}/workers/*.log"):
        if search.process.poll() is None:
            (path.parent / "kept").mkdir(exist_ok=True)
            shutil.copy(path, path.parent / "kept" / f"{search.starts}-{path.name}")


def finished(url: str) -> dict[Training, str]:
    """Return what the study has measured, by training."""
    try:
        with opened(url) as study:
            return {
                (record.number, each.fidelity.epochs, each.seed): each.model_dump_json()
                for record in study.records()
                for each in record.measurements
            }
    except Exception as fault:  # noqa: BLE001 - no study yet
        print(f"not read: {fault}", file=sys.stderr)
        return {}


def done(url: str) -> bool:
    """Return whether nothing is left of the study."""
    with opened(url) as study:
        return study.is_done


def is_training(url: str) -> bool:
    """Return whether any worker that is alive holds a trial, or nothing is left."""
    with opened(url) as study:
        return bool(study.processes()) or study.is_done


def running(url: str) -> int:
    """Return how many trials are not over."""
    with opened(url) as study:
        names = [NAME + suffix for suffix in ("", "/rungs", "/fidelity")]
        return sum(not trial.state.is_finished() for name in names for trial in read_trials(study.storage, name))


def measured_twice(url: str) -> int:
    """Return how many trainings have two trials that ended with a measurement."""
    with opened(url) as study:
        names = [NAME + suffix for suffix in ("", "/rungs", "/fidelity")]
        trials = [trial for name in names for trial in read_trials(study.storage, name) if trial.measurement]
        counts = Counter(
            (trial.candidate_number, trial.measurement.fidelity.epochs, trial.measurement.seed)
            for trial in trials
            if trial.measurement
        )
        return sum(count - 1 for count in counts.values())


@contextmanager
def opened(url: str) -> Iterator[Study]:
    """Give the study while inside."""
    storage = open_storage(url)
    try:
        yield Study.open(storage, NAME)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def outage(asked: argparse.Namespace) -> dict[str, Any]:
    """Take the database away from a search."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(own_server())
        search = Search(folder, server.url, asked)
        wait_for(lambda: search.is_begun and len(finished(server.url)) >= asked.workers)
        before, seen = set(search.workers()), finished(server.url)
        server.stop()
        server.start()
        wait_for(lambda: len(finished(server.url)) >= len(seen) + 2 * asked.workers)
        between, count = set(search.workers()), len(finished(server.url))
        server.stop()
        time.sleep(30)
        server.start()
        wait_for(lambda: len(finished(server.url)) >= count + 2 * asked.workers or done(server.url))
        after = set(search.workers())
        code = search.process.wait()
        final = finished(server.url)
        return {
            "workers": asked.workers,
            "gone_after_restart": len(before - between),
            "gone_after_30_s": len(between - after),
            "exit_code": code,
            "trainings": len(final),
            "lost": len(seen.keys() - final.keys()),
            "left_running": running(server.url),
            "measured_twice": measured_twice(server.url),
            "trials": len({number for number, *_ in final}),
            "asked": asked.trials,
            "died": search.said().count("Traceback"),
        }


def wait_for(is_so: Any) -> None:
    """Wait for a fact, half an hour at most."""
    deadline = time.monotonic() + 1800
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("it never happened")
        time.sleep(1)


class Server:
    """A PostgreSQL server of one's own, run as the user `postgres`."""

    def __init__(self, folder: Path) -> None:
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._folder, self._port = folder, 54_321
        shutil.chown(folder, "postgres")
        self._run("initdb", "-A", "trust", "-D", str(folder / "data"))
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), "-o", options, "-l", f"{self._folder}/log", "start")

    def stop(self) -> None:
        """Stop it; whoever is connected is cut off."""
        self._run("pg_ctl", "-w", "-m", "fast", "-D", str(self._folder / "data"), "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = ["runuser", "-u", "postgres", "--", str(self._programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def own_server() -> Iterator[Server]:
    """Give a running server while inside."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


if __name__ == "__main__":
    main()
