"""How many trials a second can so many workers write to a database, and does any go wrong?

    python benchmarks/many_workers.py [--trials 10000] [--workers 1 2 4 8 16 32] [--storage sqlite postgresql mysql]

Each run is a new study of a problem whose evaluator takes no time, in a database of its own: what is left is the search
itself, under the sampler `random`. Workers are processes that are all started before the first trial is given out. The
rate is over the time from the first trial's start to the last one's end. `errors` are workers that did not end well,
`repeated` networks that two trials have; the total must be as asked. A file takes eight workers at most. One JSON a run
in `benchmarks/results/many_workers/`; those that are there are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

import sqlalchemy
from sqlalchemy.engine import make_url

from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement
from nas.results import environment, write_whole
from nas.search.ledger import read_trials
from nas.search.problem import solve
from nas.search.storage import open_storage, sqlite_url
from nas.search.workers import MOST_ON_SQLITE

FOLDER = Path(__file__).parent / "results" / "many_workers"
SERVERS = {
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "mysql": "mysql+pymysql://root@127.0.0.1:3306/",
}
STUDY = "instant"


def value(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
    """Return the mean of the choices."""
    found = mean(float(each) for each in candidate.genotype.values())
    return Measurement(fidelity=fidelity, seed=seed, epochs=(), metrics={"value": found}, train_seconds=0.0)


PROBLEM = Problem(STUDY, {f"x{i}": range(8) for i in range(10)}, {"value": "maximize"}, value)


def main() -> None:
    """Run what is missing and print all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    FOLDER.mkdir(parents=True, exist_ok=True)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--storage", nargs="+", default=["sqlite", *SERVERS], choices=["sqlite", *SERVERS])
    parser.add_argument("--work", nargs=2, metavar=("URL", "TRIALS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        sys.stdin.readline()
        solve(PROBLEM, int(asked.work[1]), study=STUDY, storage=asked.work[0], sampler="random")
        return
    for storage in asked.storage:
        for workers in asked.workers:
            if storage == "sqlite" and workers > MOST_ON_SQLITE:
                continue
            path = FOLDER / f"{storage}-{workers}-{asked.trials}.json"
            if not path.is_file():
                write_whole(path, json.dumps(run(storage, workers, asked.trials), indent=2) + "\n")
            print(_line(json.loads(path.read_text(encoding="utf-8"))), flush=True)


def run(storage: str, workers: int, trials: int) -> dict[str, Any]:
    """Let so many workers do so many trials; return what became of them."""
    with database(storage) as url:
        solve(PROBLEM, 1, study=STUDY, storage=url, sampler="random")
        command = [sys.executable, __file__, "--work", url, str(trials)]
        quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        crew = [subprocess.Popen(command, **quiet) for _ in range(workers)]  # type: ignore[call-overload]
        ended = [process.communicate("go\n") for process in crew] if workers == 1 else _all_at_once(crew)
        opened = open_storage(url)
        done = read_trials(opened, STUDY)[1:]  # the first one was made to have a study
        opened.engine.dispose()
    seconds = (max(each.ended for each in done) - min(each.started for each in done)).total_seconds()
    faults = [
        said.strip().splitlines()[-1] for process, (_, said) in zip(crew, ended, strict=True) if process.returncode
    ]
    return {
        "storage": storage,
        "workers": workers,
        "trials": len(done) + 1,
        "asked": trials,
        "trials_per_second": round(len(done) / seconds, 1),
        "errors": faults,
        "said": sorted({line for _, said in ended for line in said.splitlines()})[:5],
        "repeated": len(done) - len({json.dumps(dict(each.genotype), sort_keys=True) for each in done}),
        "not_ended": sum(each.ended is None for each in done),
        "environment": environment(),
    }


def _all_at_once(crew: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    for process in crew:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
        process.stdin = None
    return [process.communicate() for process in crew]


@contextmanager
def database(kind: str) -> Iterator[str]:
    """Give the URL of a new database while inside."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield sqlite_url(Path(folder) / "study.db")
        return
    name = f"nas_bench_{os.getpid()}"
    server = make_url(SERVERS[kind])
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(server, f"DROP DATABASE {name}" + (" WITH (FORCE)" if kind == "postgresql" else ""))


def _execute(server: sqlalchemy.URL, statement: str) -> None:
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()


def _line(found: dict[str, Any]) -> str:
    wrong = f"{len(found['errors'])} errors, {found['repeated']} repeated, {found['not_ended']} not ended"
    rate = f"{found['trials_per_second']:7.1f} trials a second"
    return f"{found['storage']:10} {found['workers']:2} workers: {rate}, {found['trials']} of {found['asked']}, {wrong}"


if __name__ == "__main__":
    main()
