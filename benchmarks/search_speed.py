"""How much sooner does a search find what 40 full trainings of random networks find?

    python benchmarks/search_speed.py fashion_mnist:PATH [--seeds 2] [--workers 2]

Fashion-MNIST, `paper_cast`, under 100,000 parameters counted on the data; full training, images and recipe are those of
`rank_quality.py`, which is run before.

- random: the first 40 networks of `rank_quality.py`, each trained in full, the most accurate one taken. They are random
  members; their processor time is that of the trainings alone.
- search: `nas search` as a user runs it, on the ladder 1, 4 epochs, carried on from 20 to 40 trials. What it has
  found at each of these stops is its most accurate network; its time is the processor time of all its processes until
  then, and one full training of that network, which random has had.

What either finds is trained in full again from seeds that neither has seen, six for random and two for each stop of
each search: the mean of these is the confirmed quality. Times are of the processor, so that other work on the machine
does not count. Studies lie in `results/search_speed/`; an arm that is finished has its JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import rank_quality
from rank_quality import BATCH_SIZE, CAP, IMAGES, Member, Run

from nas.budget import cost
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.records import TrialRecord
from nas.results import environment, write_whole
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study

RESULTS = Path(__file__).parent / "results" / "search_speed"
STUDIES = Path("results") / "search_speed"
RANDOM_NETWORKS, STOPS = 40, (20, 40)
CONFIRMATIONS = {"random": 6, "search": 2}
SEARCHED_IMAGES, SIDE = 48_000, 14
"""Of the train split of `nas search`, and the side that they are trained at."""


def search(data: str, name: str, trials: int, workers: int, seed: int) -> float:
    """Carry a search on to so many trials; return the processor seconds of all its processes."""
    command = [
        *(sys.executable, "-m", "nas", "search", "--space", "paper_cast", "--data", data, "--target", "data"),
        *("--cap", str(CAP), "--study", name, "--trials", str(trials), "--resolution", str(SIDE), "--finalists", "0"),
        *("--train-fraction", f"{IMAGES / SEARCHED_IMAGES:.5f}", "--rungs", "1,4", "--seed", str(seed)),
        *("--objectives", "val_accuracy", "--results", str(STUDIES)),
    ]
    plan = f"precision=bfloat16,channels_last=yes,threads=1,workers={workers},batch_size={BATCH_SIZE}"
    begun = (STUDIES / name / "study.db").is_file()
    before = processor_seconds()
    subprocess.run([*command, *(["--workers", str(workers)] if begun else ["--plan", plan])], check=True)
    return processor_seconds() - before


def processor_seconds() -> float:
    """Return the processor time of all processes that this one has waited for, and that they have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def found(name: str) -> TrialRecord:
    """Return the most accurate network of a study at the highest rung that it compares."""
    best = Study.open(open_storage(sqlite_url(STUDIES / name / "study.db")), name).view().best
    if best is None:
        raise SystemExit(f"study {name}: nothing was measured")
    return best


def search_arm(data: str, seed: int, workers: int) -> dict[str, Any]:
    name = f"search-{seed}"
    stops, seconds = [], 0.0
    for trials in STOPS:
        seconds += search(data, name, trials, workers, seed)
        best = found(name)
        measured, epochs = best.metrics["val_accuracy"], best.best_fidelity.epochs if best.best_fidelity else 0
        network = {"genotype": dict(best.genotype), "words": best.architecture.words(), "params": best.cost.params}
        stops.append({"trials": trials, "seconds": seconds, "measured": measured, "epochs": epochs, **network})
    return {"arm": "search", "seed": seed, "stops": stops}


def random_arm(data: Dataset, spec: DataSpec) -> dict[str, Any]:
    folder = rank_quality.RESULTS / spec.name
    networks = rank_quality.members(data)[:RANDOM_NETWORKS]
    runs = [rank_quality.read(folder, Run(member, "full")) for member in networks]
    if not all(runs):
        raise SystemExit(f"{folder}: not all of {RANDOM_NETWORKS} networks are trained; run rank_quality.py before")
    best = max(runs, key=lambda run: rank_quality.metrics(run).get("val_accuracy", 0))
    network = {"genotype": best["genotype"], "words": best["words"], "params": best["cost"]["params"]}
    seconds = sum(run["processor_seconds"] for run in runs)
    stop = {"trials": RANDOM_NETWORKS, "seconds": seconds, "measured": rank_quality.metrics(best)["val_accuracy"]}
    return {"arm": "random", "stops": [{**stop, "epochs": rank_quality.EPOCHS, **network}]}


def confirm(arm: dict[str, Any], data: str, workers: int) -> None:
    """Add the confirmed quality to each stop, and what one training in full takes."""
    genotypes = list({json.dumps(stop["genotype"]): None for stop in arm["stops"]})
    tasks = [(data, genotype, seed) for genotype in genotypes for seed in range(CONFIRMATIONS[arm["arm"]])]
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(trained, tasks))
    for stop in arm["stops"]:
        mine = json.dumps(stop["genotype"])
        own = [result for (_, genotype, _), result in zip(tasks, results, strict=True) if genotype == mine]
        stop["confirmed"] = [result["accuracy"] for result in own]
        stop["full_seconds"] = fmean(result["seconds"] for result in own)


def trained(task: tuple[str, str, int]) -> dict[str, float]:
    """Train one network in full in a process of its own; return its accuracy and its processor seconds."""
    data, genotype, seed = task
    command = [sys.executable, __file__, data, "--train", genotype, str(seed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    content: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return content


def train_one(data: Dataset, genotype: dict[str, Any], seed: int) -> None:
    import time

    import torch

    torch.set_num_threads(1)
    space = rank_quality.cast_for(data)
    architecture = space.decode(genotype)
    counted = cost(architecture, rank_quality.task_of(data))
    run = Run(Member(1_000_000 + seed, genotype, architecture, counted), "full")  # its number gives the seed
    started = time.thread_time()
    measured = rank_quality.evaluate(data, run)
    seconds = time.thread_time() - started
    print(json.dumps({"accuracy": measured.metrics["val_accuracy"], "seconds": seconds}))


def report(arms: list[dict[str, Any]]) -> None:
    """Print both arms, and the ratio of times at the first stop that is as good as random."""
    (random_stop,) = (arm["stops"][0] for arm in arms if arm["arm"] == "random")
    goal, seconds = fmean(random_stop["confirmed"]), random_stop["seconds"]
    print(f"random, {RANDOM_NETWORKS} full trainings: {seconds:.0f} s, confirmed {quality([random_stop])}")
    rows = []
    for i, trials in enumerate(STOPS):
        stops = [arm["stops"][i] for arm in arms if arm["arm"] == "search"]
        took = fmean(stop["seconds"] + stop["full_seconds"] for stop in stops)
        mean = fmean(fmean(stop["confirmed"]) for stop in stops)
        rows.append({"trials": trials, "seconds": took, "confirmed": mean, "ratio": seconds / took})
        print(f"search, {trials} trials: {took:.0f} s, 1/{seconds / took:.1f}, confirmed {quality(stops)}")
    reached = next((row for row in rows if row["confirmed"] >= goal), None)
    print(f"as good as random: {reached['ratio']:.1f} times sooner" if reached else "never as good as random")
    summary = {"goal": goal, "random_seconds": seconds, "stops": rows, "environment": environment()}
    write_whole(RESULTS / "report.json", json.dumps(summary, indent=1) + "\n")


def quality(stops: list[dict[str, Any]]) -> str:
    """Return the mean over arms of the mean over seeds, and the spread between arms, or between seeds for one."""
    means = [100 * fmean(stop["confirmed"]) for stop in stops]
    spread = means if len(means) > 1 else [100 * value for value in stops[0]["confirmed"]]
    return f"{fmean(means):.2f} ± {stdev(spread):.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="fashion_mnist:PATH")
    parser.add_argument("--seeds", type=int, default=2, help="repeats of the search")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--train", nargs=2, metavar=("GENOTYPE", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    spec = DataSpec.parse(arguments.data)
    data = load_dataset(spec, seed=0, validation_fraction=rank_quality.VALIDATION_FRACTION)
    if arguments.train:
        train_one(data, json.loads(arguments.train[0]), int(arguments.train[1]))
        return
    arms = []
    for name in ("random", *(f"search-{seed}" for seed in range(arguments.seeds))):
        path = RESULTS / f"{name}.json"
        if not path.is_file():
            seed = int(name.rpartition("-")[2]) if "-" in name else 0
            arm = search_arm(arguments.data, seed, arguments.workers) if "-" in name else random_arm(data, spec)
            confirm(arm, arguments.data, arguments.workers)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps({**arm, "environment": environment()}, indent=1) + "\n")
        arms.append(json.loads(path.read_text()))
    report(arms)


if __name__ == "__main__":
    main()
