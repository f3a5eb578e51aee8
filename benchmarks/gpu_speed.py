"""How much of a GPU does training use: one network alone, and eight that share it?

    python benchmarks/gpu_speed.py --pack images.safetensors --data folder:PATH     # once, where the images are
    python benchmarks/gpu_speed.py --store images.safetensors --out gpu_speed.json  # on the GPU, about two minutes
    python benchmarks/gpu_speed.py --device cpu --quick                             # the same code, as a smoke test

In one run, all at batch 128 and 32 px, of a network of 1M parameters and of one of 100k:

- `alone`: images per second of training steps on images that lie on the GPU: float32 launched kernel by kernel, bf16 in
  channels_last launched, and bf16 replayed from a CUDA graph.
- `sharing`: the same in sum for eight trainings, each in a thread with a stream and a graph of its own.
- `candidates`: whole evaluations as a search makes them (build, zero-cost scores, training with augmentation,
  validation, interference) per hour: one at a time, launched and replayed; eight threads, and eight processes.
- `roofline`: bytes that a step cannot but move, by the time it took, by the bandwidth of a large copy in this run.
  Counted are what the forward pass keeps for the backward pass, written and read once (measured with
  `saved_tensors_hooks`); weights, read twice; gradients, written and read; AdamW's two moments and the weights, read
  and written. Not counted: gradients of activations, and what is read again because it has left the cache.
- `correct`: the largest difference between the losses of twenty steps replayed and launched, relative.

Without a store the images are noise, which costs as much. Results go to the path that `--out` gives.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nas.architecture import Architecture, Task
from nas.budget import Budget, cost
from nas.data.images import Dataset, Images
from nas.network.build import build
from nas.records import Candidate, Fidelity, Plan, Recipe
from nas.references import reference
from nas.results import environment
from nas.scaling import scale
from nas.search.evaluator import TrainingEvaluator
from nas.training.graph import GraphedStep, own_stream
from nas.training.memory import saved_bytes
from nas.training.step import Step, Stepper, place

TASK = Task(num_classes=10, resolution=32)
SUBJECT, CAPS = "nodepth_1m", {"1M": 1_000_000, "100k": 100_000}
RECIPE = Recipe(batch_size=128, crop_padding=4, mirror=True)
TRAIN, VALIDATION = 12_000, 3_000
TOGETHER = 8
MOST_STEPS = 100_000
FASTEST = "bf16, replayed"
TARGET_GAIN = 3.0
CANDIDATE_EPOCHS, CANDIDATE_SECONDS = 2, 12.0

Lines = list[str]


def subject(cap: int) -> Architecture:
    return scale(reference(SUBJECT).architecture, TASK, Budget(params=cap), by="width")


def plans(device: str) -> dict[str, Plan]:
    bf16 = Plan(device=device, precision="bfloat16", channels_last=True)
    launched = {"float32, launched": Plan(device=device), "bf16, launched": bf16}
    return launched if device == "cpu" else launched | {FASTEST: bf16.model_copy(update={"cuda_graphs": True})}


class Stepping:
    """Steps of one training on a batch of noise that lies on the device."""

    def __init__(self, architecture: Architecture, plan: Plan, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (RECIPE.batch_size, TASK.in_channels, TASK.resolution, TASK.resolution)
        layout = torch.channels_last if plan.channels_last else torch.contiguous_format
        self.images = torch.randn(shape, generator=generator).to(plan.device, memory_format=layout)
        self.labels = torch.randint(TASK.num_classes, shape[:1], generator=generator).to(plan.device)
        self.plain = Step(build(architecture, TASK, seed=seed), RECIPE, plan, steps=MOST_STEPS, seed=seed)
        self.failures: Lines = []
        self.step: Stepper = GraphedStep(self.plain, self.failures.append) if plan.cuda_graphs else self.plain
        self.device = plan.device
        self.made = 0

    def make(self, steps: int) -> None:
        for _ in range(steps):
            self.step(self.images, self.labels)
        if self.device != "cpu":
            torch.cuda.current_stream().synchronize()
        self.made += steps

    @property
    def losses(self) -> Tensor:
        return self.plain.losses[: self.made].double().cpu()


def rate(architecture: Architecture, plan: Plan, together: int, seconds: float) -> tuple[float, Lines]:
    """Return the images per second of so many trainings in sum, and what could not be done."""
    steppings, chunk = (
        [Stepping(architecture, plan, seed) for seed in range(together)],
        1 if plan.device == "cpu" else 20,
    )
    ready = threading.Barrier(together)

    def work(stepping: Stepping) -> float:
        with own_stream(plan.device):
            stepping.make(5)
            ready.wait()
            started, before = time.perf_counter(), stepping.made
            while time.perf_counter() - started < seconds:
                stepping.make(chunk)
            return (stepping.made - before) * RECIPE.batch_size / (time.perf_counter() - started)

    with ThreadPoolExecutor(together) as pool:
        total = sum(pool.map(work, steppings))
    return total, [line for stepping in steppings for line in stepping.failures]


def correct(architecture: Architecture, device: str) -> dict[str, float]:
    """Return the largest relative difference of the losses of twenty steps, by precision."""
    found = {}
    for precision in ("float32", "bfloat16"):
        plan = Plan(device=device, precision=precision, channels_last=True)
        graphed = plan.model_copy(update={"cuda_graphs": device != "cpu"})
        with own_stream(device):
            launched, replayed = Stepping(architecture, plan), Stepping(architecture, graphed)
            for stepping in (launched, replayed):
                stepping.make(20)
        found[precision] = ((launched.losses - replayed.losses).abs() / launched.losses).max().item()
    return found


def copy_bandwidth(device: str, size: int) -> float:
    """Return the bytes per second read and written by the fastest of several copies on the device."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(10):
        wait(device)
        started = time.perf_counter()
        target.copy_(source)
        wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size / best


def moved_bytes(architecture: Architecture, plan: Plan) -> int:
    """Return the bytes that a step cannot but move: see the top of this file."""
    network = place(build(architecture, TASK), plan).train()
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    return 2 * saved_bytes(network, TASK, RECIPE.batch_size, plan) + (2 + 2 + 6) * weights


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def candidates_per_hour(name: str, way: str, asked: argparse.Namespace, *, processes: int, threads: int) -> float:
    """Return how many evaluations an hour holds, in so many processes of so many threads."""
    options = ["--serve", name, way, str(threads), "--device", asked.device] + ["--quick"] * asked.quick
    options += ["--store", str(asked.store)] if asked.store else []
    servers = [
        subprocess.Popen(
            [sys.executable, __file__, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(processes)
    ]
    pipes = [(server.stdin, server.stdout) for server in servers if server.stdin and server.stdout]
    for _, answers in pipes:
        answers.readline()  # it has evaluated once: kernels are chosen, and the images are on the device
    for orders, _ in pipes:
        orders.write("go\n")
    return 3600 * sum(float(answers.readline()) for _, answers in pipes)


def serve(name: str, way: str, threads: int, device: str, data: Dataset, *, quick: bool) -> None:
    """Evaluate candidates from when the parent says so until the time is up; print how many a second that were."""
    fidelity = Fidelity(epochs=1 if quick else CANDIDATE_EPOCHS, resolution=TASK.resolution)
    evaluate = TrainingEvaluator(data.resident(device, print), RECIPE, plans(device)[way], ladder=(fidelity,))
    architecture = subject(CAPS[name])
    candidate = Candidate(number=0, genotype={}, architecture=architecture, cost=cost(architecture, TASK))

    def until_time_is_up(seed: int) -> float:
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < (1.0 if quick else CANDIDATE_SECONDS):
            done += evaluate(candidate, fidelity, seed + threads * done, lambda _: None).is_complete
        return done / (time.perf_counter() - started)

    evaluate(candidate, fidelity, -1, lambda _: None)
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        print(sum(pool.map(until_time_is_up, range(threads))), flush=True)


def noise() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    side = TASK.resolution
    made: dict[str, Tensor] = {}
    for split, count in {"train": TRAIN, "validation": VALIDATION}.items():
        made[f"{split}.pixels"] = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
        made[f"{split}.labels"] = torch.randint(TASK.num_classes, (count,), generator=generator)
    return made


def dataset(tensors: dict[str, Tensor], share: float) -> Dataset:
    def split(name: str) -> Images:
        pixels, labels = tensors[f"{name}.pixels"], tensors[f"{name}.labels"]
        count = round(share * len(labels))
        return Images(pixels[:count], labels[:count])

    classes = tuple(map(str, range(TASK.num_classes)))
    return Dataset("packed", classes, split("train"), split("validation"), fingerprint="0" * 12, mirror=True)


def pack(spec: str, path: Path) -> None:
    """Write a part of a data set that is small enough to be carried to a GPU."""
    from nas.data.load import load_dataset
    from nas.data.spec import DataSpec

    data = load_dataset(DataSpec.parse(spec), seed=0, resolution=TASK.resolution)
    parts = {"train": (data.train, TRAIN), "validation": (data.validation, VALIDATION)}
    tensors: dict[str, Tensor] = {}
    for name, (images, count) in parts.items():
        tensors[f"{name}.pixels"] = images.pixels[:count].clone()
        tensors[f"{name}.labels"] = images.labels[:count].clone()
    save_file(tensors, path)


def measure(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Return everything about the network called `name`."""
    device, quick = asked.device, asked.quick
    architecture, together = subject(CAPS[name]), 2 if quick else TOGETHER
    seconds = 0.5 if quick else 3.0
    ways, failures = plans(device), Lines()

    def rated(plan: Plan, count: int) -> float:
        images, lines = rate(architecture, plan, count, seconds)
        failures.extend(lines)
        return images

    alone = {way: rated(plan, 1) for way, plan in ways.items()}
    best = list(ways)[-1]
    sharing = rated(ways[best], together)
    bandwidth = copy_bandwidth(device, 2**26 if quick else 2**32)
    moved = moved_bytes(architecture, ways[best])
    roofline = {
        "bytes a step": moved,
        "copy, bytes per second": bandwidth,
        "share alone": moved * alone[best] / RECIPE.batch_size / bandwidth,
        "share sharing": moved * sharing / RECIPE.batch_size / bandwidth,
    }
    one = {f"one at a time, {way.split(', ')[1]}": (way, 1, 1) for way in list(ways)[1:]}
    shared = {f"{together} threads": (best, 1, together), f"{together} processes": (best, together, 1)}
    hourly = {
        words: candidates_per_hour(name, way, asked, processes=processes, threads=threads)
        for words, (way, processes, threads) in (one | shared).items()
    }
    return {
        "params": cost(architecture, TASK).params,
        "macs": cost(architecture, TASK).macs,
        "alone, images per second": alone,
        "sharing, images per second": sharing,
        "candidates per hour": hourly,
        "epochs a candidate": 1 if quick else CANDIDATE_EPOCHS,
        "roofline": roofline,
        "largest relative difference of losses": correct(architecture, device),
        "graphs that failed": failures,
    }


def table(found: dict[str, dict[str, Any]]) -> Lines:
    """Return the figures, a line each."""
    lines: Lines = []
    for name, each in found.items():
        lines.append(f"{name}: {each['params']:,} params, {each['macs'] / 1e6:.1f}M MACs")
        lines += [
            f"  alone, {way:20} {images:12,.0f} images/s" for way, images in each["alone, images per second"].items()
        ]
        lines.append(f"  sharing, in sum             {each['sharing, images per second']:12,.0f} images/s")
        hourly: dict[str, float] = each["candidates per hour"]
        first = next(iter(hourly.values()))
        lines += [
            f"  {way:27} {count:12,.0f} candidates/h of {each['epochs a candidate']} epochs, {count / first:.2f}x"
            for way, count in hourly.items()
        ]
        *_, alone, threads, processes = hourly.values()
        lines.append(f"  packed against one at a time {max(threads, processes) / alone:.2f}x (target {TARGET_GAIN:g}x)")
        roof = each["roofline"]
        lines.append(
            f"  roofline: {roof['bytes a step'] / 1e6:.0f} MB a step, "
            f"copy {roof['copy, bytes per second'] / 1e9:,.0f} GB/s: "
            f"{roof['share alone']:.0%} alone, {roof['share sharing']:.0%} sharing"
        )
        apart = each["largest relative difference of losses"]
        lines.append(f"  replayed against launched: {', '.join(f'{key} {value:.1e}' for key, value in apart.items())}")
        lines += [f"  NOT GRAPHED: {line}" for line in sorted(set(each["graphs that failed"]))]
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--quick", action="store_true", help="small and short: does it run?")
    parser.add_argument("--networks", nargs="+", choices=CAPS, default=list(CAPS))
    parser.add_argument("--store", type=Path, help="images that --pack wrote; noise without")
    parser.add_argument("--pack", type=Path, help="write images of --data there, and end")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", nargs=3, metavar=("NAME", "WAY", "THREADS"), help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.pack:
        pack(asked.data, asked.pack)
        return
    torch.set_num_threads(1)
    started = time.perf_counter()
    if asked.serve:
        name, way, threads = asked.serve
        data = dataset(load_file(asked.store) if asked.store else noise(), share=0.05 if asked.quick else 1.0)
        serve(name, way, int(threads), asked.device, data, quick=asked.quick)
        return
    found: dict[str, dict[str, Any]] = {}
    for name in asked.networks:
        found[name] = measure(name, asked)
        device = "cpu" if asked.device == "cpu" else torch.cuda.get_device_name(asked.device)
        content = {"environment": environment() | {"device": device}, "seconds": time.perf_counter() - started}
        if asked.out:
            asked.out.write_text(json.dumps(content | {"networks": found}, indent=2) + "\n")
        print(f"{device}, torch {torch.__version__}, batch {RECIPE.batch_size}, {TASK.resolution} px")
        print("\n".join(table({name: found[name]})), flush=True)


if __name__ == "__main__":
    main()
