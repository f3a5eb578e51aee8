"""How long a user waits: `nas --help`, `nas front` on a 1,000-trial study, and what the engine adds to a trial.

    python benchmarks/command_line.py [--trials 1000] [--repeats 5]

A study for each sampler is made by the real loop on a SQLite file, with an evaluator that answers at once with made-up
numbers: what a job costs there is all engine. Wall time and the processor time of the process stand side by side, since
the first also holds what other programs of the machine took; `sampler` is the part that the sampler spends on a
proposal. The cheapest rung of the default digits search, trained and measured for real, is what the engine is held
against. Each command is timed as a whole process; `python -c "import optuna"` stands beside them, the least that
reading an Optuna database takes. Writes `benchmarks/results/command_line.json`.
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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any
from unittest.mock import patch

from nas.budget import Budget
from nas.records import Candidate, Epoch, Fidelity, Measurement, Plan, Recipe, StudyConfig
from nas.results import StudyFolder, environment, write_whole
from nas.search.loop import Event, Finished, Started, run
from nas.search.proposals import Mirror
from nas.search.request import SearchRequest
from nas.search.setup import prepare
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space import GeneValue
from nas.space_file import load_space
from nas.training.loop import Progress
from nas.value import FrozenMap

RESULT = Path(__file__).parent / "results" / "command_line.json"
SAMPLERS = ("random", "tpe", "cap")
WINDOW = 100
"""Jobs over which a figure is the mean: what a sampler does only now and then has its share."""
RUNG_TRIALS = 6


@dataclass(frozen=True)
class Moment:
    """The clocks when a job ended: wall, processor, and the wall time spent in the sampler so far."""

    wall: float
    processor: float
    sampler: float


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


def make_study(results: Path, sampler: str, trials: int) -> list[Moment]:
    """Make the study, named after its sampler; return the clocks before its first job and after each."""
    space = load_space("nodepth")
    folder = StudyFolder(results / sampler)
    folder.prepare()
    config = StudyConfig(
        name=sampler,
        space_name=space.name,
        space_text=space.text,
        target=space.target,
        budget=Budget(),
        data="digits",
        data_fingerprint="none",
        validation_fraction=0.2,
        objectives=("val_accuracy", "params", "interference"),
        fidelities=tuple(Fidelity(epochs=epochs, resolution=28) for epochs in (2, 6, 18)),
        recipe=Recipe(),
        plan=Plan(),
        sampler=sampler,
        seed=0,
    )
    study = Study.create(open_storage(sqlite_url(folder.database), create=True), config, trials)
    spent = [0.0]
    moments = [Moment(time.perf_counter(), time.process_time(), 0.0)]

    def note(event: Event) -> None:
        if isinstance(event, Finished):
            moments.append(Moment(time.perf_counter(), time.process_time(), spent[0]))

    ask = Mirror.ask

    def timed(*given: Any) -> dict[str, GeneValue]:
        started = time.perf_counter()
        try:
            return ask(*given)
        finally:
            spent[0] += time.perf_counter() - started

    with patch.object(Mirror, "ask", timed):
        run(study, instant, lambda _: None, note)
    return moments


def engine(moments: list[Moment], last: int) -> dict[str, float]:
    """Return the milliseconds of a job: means over the jobs up to `last`."""
    some = moments[last - WINDOW : last + 1]
    return {
        "wall": 1e3 * fmean(b.wall - a.wall for a, b in pairwise(some)),
        "processor": 1e3 * fmean(b.processor - a.processor for a, b in pairwise(some)),
        "sampler": 1e3 * (some[-1].sampler - some[0].sampler) / WINDOW,
    }


def cheapest_rung(results: Path) -> float:
    """Return the seconds that the default digits search trains and measures at its lowest rung, median."""
    prepared = prepare(SearchRequest(results=results, study="digits", trials=RUNG_TRIALS, finalists=0))
    started, took = [0.0], list[float]()

    def note(event: Event) -> None:
        if isinstance(event, Started):
            started[0] = time.perf_counter()
        elif isinstance(event, Finished) and event.job.kind == "candidate":
            took.append(time.perf_counter() - started[0])

    run(prepared.study, prepared.evaluator, prepared.accept, note)
    return median(took)


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
        made = {sampler: make_study(Path(folder), sampler, arguments.trials) for sampler in SAMPLERS}
        rung = cheapest_rung(Path(folder))
        nas = [sys.executable, "-m", "nas"]
        timed = {
            "nas --help": seconds([*nas, "--help"], arguments.repeats),
            f"nas front, {arguments.trials} trials": seconds(
                [*nas, "front", SAMPLERS[0], "--results", folder], arguments.repeats
            ),
            "python -c 'import optuna'": seconds([sys.executable, "-c", "import optuna"], arguments.repeats),
        }
    for name, times in timed.items():
        print(f"{name:28} {times['median']:.2f} s (least {times['min']:.2f} s of {arguments.repeats})")
    found = {
        f"{sampler}, job {last}": engine(moments, last)
        for sampler, moments in made.items()
        for last in (WINDOW, min(1000, len(moments) - 1), len(moments) - 1)
    }
    for name, spent in found.items():
        share = spent["wall"] / (1e3 * rung)
        words = ", ".join(f"{each} {milliseconds:.0f} ms" for each, milliseconds in spent.items())
        print(f"engine, {name:18} {words}; {share:.1%} of the cheapest rung of the digits search ({rung:.2f} s)")
    content = {"seconds": timed, "engine_ms": found, "cheapest_rung_seconds": rung, "trials": arguments.trials}
    write_whole(RESULT, json.dumps(content | {"environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
