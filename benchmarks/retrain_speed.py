"""How many images a second does retraining take in, against the loop of torchvision's reference script?

    python benchmarks/retrain_speed.py FOLDER [--network tinynext_s] [--side 160] [--images 192] [--threads 1]

FOLDER holds `train/` and `val/` of class folders, as ImageNet does. By hand: JPEG files, RandomResizedCrop, flip and
normalisation by torchvision in a DataLoader of two workers, label smoothing, SGD with Nesterov momentum, float32: what
torchvision's `references/classification/train.py` does. Ours: the same recipe through `nas.training`, from the store,
in float32 on as many threads, and by the plan that is measured here. All see `--images` images an epoch, in turns; the
first epoch of each is not timed. Medians of `--repeats`, and the share of our time that steps wait for images. Results:
`benchmarks/results/retrain_speed.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from nas.architecture import Task
from nas.budget import cost
from nas.data.images import Dataset
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.network.build import build
from nas.records import Fidelity, Plan, Recipe
from nas.references import reference
from nas.results import environment, write_whole
from nas.training.loop import Progress, train
from nas.training.plan import choose_plan, describe
from nas.training.plan_options import PlanOverrides

RESULT = Path(__file__).parent / "results" / "retrain_speed.json"
BATCH, WORKERS = 32, 2
RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.05,
    batch_size=BATCH,
    label_smoothing=0.1,
    weight_decay=4e-5,
    crop_area=0.08,
    mirror=True,
)


@dataclass(frozen=True)
class Speed:
    """An epoch: images per second, and the share of time that steps waited."""

    images_per_second: float
    waited: float | None = None


def by_hand(folder: Path, task: Task, name: str, images: int, threads: int) -> Speed:
    """Return what the second of two epochs took."""
    torch.set_num_threads(threads)
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(task.resolution),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    files = ImageFolder(str(folder / "train"), transform)
    chosen = Subset(files, list(range(0, len(files), max(1, len(files) // images)))[:images])
    loader = DataLoader(chosen, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True)
    network = build(reference(name).architecture, task).train()
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=4e-5, nesterov=True)
    for _ in range(2):
        started = time.perf_counter()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss(network(inputs), labels).backward()
            optimizer.step()
        seconds = time.perf_counter() - started
    return Speed(len(loader) * BATCH / seconds)


def ours(data: Dataset, task: Task, name: str, images: int, plan: Plan) -> Speed:
    """Return what the second of two epochs of ours took."""
    seen = list[Progress]()
    share = min(1.0, images / len(data.train))
    fidelity = Fidelity(epochs=2, train_fraction=share, resolution=task.resolution)
    network = build(reference(name).architecture, task)
    train(network, data, RECIPE, fidelity, plan, seed=0, on_epoch=seen.append)
    count = round(share * len(data.train)) // BATCH * BATCH
    first, both = (count * i / progress.images_per_second for i, progress in enumerate(seen, start=1))
    return Speed(count / (both - first), seen[-1].waited)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", default="tinynext_s")
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    spec = DataSpec(kind="imagenet", path=str(given.folder))
    data = load_dataset(spec, seed=0, resolution=round(given.side * 8 / 7))
    task = Task(num_classes=data.num_classes, resolution=given.side)
    architecture = reference(given.network).architecture
    overrides = PlanOverrides(batch_size=BATCH, workers=1)
    plan = choose_plan([architecture], task, RECIPE, overrides=overrides).plan
    plain = Plan(threads=given.threads)
    titles = ("by hand, float32", f"ours, {describe(plain)}", f"ours, {describe(plan)}")
    found: dict[str, list[Speed]] = {title: [] for title in titles}
    for _ in range(given.repeats):
        found[titles[0]].append(by_hand(given.folder, task, given.network, given.images, given.threads))
        for title, each in zip(titles[1:], (plain, plan), strict=True):
            found[title].append(ours(data, task, given.network, given.images, each))
    size = cost(architecture, task)
    print(
        f"{given.network}, {size.params:,} params, {size.macs / 1e6:,.0f}M MACs at {given.side} px, batches of {BATCH}"
    )
    rows = {}
    for title, speeds in found.items():
        speed = median(e.images_per_second for e in speeds)
        waited = None if speeds[0].waited is None else median(e.waited or 0.0 for e in speeds)
        rows[title] = Speed(speed, waited)
        share = "" if waited is None else f", waits {100 * waited:.1f} % of the time"
        print(f"{title}: {speed:,.1f} images/s, {speed / rows[titles[0]].images_per_second:.2f}x{share}")
    content = {
        "network": given.network,
        **size.model_dump(),
        "side": given.side,
        "batch_size": BATCH,
        "images": given.images,
        "repeats": given.repeats,
        "threads": given.threads,
        "rows": [{"what": title, **asdict(each)} for title, each in rows.items()],
        "environment": environment(),
    }
    write_whole(RESULT, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
