"""What does each option of a recipe do on small data? Each on and off, several seeds.

    python benchmarks/retrain_options.py digits fashion_mnist:PATH [--images 6000] [--epochs 12] [--seeds 3]

A network of about 100k parameters (the `nodepth_100k` reference) is trained by the recipe `tiny` without averaged
weights, then with each option: averaged weights, blurred strides, the bias loss, suppression, adaptive clipping, Muon,
mixup, and a teacher (`resnet20`, trained here first by the same recipe). Accuracy is that of the images held out, which
choose nothing here: means of the last epoch with the standard deviation over seeds, and the mean difference of each
seed with its 95 % interval (Student's t). Results, by data: `benchmarks/results/retrain_options.json`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from scipy import stats

from nas.data.augment import Normaliser
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import subset
from nas.recipe import BiasLoss, Distillation, Suppression
from nas.records import Fidelity, Plan, Recipe
from nas.references import reference
from nas.results import environment, write_whole
from nas.retrain.answers import Asked
from nas.training.checkpoint import Checkpoints
from nas.training.named import find_recipe
from nas.training.stages import Staged, StagedTraining
from nas.training.teacher import Teacher

RESULT = Path(__file__).parent / "results" / "retrain_options.json"
NETWORK, TEACHER = "nodepth_100k", "resnet20"
OPTIONS: dict[str, dict[str, Any]] = {
    "averaged weights (0.98)": {"ema_decay": 0.98},
    "blurred strides": {"blur_pool": True},
    "bias loss": {"bias_loss": BiasLoss()},
    "suppression": {"suppression": Suppression()},
    "clipping (0.02)": {"gradient_clip": 0.02},
    "Muon": {"optimizer": "muon"},
    "mixup (0.2)": {"mixup": 0.2},
    "a teacher": {"distillation": Distillation(weight=5)},
}
PLAN = Plan(precision="bfloat16", channels_last=True)


def trained(network: str, data: Dataset, recipe: Recipe, epochs: int, seed: int, **more: Any) -> Staged:
    fidelity = Fidelity(epochs=epochs, resolution=data.resolution)
    training = StagedTraining(reference(network).architecture, data, recipe, (fidelity,), PLAN, seed, **more)
    return training.run(Checkpoints(None))


def accuracy(found: Staged) -> float:
    return found.epochs[-1].val_accuracy or 0.0


def compare(spec: DataSpec, images: int, epochs: int, seeds: int) -> dict[str, Any]:
    whole = load_dataset(spec, seed=0)
    data = replace(whole, train=subset(whole.train, min(1.0, images / len(whole.train))))
    base = find_recipe("tiny").for_data(data)[0].model_copy(update={"ema_decay": 0.0})
    taught = trained(TEACHER, data, base, epochs, seed=100)
    normaliser = Normaliser(data.mean, data.std)
    answers = Asked(Teacher(TEACHER, taught.last.network.eval(), normaliser, ""), data.mean, data.std, "cpu")
    found = {"none": [accuracy(trained(NETWORK, data, base, epochs, seed)) for seed in range(seeds)]}
    print(f"{spec}: {len(data.train):,} images, {epochs} epochs, teacher {100 * accuracy(taught):.2f} %", flush=True)
    for name, option in OPTIONS.items():
        more = {"teacher": answers} if "distillation" in option else {}
        recipe = base.model_copy(update=option)
        found[name] = [accuracy(trained(NETWORK, data, recipe, epochs, seed, **more)) for seed in range(seeds)]
    rows = {name: _row(values, found["none"]) for name, values in found.items()}
    for name, row in rows.items():
        print(
            f"{name:24} {row['mean']:6.2f} +- {row['std']:.2f}   {row['gain']:+.2f} +- {row['margin']:.2f}", flush=True
        )
    return {"data": spec.kind, "images": len(data.train), "epochs": epochs, "teacher": accuracy(taught), "rows": rows}


def _row(values: list[float], base: list[float]) -> dict[str, Any]:
    """Return mean and deviation in points, and the gain over the base, seed by seed, with its interval."""
    points, gains = [100 * v for v in values], [100 * (v - b) for v, b in zip(values, base, strict=True)]
    width = float(stats.t.ppf(0.975, len(gains) - 1)) / len(gains) ** 0.5
    return {"mean": fmean(points), "std": stdev(points), "gain": fmean(gains), "margin": width * stdev(gains)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--images", type=int, default=6_000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    content = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    for text in given.data:
        found = compare(DataSpec.parse(text), given.images, given.epochs, given.seeds)
        content[found["data"]] = found | {"environment": environment()}
        write_whole(RESULT, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
