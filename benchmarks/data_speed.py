"""What does the data cost: the start of a worker, the memory of two, and each image on its way to the network?

    python benchmarks/data_speed.py fashion_mnist:PATH folder:PATH [--repeats 25]

- `workers`: two processes load the data, make it smaller by half, and read all of both: the seconds of that, imports
  apart, and the memory it added to each while both hold the data (a page counts by its share of the processes that have
  it), for a cache that has the store already, against one that cannot be written, so that each prepares its own.
- `images per second`: on one thread, in CPU seconds, so that others on the machine disturb little; the best of
  `repeats`. Each augmentation at batch 256, against torchvision's transform, one image at a time; and an epoch of the
  whole path: shuffle, gather, augment, normalise.

Writes `benchmarks/results/data_speed.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from nas.data.augment import Augmentation, Normaliser, alternating
from nas.data.batches import epoch_order
from nas.data.images import Images
from nas.results import environment, write_whole

RESULT = Path(__file__).parent / "results" / "data_speed.json"
BATCH, EPOCH_BATCHES = 256, 30
SIDES = {"28 px grey": (1, 28), "32 px RGB": (3, 32)}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
CALM = {"crop_padding": 0, "mirror": False}

WORKER = """
import json, sys, time
import torch
from nas.data.load import load_dataset
from nas.data.spec import DataSpec

def load(text):
    data = load_dataset(DataSpec.parse(text), seed=0)
    small = data.at(data.resolution // 2)
    for each in (data, small):
        each.mean, each.train.pixels.sum(), each.validation.pixels.sum()
    return data, small

def share_mb():
    lines = open("/proc/self/smaps_rollup").read().split("Pss:")
    return int(lines[1].split()[0]) / 1024

torch.set_num_threads(1)
torch.zeros(8, dtype=torch.uint8).sum()
before, started = share_mb(), time.perf_counter()
kept = load(sys.argv[1])
print(time.perf_counter() - started, flush=True)
sys.stdin.readline()
print(share_mb() - before, flush=True)
sys.stdin.readline()
"""


def two_workers(data: str, cache: Path) -> dict[str, list[float]]:
    """Run two workers side by side; return their seconds, and their megabytes while both hold the data."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"NAS_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]

    def answers() -> list[float]:
        return [round(float(worker.stdout.readline()), 3) for worker in started if worker.stdout]

    def go_on() -> None:
        for worker in started:
            if worker.stdin:
                worker.stdin.write("\n")
                worker.stdin.flush()

    seconds = answers()
    go_on()
    megabytes = answers()
    go_on()
    for worker in started:
        worker.communicate()
    return {"seconds": seconds, "megabytes": megabytes}


def workers(data: str) -> dict[str, Any]:
    """Measure two workers of a data set with a store and without; print it."""
    with TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        first = two_workers(data, cache)
        found = {"first start": first, "store there": two_workers(data, cache)}
        found["without a store"] = two_workers(data, Path("/dev/null/cache"))
    for name, figures in found.items():
        print(f"{data} {name}: {max(figures['seconds']):.2f} s, {sum(figures['megabytes']):.0f} MB of two workers")
    return found


def rate(work: Callable[[], object], images: int, repeats: int) -> float:
    """Return images per CPU second of the fastest of `repeats`."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return round(images / min(seconds))


def augmentations(shape: tuple[int, int], repeats: int) -> dict[str, Any]:
    """Time each augmentation on a batch, and torchvision's on its images."""
    pixels = noise(BATCH, shape).pixels
    generator = torch.Generator().manual_seed(0)
    indices = torch.arange(BATCH)
    side = shape[1]
    jitter = v2.ColorJitter(0.2, 0.2, 0.2) if shape[0] == 3 else v2.ColorJitter(0.2, 0.2)
    ways: dict[str, tuple[Augmentation, Callable[[Tensor], Tensor]]] = {
        "crop and flip": (
            Augmentation(crop_padding=side // 8, mirror=True),
            v2.Compose([v2.RandomCrop(side, padding=side // 8, padding_mode="reflect"), v2.RandomHorizontalFlip()]),
        ),
        "jitter": (Augmentation(**CALM, jitter=0.2), jitter),
        "cutout": (Augmentation(**CALM, cutout=side // 4), v2.RandomErasing(1.0, (1 / 16, 1 / 16), (1, 1))),
    }
    found = {
        name: {
            "ours": rate(lambda ours=ours: ours(pixels, generator), BATCH, repeats),  # type: ignore[misc]
            "torchvision": rate(lambda theirs=theirs: [theirs(each) for each in pixels], BATCH, 3),  # type: ignore[misc]
        }
        for name, (ours, theirs) in ways.items()
    }
    ours = ways["crop and flip"][0]
    found["crop and alternating flip"] = {
        "ours": rate(lambda: ours(pixels, generator, alternating(indices, 1, 0)), BATCH, repeats)
    }
    return found


def whole_path(shape: tuple[int, int], layout: torch.memory_format, repeats: int) -> float:
    """Time epochs of shuffling, gathering, cropping, flipping and normalising."""
    images = noise(BATCH * EPOCH_BATCHES, shape)
    generator = torch.Generator().manual_seed(0)
    augment = Augmentation(crop_padding=shape[1] // 8, mirror=True)
    normaliser = Normaliser((0.4,) * shape[0], (0.3,) * shape[0], memory_format=layout)

    def epoch() -> None:
        for rows in epoch_order(images, BATCH, generator):
            normaliser(augment(images.select(rows).pixels, generator))

    return rate(epoch, len(images), repeats)


def noise(count: int, shape: tuple[int, int]) -> Images:
    """Return random images of so many channels and such a side."""
    generator = torch.Generator().manual_seed(0)
    size = (count, shape[0], shape[1], shape[1])
    pixels = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.zeros(count, dtype=torch.int64))


def rates(repeats: int) -> dict[str, Any]:
    """Measure all rates; print them."""
    found: dict[str, Any] = {}
    for name, shape in SIDES.items():
        path = {layout: whole_path(shape, memory_format, repeats) for layout, memory_format in LAYOUTS.items()}
        found[name] = {"whole path": path} | augmentations(shape, repeats)
        for part, figures in found[name].items():
            print(f"{name}, {part}: " + ", ".join(f"{value:,.0f} images/s {of}" for of, value in figures.items()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--repeats", type=int, default=25)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {"environment": environment(), "repeats": arguments.repeats, "images per second": rates(arguments.repeats)}
    found["workers"] = {data.partition(":")[0]: workers(data) for data in arguments.data}
    write_whole(RESULT, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
