"""How fast are images decoded into a store, how fast is it opened, and what does training from it cost in accuracy?

    python benchmarks/data_build.py folder:CIFAR imagenet:MINI [--photographs 1200] [--seeds 3] [--epochs 6]

- `images per second`: a build into an empty cache with 1 and 2 processes, and with threads, as the first command that
  wants images has them: of train after its first block; the seconds of the whole, starts of processes included; and by
  seconds of the processor, which others on the machine disturb less. Thumbnails as they are, and photographs (500x375,
  noise in four scales, JPEG at quality 90) to 160 px.
- `opening`: seconds until the data set is there, decoded now or its store found, in a process that has loaded torch.
- `accuracy`: one network and one recipe with random resized crops, at three quarters of the images' own side, from:
  files decoded on the fly (whole images, whose crops are resized), a store of their own side, and a store of the one
  trained at, whose crops are enlarged. Validation accuracy of `--seeds` seeds; the first two must agree to the bit.

Writes `benchmarks/results/data_build.json`; with `--seeds 0` the accuracies in it stay.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from nas.architecture import Task
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.network.build import build
from nas.records import Fidelity, Plan, Recipe
from nas.references import references
from nas.results import environment, write_whole
from nas.training.loop import train

RESULT = Path(__file__).parent / "results" / "data_build.json"
NETWORK = "nodepth_100k"
RECIPE = Recipe(batch_size=64, mirror=True, crop_padding=0, crop_area=0.35)
BUILD = """
import json, resource, sys, time
def used():
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)
if __name__ == "__main__":
    from nas.data.build import build_part, plan_build
    from nas.data.spec import DataSpec
    plan, seen = plan_build(DataSpec.parse(sys.argv[1]), int(sys.argv[2])), []
    progress = lambda split, done, _: seen.append((done, time.perf_counter())) if done and split == "train" else None
    started, before = time.perf_counter(), used()
    for part in plan.parts:
        build_part(plan, part, int(sys.argv[3]), progress)
    seconds, processor = time.perf_counter() - started, used() - before
    (first, begun), (last, ended) = seen[0], seen[-1]
    told = {"images": plan.images, "store_bytes": plan.size_bytes, "rate": (last - first) / (ended - begun)}
    print(json.dumps(told | {"seconds": seconds, "processor": processor}))
"""
SHARE = 0.75
"""Of the images' own side that is trained at: where a store can be of another side than the files."""
MOST_IMAGES = 4_000


def main() -> None:
    arguments = _arguments()
    with TemporaryDirectory() as folder:
        photographs = _photographs(Path(folder) / "photographs", arguments.photographs)
        specs = {text: 32 if text.startswith("folder") else 64 for text in arguments.data} | {photographs: 160}
        result: dict[str, Any] = {"environment": environment()}
        result["images_per_second"] = {_name(text): _speeds(text, side) for text, side in specs.items()}
        print(json.dumps(result["images_per_second"], indent=2), flush=True)
        os.environ["NAS_CACHE"] = str(Path(folder) / "cache")
        result["opening_seconds"] = {_name(text): _opening(text, side) for text, side in specs.items()}
        print(json.dumps(result["opening_seconds"], indent=2), flush=True)
        trained = {text: side for text, side in specs.items() if text != photographs}
        if arguments.seeds:
            result["accuracy"] = {_name(text): _accuracy(text, side, arguments) for text, side in trained.items()}
        elif RESULT.exists():
            result["accuracy"] = json.loads(RESULT.read_text())["accuracy"]
    print(json.dumps(result, indent=2))
    write_whole(RESULT, json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="+", metavar="KIND:PATH")
    parser.add_argument("--photographs", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    return parser.parse_args()


def _photographs(folder: Path, count: int) -> str:
    """Write JPEG files as large as ImageNet's, about 100 KB each, and return their spec."""
    generator = np.random.default_rng(0)
    for i in range(count):
        image = np.zeros((375, 500, 3))
        for scale in (4, 16, 64, 128):
            noise = generator.normal(0, 24, (375 // scale + 1, 500 // scale + 1, 3))
            image += np.kron(noise, np.ones((scale, scale, 1)))[:375, :500]
        path = folder / f"class{i % 4}" / f"{i}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(128 + image, 0, 255).astype(np.uint8)).save(path, quality=90)
    return f"folder:{folder}"


def _speeds(text: str, side: int) -> dict[str, Any]:
    """Return what a build gives with 1 and 2 processes, and with threads, each in a process of its own."""
    found: dict[str, Any] = {"side": side}
    for workers in (1, 2, 0):
        with TemporaryDirectory() as cache:
            command = [sys.executable, "-c", BUILD, text, str(side), str(workers)]
            done = subprocess.run(
                command, env=os.environ | {"NAS_CACHE": cache}, capture_output=True, text=True, check=True
            )
        told = json.loads(done.stdout)
        found |= {"images": told["images"], "store_bytes": told["store_bytes"]}
        found[f"{workers} processes" if workers else "threads"] = {
            "images_per_second": round(told["rate"]),
            "images_per_processor_second": round(told["images"] / told["processor"]),
            "seconds": round(told["seconds"], 2),
        }
    return found


def _opening(text: str, side: int) -> dict[str, float]:
    """Return the seconds of the first load, which decodes, and of one that finds the store."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        load_dataset(DataSpec.parse(text), seed=0, resolution=side)
        seconds.append(time.perf_counter() - started)
    return {"decoding": seconds[0], "store is there": min(seconds[1:])}


def _accuracy(text: str, side: int, arguments: argparse.Namespace) -> dict[str, Any]:
    trained = round(SHARE * side)
    spec = DataSpec.parse(text)
    sources = {
        "on the fly": load_dataset(spec, seed=0, resolution=side, on_the_fly=True),
        f"store of {side} px": load_dataset(spec, seed=0, resolution=side),
        f"store of {trained} px": load_dataset(spec, seed=0, resolution=trained),
    }
    found: dict[str, Any] = {"trained at": trained, "epochs": arguments.epochs}
    for name, data in sources.items():
        started = time.perf_counter()
        runs = [_trained(data, trained, arguments.epochs, seed) for seed in range(arguments.seeds)]
        found[name] = {
            "val_accuracy": runs,
            "mean": mean(runs),
            "std": stdev(runs) if len(runs) > 1 else None,
            "seconds": time.perf_counter() - started,
        }
        print(name, found[name], flush=True)
    if found["on the fly"]["val_accuracy"] != found[f"store of {side} px"]["val_accuracy"]:
        raise SystemExit(f"{text}: decoding on the fly and a store of the same side disagree")
    return found


def _trained(data: Dataset, side: int, epochs: int, seed: int) -> float:
    task = Task(num_classes=data.num_classes, in_channels=3, resolution=side)
    network = build(references()[NETWORK].architecture, task, seed=seed)
    fraction = min(1.0, MOST_IMAGES / len(data.train))
    fidelity = Fidelity(epochs=epochs, train_fraction=fraction, resolution=side)
    plan = Plan(threads=torch.get_num_threads())
    accuracy = train(network, data, RECIPE, fidelity, plan, seed=seed).epochs[-1].val_accuracy
    if accuracy is None:
        raise SystemExit("a training has no accuracy")
    return accuracy


def _name(text: str) -> str:
    return Path(text.partition(":")[2]).name


if __name__ == "__main__":
    main()
