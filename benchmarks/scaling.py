"""How many times the candidates of one worker do two make in an hour?

    python benchmarks/scaling.py --data KIND:PATH [--trials 24] [--workers 1 2] [--repeats 3]

The same search in processes of one thread each, by one worker and by more in turns, each time a new study: trials of
the lowest rung and what follows from them. Candidates an hour are over the time from the first training's start to the
last one's end, so that what a process needs to start counts for nobody. Writes `benchmarks/results/scaling.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from nas.results import environment, write_whole
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study

RESULT = Path(__file__).parent / "results" / "scaling.json"
NAME = "scaling"
RUNGS = "1,2"
SMALL = ["--space", "cifar", "--target", "data", "--cap", "60k", "--resolution", "16", "--finalists", "0"]


def search_command(study: str, data: str, trials: int, workers: int, rungs: str, results: Path | str) -> list[str]:
    """Return the command of a small search by processes of one thread each."""
    plan = f"precision=float32,threads=1,workers={workers},batch_size=128,channels_last=false"
    asked = ["--data", data, "--trials", str(trials), "--rungs", rungs, "--plan", plan, "--results", str(results)]
    return [sys.executable, "-m", "nas", "search", "--study", study, *SMALL, *asked]


def main() -> None:
    """Run all in turns and print what an hour gives."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    rates: dict[int, list[float]] = {workers: [] for workers in asked.workers}
    for _ in range(asked.repeats):
        for workers, found in rates.items():
            found.append(candidates_an_hour(asked.data, asked.trials, workers))
            print(f"{workers} workers: {found[-1]:,.0f} candidates an hour", flush=True)
        times = write(asked, rates)
        print({workers: round(each, 2) for workers, each in times.items()}, flush=True)


def write(asked: argparse.Namespace, rates: dict[int, list[float]]) -> dict[int, float]:
    """Keep the turns so far; return how many times the rate of the fewest workers each number of them has."""
    medians = {workers: median(found) for workers, found in rates.items()}
    times = {workers: rate / medians[min(medians)] for workers, rate in medians.items()}
    found = {"data": asked.data.partition(":")[0], "trials": asked.trials, "candidates_an_hour": rates, "times": times}
    write_whole(RESULT, json.dumps(found | {"environment": environment()}, indent=2) + "\n")
    return times


def candidates_an_hour(data: str, trials: int, workers: int) -> float:
    """Search with so many workers; return the trials for each hour in which any was trained."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*search_command(NAME, data, trials, workers, RUNGS, folder), "--sampler", "random"]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        study = Study.open(open_storage(sqlite_url(Path(folder) / NAME / "study.db")), NAME)
        return len(study.records()) / study.hours()


if __name__ == "__main__":
    main()
