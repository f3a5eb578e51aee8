"""How long from `nas search` to the first claimed trial, with its own workers and with those of a launcher?

    NAS_STORAGE=postgresql+psycopg://… python benchmarks/launch_time.py [--repeats 3]

The database is an empty one of PostgreSQL's. Each search has two workers on this machine: its own, those of submitit's
executor, and those of a Ray cluster of one node that runs before. All read the same images and find their plan in the
cache, so that what they differ by is the launcher. Writes `benchmarks/results/launch_time.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from optuna.storages import RDBStorage
from ray.cluster_utils import Cluster

from nas.results import environment, write_whole
from nas.search.catalogue import study_names
from nas.search.storage import open_storage
from nas.search.study import Study

RESULT = Path(__file__).parent / "results" / "launch_time.json"
PLACES: dict[str, tuple[str, ...]] = {
    "local": (),
    "submitit": ("--launcher", "slurm", "--launch-option", "cluster=local"),
}
PATIENCE = 300


def main() -> None:
    """Time each place in turn, so often, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    storage = open_storage(os.environ["NAS_STORAGE"], create=True)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    places = {**PLACES, "ray": ("--launcher", "ray", "--address", cluster.address)}
    try:
        with tempfile.TemporaryDirectory() as folder:
            first_claim(storage, folder, "warm", ())  # measures the plan, which the others find in the cache
            taken = {
                name: [first_claim(storage, folder, f"{name}-{i}", options) for i in range(repeats)]
                for name, options in places.items()
            }
    finally:
        cluster.shutdown()
    for name, seconds in taken.items():
        print(f"{name:9} {median(seconds):5.1f} s to the first claim (of {', '.join(f'{s:.1f}' for s in seconds)})")
    write_whole(RESULT, json.dumps({"environment": environment(), "seconds": taken}, indent=1))


def first_claim(storage: RDBStorage, folder: str, name: str, options: Sequence[str]) -> float:
    """Start a search and return the seconds until its study has a trial; then interrupt it."""
    where = ["--study", name, "--results", folder, "--trials", "60", "--workers", "2"]
    command = [sys.executable, "-m", "nas", "search", "--space", "digits", *where, *options]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not has_a_trial(storage, name):
            if process.poll() is not None or time.monotonic() - started > PATIENCE:
                sys.exit(f"{name}: no trial was claimed: {process.communicate()[1]}")
            time.sleep(0.05)
        return time.monotonic() - started
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def has_a_trial(storage: RDBStorage, name: str) -> bool:
    """Return whether a study exists and a trial of it was claimed."""
    return name in study_names(storage) and bool(Study.open(storage, name).records())


if __name__ == "__main__":
    main()
