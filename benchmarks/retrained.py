"""What is the winner of a search worth, beside NoDepth and four references at the same cap, retrained on real data?

    python benchmarks/retrained.py fashion_mnist:PATH folder:PATH [--cap 60000] [--macs 3M] [--trials 24] [--epochs 2]

For each data set: a search of the space `cifar` under the cap, by `nas search` on 10,000 images of 16 px; its winner is
the network that measured best. A second search has a cap on MACs as well, about those of the references. NoDepth and
the references are those of `nas references`, their widths scaled to the cap; of networks that were made for 224 px,
strides are left out from the end until the last map has 4 px or more. All are trained by `nas retrain` with the recipe
`tiny` for so many epochs: a tenth of train chooses the epoch, and the test split is read once for each training.
Intervals of the mean are 95 %, from the noise pooled over the networks. Resumable: what the two commands did is not
done again. Writes `benchmarks/results/retrained.json`; studies go to --results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Any

from nas.architecture import Architecture, Task
from nas.audit import audit
from nas.budget import Budget
from nas.cli.subject import data_task
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.references import reference
from nas.results import StudyFolder, environment, write_whole
from nas.retrained import accuracies, retrained
from nas.scaling import scale
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space_file import spaces_folder

RESULT = Path(__file__).parent / "results" / "retrained.json"
COMPARED = ("nodepth_100k", "mobilenetv2_050", "shufflenetv2_050", "starnet_050", "resnet20")
LAST_MAP = 4
"""Pixels of the last map, at least."""
PLAN = "precision=float32,threads=1,workers=2,batch_size=128,channels_last=true"
SEARCH = ("--rungs", "1,2", "--resolution", "16", "--finalists", "0", "--plan", PLAN)


def main() -> None:
    """Search twice, retrain all, print and keep the table of each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--cap", type=int, default=60_000, help="parameters, with the classes of the data")
    parser.add_argument("--macs", default="3M", help="cap on MACs of the second search")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args()
    for text in given.data:
        kind = DataSpec.parse(text).kind
        found = compared(text, f"retrained_{kind}", given) | {"environment": environment()}
        content = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
        write_whole(RESULT, json.dumps(content | {kind: found}, indent=1) + "\n")


def compared(data: str, study: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the table of one data set, best first."""
    common = ["--data", data, "--results", str(given.results)]
    asked = [*common, "--trials", str(given.trials), *SEARCH]
    run("search", "--study", study, "--space", "cifar", "--target", "data", "--cap", str(given.cap), *asked)
    folder, frugal = given.results / study, f"{study}_{given.macs}"
    run("search", "--study", frugal, "--space", str(with_macs(given, target(data))), *asked)
    networks = {
        "the search's winner": winner(folder, study),
        f"the winner within {given.macs} MACs": winner(given.results / frugal, frugal),
        **scaled(data, given.cap),
    }
    label = f"tiny{given.epochs}"
    how = ["--recipe", "tiny", "--set", f"epochs={given.epochs}", "--set", "batch_size=128", "--as", label]
    for name, network in networks.items():
        file = folder / f"{name.replace(' ', '_')}.json"
        write_whole(file, network.model_dump_json() + "\n")
        run("retrain", study, *common, "--arch", str(file), *how, "--seeds", str(given.seeds), "--device", "cpu")
    how_many = {name: getattr(given, name) for name in ("cap", "macs", "trials", "epochs")}
    return {"data": data.split(":")[0], **how_many, "rows": rows(networks, folder, data, given.cap)}


def with_macs(given: argparse.Namespace, task: Task) -> Path:
    """Write the space `cifar` with a cap on MACs, counted on the data as they are retrained on; return its file.

    `--target data` would count them at the side of the search's images.
    """
    name, stages = (spaces_folder() / "cifar.toml").read_text().split("[target]")
    caps = f'[target]\ndataset = "data"\ncap = {given.cap}\nmacs = "{given.macs}"\n'
    on = f"num_classes = {task.num_classes}\nin_channels = {task.in_channels}\nresolution = {task.resolution}\n"
    file = given.results / f"cifar_{given.macs}.toml"
    write_whole(file, name + caps + on + stages[stages.index("\n[") :])
    return file


def winner(folder: Path, study: str) -> Architecture:
    """Return the network that measured best."""
    best = Study.open(open_storage(sqlite_url(StudyFolder(folder).database)), study).view().best
    if best is None:
        raise SystemExit(f"{study}: no trial was measured")
    return best.network


def scaled(data: str, cap: int) -> dict[str, Architecture]:
    """Return NoDepth and the references, in the size that fills the cap at the side and the classes of the data."""
    task = target(data)
    return {name: scale(fewer_strides(name, task), task, Budget(params=cap), by="width") for name in COMPARED}


def target(data: str) -> Task:
    """Return the task that the data pose."""
    return data_task(load_dataset(DataSpec.parse(data), seed=0))


def fewer_strides(name: str, task: Task) -> Architecture:
    """Return a reference whose last map has `LAST_MAP` pixels or more: later strides are left out first."""
    network = reference(name).architecture
    stages = list(network.stages)
    for at in reversed(range(len(stages))):
        if task.resolution // (network.stem.stride * prod(stage.stride for stage in stages)) >= LAST_MAP:
            break
        stages[at] = stages[at].model_copy(update={"stride": 1})
    return network.model_copy(update={"stages": tuple(stages)})


def rows(networks: dict[str, Architecture], folder: Path, data: str, cap: int) -> list[dict[str, Any]]:
    """Return a row for each network: what it costs, and its test accuracy over the seeds, percent."""
    found, task = retrained(folder), target(data)
    means, made = accuracies(found), []
    for name, network in networks.items():
        cost, mean = audit(network, task, Budget(params=cap)), means[network.arch_id]
        own = [100 * each.top1 for each in found[network.arch_id]]
        margin = None if mean.margin is None else 100 * mean.margin
        made.append(
            {"network": name, "params": cost.params, "macs": cost.macs, "test accuracy by seed": own}
            | {"mean": 100 * mean.mean, "margin": margin, "words": network.words()}
        )
        print(f"{name:27} {cost.params:7,} params {cost.macs / 1e6:5.1f}M  {mean.words}", flush=True)
    return sorted(made, key=lambda row: -row["mean"])


def run(*arguments: str) -> None:
    """Run a command of nas."""
    subprocess.run([sys.executable, "-m", "nas", *arguments], check=True)


if __name__ == "__main__":
    main()
