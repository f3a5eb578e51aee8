"""How long does a study of 10,000 trials keep its readers and its workers waiting?

    python benchmarks/large_study.py [--trials 1000 10000] [--repeats 5]

Each study is of the space `hybrid` (61 genes), on three rungs, in a SQLite file, and holds what the real loop would
have written: members under the cap, epochs, interference metrics and zero-cost scores of made-up values, half of the
candidates promoted and half of those again, replicates. Everything is timed in a process of its own that has imported
what it needs: opening (storage, study, records), the front, and Optuna's own `get_trials` and `best_trials` on the same
file; then claims with the sampler `random`, the sampler's part beside them, each job finished at once. The first claim
of a process puts the copy of the study together that the sampler reads; the medians are over those after it. Commands
are timed as whole processes. All times are of the processor: on a machine that others use the wall tells of them.
Writes `benchmarks/results/large_study.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import text

from nas.budget import Budget
from nas.members import NetworkMembers
from nas.pareto import Objective, objectives
from nas.records import Candidate, Epoch, Fidelity, Measurement, Plan, Recipe, StudyConfig
from nas.results import StudyFolder, environment, write_whole
from nas.search import ledger
from nas.search.books import Job
from nas.search.promotion import is_replicated
from nas.search.proposals import Mirror, Proposal, stored_values
from nas.search.samplers.space import distributions
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.search.warm_start import TakenOver
from nas.space_file import load_space
from nas.trust.mix import ZERO_COST
from nas.trust.networks import size_bin
from nas.value import FrozenMap, compact_json, derive_seed

RESULT = Path(__file__).parent / "results" / "large_study.json"
SPACE, CAP = "hybrid", 1_500_000
INTERFERENCE = (
    *("interference", "cross_talk", "excess_coherence", "class_overlap", "importance_weighted", "redundancy"),
    *("channel_correlation", "superlinearity", "channel_kurtosis", "activation_ratio"),
)
JOBS = 60
"""Claims that are timed, after the first."""
MOST_DRAWS = 3
"""Random members for each that is wanted: some cannot be repaired, some are there already."""


def made_up(number: int, rung: int, fidelity: Fidelity, *, kind: str = "train") -> Measurement:
    """Return the measurement of a training that never was."""
    seed = derive_seed(0, number, kind)
    rng = random.Random(derive_seed(seed, rung))
    accuracy = min(0.99, max(0.01, 0.5 + 0.1 * rung + random.Random(number).gauss(0, 0.08) + rng.gauss(0, 0.02)))
    epochs = [Epoch(train_loss=2 * rng.random(), seconds=5 * rng.random()) for _ in range(fidelity.epochs - 1)]
    last = Epoch(train_loss=1 - accuracy, seconds=5.0, val_loss=1.2 - accuracy, val_accuracy=accuracy)
    losses = {"val_accuracy": accuracy, "val_loss": 1.2 - accuracy, "train_loss": 1 - accuracy}
    scores = {name: rng.random() for name in (*INTERFERENCE, *(ZERO_COST if not rung and kind == "train" else ()))}
    return Measurement(
        fidelity=fidelity,
        seed=seed,
        epochs=(*epochs, last),
        metrics=FrozenMap({**losses, "train_loss_ema": 1.1 - accuracy, **scores}),
        train_seconds=10 * rng.random(),
        images_per_second=10_000 * rng.random(),
    )


def candidates(members: NetworkMembers, count: int) -> list[Candidate]:
    """Return random members within the caps, no two of them equal."""
    rng, found = random.Random(0), dict[str, Candidate]()
    for _ in range(MOST_DRAWS * count):
        if len(found) == count:
            break
        if (genotype := members.fit(members.random(rng))) is not None:
            candidate = members.candidate(len(found), genotype)
            found.setdefault(candidate.architecture.arch_id, candidate)
    return list(found.values())


def study_config(name: str) -> StudyConfig:
    """Return the configuration of a study with the default objectives."""
    space = load_space(SPACE)
    return StudyConfig(
        name=name,
        space_name=space.name,
        space_text=space.text,
        target=space.target,
        budget=Budget(params=CAP),
        data="digits",
        data_fingerprint="none",
        validation_fraction=0.2,
        objectives=("val_accuracy", "params", "interference"),
        fidelities=tuple(Fidelity(epochs=epochs, resolution=28) for epochs in (2, 6, 18)),
        recipe=Recipe(),
        plan=Plan(),
        sampler="random",
        seed=0,
    )


@dataclass(frozen=True)
class Training:
    """What is written of one trial."""

    candidate: Candidate
    measurement: Measurement
    attributes: Mapping[str, Any]

    def trial(self, wanted: Sequence[Objective]) -> ledger.FinishedTrial:
        """Return it as the database holds it."""
        given = {
            ledger.CANDIDATE: compact_json(self.candidate),
            ledger.WORKER: "machine|1|1",
            ledger.MEASUREMENT: compact_json(self.measurement),
            **self.attributes,
        }
        values = stored_values(self.candidate, self.measurement, wanted)
        return ledger.FinishedTrial(TrialState.COMPLETE, given, values)


def promoted(trainings: Iterable[Training]) -> list[int]:
    """Return the better half of the candidates of each size bin."""
    bins: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for each in trainings:
        place = size_bin(each.candidate.cost.params, CAP)
        bins[place].append((-each.measurement.metrics["val_accuracy"], each.candidate.number))
    return sorted(number for some in bins.values() for _, number in sorted(some)[: len(some) // 2])


def fill(database: Path, name: str, members: NetworkMembers, count: int) -> int:
    """Make a study of so many candidates; return the number of its trainings."""
    config = study_config(name)
    some = candidates(members, count)
    first = [Training(each, made_up(each.number, 0, config.fidelities[0]), {}) for each in some]
    again, below = list[Training](), first
    for rung in (1, 2):
        above = [
            Training(some[n], made_up(n, rung, config.fidelities[rung]), {ledger.PROMOTES: (n, rung)})
            for n in promoted(below)
        ]
        again, below = again + above, above
    for n in filter(is_replicated, range(count)):
        twice = made_up(n, 0, config.fidelities[0], kind="replicate")
        again.append(Training(some[n], twice, {ledger.PROMOTES: (n, 0), ledger.SEED: twice.seed}))
    wanted = objectives(config.objectives)
    start = TakenOver(
        candidates=[replace(each.trial(wanted), params=each.candidate.genotype) for each in first],
        rungs=[each.trial(wanted) for each in again],
        distributions=distributions(members.genes),
    )
    storage = open_storage(sqlite_url(database), create=True)
    Study.create(storage, config, 2 * count, start=start)
    with storage.engine.begin() as connection:  # a start that is taken over took no time; these did
        day = "datetime('2026-01-01', (10 * number + {}) || ' seconds')"
        times = f"datetime_start = {day.format(0)}, datetime_complete = {day.format(9)}"
        connection.execute(text(f"UPDATE trials SET {times}"))
    storage.engine.dispose()
    return len(first) + len(again)


class Clock:
    """Seconds of the processor by the name of what took them; `lap` writes down what has passed since the last.

    `wall` is what all took by the clock on the wall, in which other programs of the machine took their part.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"wall": 0.0}
        self._last, self._began = time.process_time(), time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.seconds[name], self._last = now - self._last, now
        self.seconds["wall"] = time.perf_counter() - self._began


def read(url: str, name: str) -> dict[str, float]:
    """Open the study and compute its front; return the seconds, and how much memory the process has come to need."""
    before, clock = peak_mib(), Clock()
    study = Study.open(open_storage(url), name)
    clock.lap("open")
    study.records()
    clock.lap("records")
    view = study.view()
    size = len(view.front)
    clock.lap("front")
    return {**clock.seconds, "members": size, "peak_mib": peak_mib(), "added_mib": peak_mib() - before}


def read_with_optuna(url: str, name: str) -> dict[str, float]:
    """Do the same with Optuna alone."""
    before, clock = peak_mib(), Clock()
    study = optuna.load_study(study_name=name, storage=RDBStorage(url))
    clock.lap("open")
    study.get_trials(deepcopy=False)
    clock.lap("records")
    size = len(study.best_trials)
    clock.lap("front")
    return {**clock.seconds, "members": size, "peak_mib": peak_mib(), "added_mib": peak_mib() - before}


def work(url: str, name: str) -> dict[str, float]:
    """Claim and finish jobs; return the seconds of the first claim, and medians by what was claimed."""
    study = Study.open(open_storage(url), name)
    started = time.process_time()
    for_first = study.claim(lambda _: None)
    assert for_first is not None
    took = defaultdict[str, list[float]](list, {"first claim": [time.process_time() - started]})
    for job, claim, asked in claims(study):
        measured = made_up(job.candidate.number, job.rung, job.fidelity, kind=job.kind)
        measured = measured.model_copy(update={"seed": job.seed})
        started = time.process_time()
        study.finish(job, measured)
        took["finish"].append(time.process_time() - started)
        took[f"claim of a {job.kind}"].append(claim - asked)
        if asked:
            took["sampler"].append(asked)
    return {name: median(some) for name, some in took.items()} | {"peak_mib": peak_mib()}


def claims(study: Study) -> Iterator[tuple[Job, float, float]]:
    """Yield jobs with the seconds of the claim and those that it spent in the sampler."""
    spent, ask = [0.0], Mirror.ask

    def timed(mirror: Mirror) -> Proposal:
        started = time.process_time()
        try:
            return ask(mirror)
        finally:
            spent[0] += time.process_time() - started

    with patch.object(Mirror, "ask", timed):
        for _ in range(JOBS):
            before, started = spent[0], time.process_time()
            job = study.claim(lambda _: None)
            assert job is not None
            yield job, time.process_time() - started, spent[0] - before


def peak_mib() -> float:
    """Return the most memory that this process has had, MiB; `getrusage` would count its parent's before it started."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


TASKS: dict[str, Callable[[str, str], dict[str, float]]] = {"nas": read, "optuna": read_with_optuna, "work": work}


def in_a_process(task: str, url: str, name: str) -> dict[str, float]:
    """Return what one of the tasks gives in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--task", task, url, name], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(done.stdout))


def seconds(command: list[str], repeats: int) -> float:
    """Return the median time of the processor that a command takes, as a whole process."""
    times = []
    for _ in range(repeats):
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        now = os.times()
        times.append(now.children_user + now.children_system - before.children_user - before.children_system)
    return median(times)


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: median(run[name] for run in runs) for name in runs[0]}


def of_size(results: Path, count: int, repeats: int) -> dict[str, Any]:
    """Return all figures of a study of so many candidates, and print them."""
    space = load_space(SPACE)
    folder = StudyFolder(results / f"of{count}")
    folder.prepare()
    name, url = folder.path.name, sqlite_url(folder.database)
    started = time.perf_counter()
    trainings = fill(folder.database, name, NetworkMembers(space, Budget(params=CAP)), count)
    print(f"{count:,} candidates, {trainings:,} trainings, written in {time.perf_counter() - started:.0f} s")
    found: dict[str, Any] = {"trainings": trainings, "database_mib": folder.database.stat().st_size / 2**20}
    runs = [(in_a_process("nas", url, name), in_a_process("optuna", url, name)) for _ in range(repeats)]
    for who, some in zip(("nas", "optuna"), zip(*runs, strict=True), strict=True):
        found[who] = medians(list(some))
        print(f"  {who:6} {words(found[who])}")
    for command in ("front", "status"):
        whole = [sys.executable, "-m", "nas", command, name, "--results", str(results)]
        found[f"nas {command}"] = seconds(whole, repeats)
        print(f"  nas {command:6} {found[f'nas {command}']:.2f} s as a whole process")
    found["work"] = in_a_process("work", url, name)
    print("  " + ", ".join(f"{name} {1e3 * each:.1f} ms" for name, each in found["work"].items() if name != "peak_mib"))
    return found


def words(found: dict[str, float]) -> str:
    """Return the figures of a reader in a line, seconds of the processor."""
    total = found["open"] + found["records"] + found["front"]
    parts = ", ".join(f"{name} {found[name]:.3f} s" for name in ("open", "records", "front"))
    return f"{parts}: {total:.3f} s ({found['wall']:.3f} s on the wall), {found['added_mib']:.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--task", nargs=3, metavar=("TASK", "URL", "STUDY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        task, url, name = arguments.task
        print(json.dumps(TASKS[task](url, name)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {str(count): of_size(Path(folder), count, arguments.repeats) for count in arguments.trials}
    genes = len(load_space(SPACE).genes)
    content = {"space": SPACE, "genes": genes, "repeats": arguments.repeats, "studies": found}
    write_whole(RESULT, json.dumps(content | {"environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
