"""How long a user waits: `nas --help`, `nas front` on a 1,000-trial study, and what the engine adds to a trial.

    python benchmarks/command_line.py [--trials 1000] [--repeats 5]

The study is made by the real loop on a SQLite file, with an evaluator that answers at once with made-up numbers: what
a trial costs here is all engine. Each command is timed as a whole process; `python -c "import optuna"` stands beside
them, the least that reading an Optuna database takes. Writes `benchmarks/results/command_line.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

from nas.budget import Budget
from nas.records import Candidate, Epoch, Fidelity, Measurement, Plan, Recipe, StudyConfig
from nas.results import StudyFolder, environment, write_whole
from nas.search.loop import Finished, run
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space_file import load_space
from nas.training.loop import Progress
from nas.training.recipe import rungs
from nas.value import FrozenMap

RESULT = Path(__file__).parent / "results" / "command_line.json"
NAME = "thousand"


def instant(candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]) -> Measurement:
    """Return made-up numbers at once."""
    del candidate, on_epoch
    rng = random.Random(seed)
    names = ("val_accuracy", "val_loss", "train_loss", "interference", "cross_talk", "excess_coherence", "redundancy")
    return Measurement(
        fidelity=fidelity,
        seed=seed,
        epochs=tuple(Epoch(train_loss=1.0, seconds=1.0) for _ in range(fidelity.epochs)),
        metrics=FrozenMap({name: rng.random() for name in names}),
        train_seconds=1.0,
    )


def make_study(results: Path, trials: int) -> list[float]:
    """Make the study; return the seconds of each job."""
    space = load_space("nodepth")
    folder = StudyFolder(results / NAME)
    folder.prepare()
    config = StudyConfig(
        name=NAME,
        space_name=space.name,
        space_text=space.text,
        target=space.target,
        budget=Budget(),
        data="digits",
        data_fingerprint="none",
        validation_fraction=0.2,
        objectives=("val_accuracy", "params", "interference"),
        fidelities=rungs(6, 28),
        recipe=Recipe(),
        plan=Plan(),
        sampler="random",
        seed=0,
    )
    study = Study.create(open_storage(sqlite_url(folder.database), create=True), config, trials)
    ends = [time.perf_counter()]
    run(
        study,
        instant,
        lambda _: None,
        lambda event: ends.append(time.perf_counter()) if isinstance(event, Finished) else None,
    )
    return [end - start for start, end in pairwise(ends)]


def seconds(command: list[str], repeats: int) -> dict[str, float]:
    """Return the least and the median wall time of a command, as a whole process, after one run that warms up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return {"min": min(times[1:]), "median": median(times[1:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        jobs = make_study(Path(folder), arguments.trials)
        nas = [sys.executable, "-m", "nas"]
        timed = {
            "nas --help": seconds([*nas, "--help"], arguments.repeats),
            f"nas front, {arguments.trials} trials": seconds(
                [*nas, "front", NAME, "--results", folder], arguments.repeats
            ),
            "python -c 'import optuna'": seconds([sys.executable, "-c", "import optuna"], arguments.repeats),
        }
    for name, times in timed.items():
        print(f"{name:28} {times['median']:.2f} s (least {times['min']:.2f} s of {arguments.repeats})")
    engine = {"first 100 jobs": 1e3 * median(jobs[:100]), "last 100 jobs": 1e3 * median(jobs[-100:])}
    for name, milliseconds in engine.items():
        print(f"engine, {name:20} {milliseconds:.0f} ms a job")
    content = {"seconds": timed, "engine_ms": engine, "trials": arguments.trials, "environment": environment()}
    write_whole(RESULT, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
