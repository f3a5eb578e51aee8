"""How long does a study of 10,000 candidates take from a SQLite file to a server, and back?

    python benchmarks/storage_copy.py [--trials 10000] [--server URL ...]

The study is that of `large_study.py`: 61 genes, three rungs, 18,124 trainings at 10,000 candidates, 610,000 parameters.
Each URL is that of an empty database of a server, which is emptied afterwards. Compared with
`optuna.copy_study`'s way, a trial at a time, of the first 200 trials from file to file, and with `nas storage check`'s
look at each place. Writes `benchmarks/results/storage_copy.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import optuna
from large_study import CAP, SPACE, fill
from optuna.storages._rdb.models import BaseModel
from sqlalchemy import text
from sqlalchemy.engine import make_url

from nas.budget import Budget
from nas.members import NetworkMembers
from nas.results import environment, write_whole
from nas.search.check import check
from nas.search.copy import copy_study
from nas.search.storage import open_storage, sqlite_url
from nas.space_file import load_space

RESULT = Path(__file__).parent / "results" / "storage_copy.json"
NAME, ONE_BY_ONE = "large", 200


def timed(task: Callable[[], object]) -> dict[str, float]:
    """Return the seconds that a task takes, and those of this process's processor."""
    wall, processor = time.perf_counter(), time.process_time()
    task()
    return {"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor}


def copy(source: str, target: str) -> dict[str, float]:
    opened = open_storage(source), open_storage(target, create=True)
    try:
        return timed(lambda: copy_study(*opened, NAME))
    finally:
        for each in opened:
            each.remove_session()
            each.engine.dispose()


def one_by_one(source: str, target: str) -> float:
    """Return the seconds that a trial takes as `optuna.copy_study` writes it."""
    there = open_storage(target, create=True)
    study = optuna.load_study(study_name=NAME, storage=open_storage(source))
    trials = study.get_trials(deepcopy=False)[:ONE_BY_ONE]
    made = optuna.create_study(study_name=NAME, storage=there, directions=study.directions)
    started = time.perf_counter()
    for trial in trials:
        there.create_new_trial(made._study_id, template_trial=trial)
    return (time.perf_counter() - started) / ONE_BY_ONE


def forget(url: str) -> None:
    """Empty the database of a server; to delete a study of this size through Optuna takes minutes."""
    storage = open_storage(url)
    BaseModel.metadata.drop_all(storage.engine)
    with storage.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    storage.engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--server", nargs="*", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "study.db"
        trainings = fill(source, NAME, NetworkMembers(load_space(SPACE), Budget(params=CAP)), arguments.trials)
        url = sqlite_url(source)
        found: dict[str, object] = {"SQLite": {"copy": copy(url, sqlite_url(Path(folder) / "copy.db"))}}
        for place, server in enumerate(arguments.server):
            known = {"there": copy(url, server), "back": copy(server, sqlite_url(Path(folder) / f"{place}.db"))}
            found[check(server).database] = known | {"check": timed(lambda server=server: check(server))}
            forget(server)
        content = {
            "candidates": arguments.trials,
            "trainings": trainings,
            "file_bytes": source.stat().st_size,
            "copies": found,
            "check_of_the_file": timed(lambda: check(url)),
            "a_trial_as_optuna_copies_it": one_by_one(url, sqlite_url(Path(folder) / "slow.db")),
            "drivers": sorted({make_url(server).drivername for server in arguments.server}),
        }
    print(json.dumps(content, indent=1))
    write_whole(RESULT, json.dumps(content | {"environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
