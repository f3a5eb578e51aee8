"""What do the checkpoints of a training cost, and how much of it may a kill repeat?

    python benchmarks/checkpoint_cost.py [--images 2000] [--repeats 5]

Two trainings, each through to its end on one thread: a network of 16k parameters on scikit-learn's digits, whose epochs
are short, and one of 1M on images of 32 px, an epoch of `--images`. All that checkpoints add is timed where it happens:
the copies of the state, its checksum, writing, flushing, renaming; behind one epoch that is not timed, as they are by
default, then after every epoch, then both with averaged weights as well. Taking one up again: medians of `--repeats`.
Processor time stands in brackets: on a busy machine the clock also counts the others. Results:
`benchmarks/results/checkpoint_cost.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from interference_cost import CAP, SUBJECT, TARGET, TINY
from torch import Tensor

from nas.data.images import Dataset, Images
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.records import Epoch, Fidelity, Plan, Recipe
from nas.references import reference
from nas.results import environment, write_whole
from nas.scaling import scale
from nas.training import stages
from nas.training.checkpoint import SECONDS_AT_RISK, Checkpoints
from nas.training.stages import StagedTraining

RESULT = Path(__file__).parent / "results" / "checkpoint_cost.json"
ENVIRONMENT = environment()
EPOCHS_SMALL, EPOCHS_LARGE = 24, 3


@dataclass
class Spent:
    """Seconds that checkpoints took, by the clock and of the processor, and when each was whole."""

    clock: float = 0.0
    processor: float = 0.0
    count: int = 0


class Timed(stages._Way):
    """A run whose checkpoints are timed, copies of the state included."""

    spent = Spent()

    def _keep(self, epochs: tuple[Epoch, ...], state: Any, end: int) -> None:
        clock, processor, saved = time.perf_counter(), time.process_time(), self._saved
        super()._keep(epochs, state, end)
        self.spent.clock += time.perf_counter() - clock
        self.spent.processor += time.process_time() - processor
        self.spent.count += self._saved != saved


def noise(images: int) -> Dataset:
    """Return noise with the labels of digits: no cost here depends on what is in an image."""
    digits = load_dataset(DataSpec(kind="digits"), seed=0)
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> Images:
        pixels: Tensor = torch.randint(256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.randint(10, (count,), generator=generator))

    return replace(digits, train=drawn(images), validation=drawn(images // 10), fingerprint="noise")


def trainings(images: int) -> dict[str, StagedTraining]:
    """Return the trainings to time."""
    digits = load_dataset(DataSpec(kind="digits"), seed=0)
    large = scale(reference(SUBJECT).architecture, TARGET, CAP, by="width")
    short, long = Fidelity(epochs=EPOCHS_SMALL, resolution=8), Fidelity(epochs=EPOCHS_LARGE, resolution=32)
    plain, averaged = Recipe(), Recipe(ema_decay=0.99)
    data = noise(images)
    return {
        "16k parameters, digits": StagedTraining(TINY, digits, plain, (short,), Plan(), 0),
        "1M parameters, 32 px": StagedTraining(large, data, plain, (long,), Plan(), 0),
        "1M parameters, 32 px, averaged": StagedTraining(large, data, averaged, (long,), Plan(), 0),
    }


def timed(training: StagedTraining, seconds_at_risk: float, repeats: int) -> dict[str, float]:
    """Train once with checkpoints, and take the last of them up again; return what each took."""
    Timed.spent = Spent()
    with tempfile.TemporaryDirectory(dir=RESULT.parent) as folder:
        kept = Checkpoints(Path(folder), print, seconds_at_risk=seconds_at_risk)
        clock, processor = time.perf_counter(), time.process_time()
        made = training.run(kept)
        whole, computed = time.perf_counter() - clock, time.process_time() - processor
        size, loads = sum(path.stat().st_size for path in Path(folder).iterdir()), list[float]()
        for _ in range(repeats):
            started = time.perf_counter()
            assert kept.load(training.identity) is not None
            loads.append(time.perf_counter() - started)
    spent = Timed.spent
    return {
        "epoch_seconds": median(epoch.seconds for epoch in made.epochs),
        "training_seconds": whole,
        "checkpoints": spent.count,
        "seconds_each": spent.clock / max(1, spent.count),
        "processor_seconds_each": spent.processor / max(1, spent.count),
        "share": spent.clock / whole,
        "processor_share": spent.processor / computed,
        "load_seconds": median(loads),
        "bytes": size,
    }


def main() -> None:
    """Time all, print a line for each, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    stages._Way = Timed  # type: ignore[misc]
    found = dict[str, dict[str, dict[str, float]]]()
    for name, training in trainings(asked.images).items():
        timed(replace(training, rungs=(training.rungs[0].model_copy(update={"epochs": 1}),)), 0.0, 1)  # loads libraries
        for how, seconds in (("default", SECONDS_AT_RISK), ("every epoch", 0.0)):
            each = found.setdefault(name, {})[how] = timed(training, seconds, asked.repeats)
            print(
                f"{name}, {how}: an epoch {each['epoch_seconds']:.3f} s, {each['checkpoints']} of "
                f"{each['bytes'] / 1e6:.2f} MB at {1e3 * each['seconds_each']:.1f} ms "
                f"({1e3 * each['processor_seconds_each']:.1f} ms), {each['share']:.2%} of the time "
                f"({each['processor_share']:.2%}); taken up in {1e3 * each['load_seconds']:.1f} ms",
                flush=True,
            )
    content = {"images": asked.images, "trainings": found, "environment": ENVIRONMENT}
    write_whole(RESULT, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
