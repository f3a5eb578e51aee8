"""How much sooner does a search find what 40 full trainings of random networks find?

    python benchmarks/search_speed.py fashion_mnist:PATH [--seeds 3] [--workers 2]

Fashion-MNIST, `paper_cast`, cap 100,000 counted on the data. Full training is 20 epochs of 5,000 images. Both arms are
`nas search` as a user runs it, timed as a whole process, with the same workers on the same machine in one run:

- random: `--sampler random --rungs 20`, 40 trials, each trained in full; what it finds is its most accurate network;
- search: the default sampler on the ladder 1, 4, 20 epochs, carried on from 12 to 20, 30, 40 and 60 trials; what it has
  found at each of these stops is its most accurate network, and its time is all that has run until then plus one full
  training of that network, which random has had.

What either finds is trained in full again from three seeds of its own: the mean of these is the confirmed quality. The
first stop whose confirmed quality is that of random gives the ratio of times. Studies lie in `results/search_speed/`
and are carried on when the command is run again; each run that is finished has its JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from nas.records import Fidelity, TrialRecord
from nas.results import environment, write_whole
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.value import derive_seed

RESULTS = Path(__file__).parent / "results" / "search_speed"
STUDIES = Path("results") / "search_speed"
EPOCHS, IMAGES, TRAIN_IMAGES = 20, 5_000, 48_000
RANDOM_TRIALS, STOPS, CONFIRMATIONS = 40, (12, 20, 30, 40, 60), 3


def command(data: str, name: str, trials: int, workers: int, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "nas", "search", "--space", "paper_cast", "--data", data, "--target", "data"),
        *("--cap", "100k", "--study", name, "--trials", str(trials), "--workers", str(workers), "--finalists", "0"),
        *("--train-fraction", f"{IMAGES / TRAIN_IMAGES:.4f}", "--objectives", "val_accuracy,params"),
        *("--results", str(STUDIES), *options),
    ]


def timed(arguments: list[str]) -> float:
    """Run a command and return its wall-clock seconds."""
    started = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def study(name: str) -> Study:
    return Study.open(open_storage(sqlite_url(STUDIES / name / "study.db")), name)


def found(name: str) -> TrialRecord:
    """Return the most accurate network that a study has at the highest rung it compares."""
    best = study(name).view().best
    if best is None:
        raise SystemExit(f"study {name}: nothing was measured")
    return best


def random_arm(data: str, seed: int, workers: int) -> dict[str, Any]:
    name = f"random-{seed}"
    options = ("--sampler", "random", "--rungs", str(EPOCHS), "--seed", str(seed))
    seconds = timed(command(data, name, RANDOM_TRIALS, workers, *options))
    return {"arm": "random", "seed": seed, "stops": [stop(name, RANDOM_TRIALS, seconds, 0.0)]}


def search_arm(data: str, seed: int, workers: int) -> dict[str, Any]:
    name = f"search-{seed}"
    stops, seconds = [], 0.0
    for trials in STOPS:
        seconds += timed(command(data, name, trials, workers, "--rungs", f"1,4,{EPOCHS}", "--seed", str(seed)))
        stops.append(stop(name, trials, seconds, None))
    return {"arm": "search", "seed": seed, "stops": stops}


def stop(name: str, trials: int, seconds: float, final_seconds: float | None) -> dict[str, Any]:
    """Return what a study has found so far; its own full training is timed when it is confirmed."""
    best = found(name)
    return {
        "study": name,
        "trials": trials,
        "seconds": round(seconds, 1),
        "final_seconds": final_seconds,
        "trial": best.number,
        "arch_id": best.arch_id,
        "words": best.architecture.words(),
        "params": best.cost.params,
        "measured": best.metrics["val_accuracy"],
        "epochs": best.best_fidelity.epochs if best.best_fidelity else 0,
    }


def confirmed(task: tuple[str, str, int, int]) -> dict[str, Any]:
    """Train one network of a study in full, from a seed that no search has used, in a process of its own."""
    data, name, trial, seed = task
    arguments = [sys.executable, __file__, data, "--train", name, str(trial), str(seed)]
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    content: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return content


def train_one(data: str, name: str, trial: int, seed: int) -> None:
    """Print the accuracy and the seconds of one full training."""
    import torch

    from nas.data.load import load_dataset
    from nas.data.spec import DataSpec
    from nas.search.evaluator import TrainingEvaluator

    opened = study(name)
    config = opened.config
    torch.set_num_threads(config.plan.threads)
    record = next(each for each in opened.records() if each.number == trial)
    loaded = load_dataset(
        DataSpec.parse(data), seed=config.seed, validation_fraction=config.validation_fraction, resolution=28
    )
    full = Fidelity(epochs=EPOCHS, train_fraction=config.fidelities[0].train_fraction, resolution=28)
    evaluator = TrainingEvaluator(loaded, config.recipe, config.plan, ladder=(full,))
    measured = evaluator(record.candidate, full, derive_seed(seed, record.arch_id, "confirmed"), lambda _: None)
    print(json.dumps({"accuracy": measured.metrics["val_accuracy"], "seconds": measured.train_seconds}))


def confirm(data: str, arm: dict[str, Any], workers: int) -> None:
    """Add the confirmed quality to each stop; a network found at several of them is trained once."""
    trials = sorted({each["trial"] for each in arm["stops"]})
    tasks = [(data, arm["stops"][0]["study"], trial, seed) for trial in trials for seed in range(CONFIRMATIONS)]
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(confirmed, tasks))
    for each in arm["stops"]:
        own = [result for task, result in zip(tasks, results, strict=True) if task[2] == each["trial"]]
        each["confirmed"] = [result["accuracy"] for result in own]
        if each["final_seconds"] is None:
            each["final_seconds"] = round(fmean(result["seconds"] for result in own), 1)


def report(arms: list[dict[str, Any]]) -> None:
    """Print both arms, and the ratio of times at the first stop that is as good as random."""
    random_stops = [each["stops"][0] for each in arms if each["arm"] == "random"]
    goal = fmean(value for each in random_stops for value in each["confirmed"])
    seconds = fmean(each["seconds"] for each in random_stops)
    print(f"random, {RANDOM_TRIALS} full trainings: {seconds:.0f} s, confirmed {quality(random_stops)}")
    rows = []
    for i, trials in enumerate(STOPS):
        stops = [each["stops"][i] for each in arms if each["arm"] == "search"]
        took = fmean(each["seconds"] + each["final_seconds"] for each in stops)
        mean = fmean(value for each in stops for value in each["confirmed"])
        rows.append(
            {"trials": trials, "seconds": took, "confirmed": mean, "ratio": seconds / took, "reached": mean >= goal}
        )
        print(
            f"search, {trials} trials: {took:.0f} s, confirmed {quality(stops)}, random took {seconds / took:.1f} times as long"
        )
    reached = next((row for row in rows if row["reached"]), None)
    print(f"as good as random: {reached['ratio']:.1f} times sooner" if reached else "never as good as random")
    summary = {"goal": goal, "random_seconds": seconds, "stops": rows, "environment": environment(), "arms": arms}
    write_whole(RESULTS / "report.json", json.dumps(summary, indent=1) + "\n")


def quality(stops: list[dict[str, Any]]) -> str:
    """Return the mean over arms of the mean over seeds, and the spread between arms."""
    means = [100 * fmean(each["confirmed"]) for each in stops]
    return f"{fmean(means):.2f}" + (f" ± {stdev(means):.2f}" if len(means) > 1 else "") + " %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="fashion_mnist:PATH")
    parser.add_argument("--seeds", type=int, default=3, help="repeats of both arms")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--train", nargs=3, metavar=("STUDY", "TRIAL", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        name, trial, seed = arguments.train
        train_one(arguments.data, name, int(trial), int(seed))
        return
    arms = []
    for seed in range(arguments.seeds):
        for run in (search_arm, random_arm):
            path = RESULTS / f"{run.__name__.removesuffix('_arm')}-{seed}.json"
            if not path.is_file():
                arm = run(arguments.data, seed, arguments.workers)
                confirm(arguments.data, arm, arguments.workers)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, json.dumps({**arm, "environment": environment()}, indent=1) + "\n")
            arms.append(json.loads(path.read_text()))
    report(arms)


if __name__ == "__main__":
    main()
