"""What predicts the accuracy, the robustness and the int8 loss of a small network: interference, or its size alone?

    python benchmarks/prediction.py train folder:PATH [--share 0/2]
    python benchmarks/prediction.py measure folder:PATH [--share 0/2]
    python benchmarks/prediction.py report

66 members of `paper_cast` in three size bins, 22 each, families and norms as even as that allows; drawn with a seed,
counted with 10 classes.

`train`: every network that has no file yet, in full and, with a seed of its own, for one epoch (a search's proxy); both
annealed to zero. One JSON file for each network under `benchmarks/results/prediction/trained/`, its weights under
`results/prediction/` (git-ignored). `--share i/n` takes every n-th network, for n processes.

`measure`: every trained network without a file under `measured/`: each interference metric at initialisation, after the
proxy and after full training, the accuracy under each corruption, in int8, and in 4 bits, since 8 cost next to nothing.
It reads the weights, so that it can be repeated with other metrics: delete its files.

`report`: each metric's rank correlation with final accuracy, and with the share of it that corruptions and rounding
cost: plain; given size (params, MACs, depth); given more (also the proxy's accuracy; for a share lost, the clean
accuracy); given size among the networks with batch norm, which a short training favours; and inside each size bin.
`report.json` has them all, with 95 % bootstrap intervals.

One training of each network, no second seed: the noise of a training lowers every correlation, and of some 35 metrics
one or two leave out zero by chance.

Accuracy is of the validation split; the test split is not read.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from statistics import fmean
from typing import Any

from safetensors.torch import load_file, save_file

from nas.architecture import Architecture, Task
from nas.audit import audit
from nas.budget import Budget
from nas.data.images import Dataset, Images, resize
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import fixed_batch
from nas.errors import InputError
from nas.feasibility import genotype_cost
from nas.interference import measure
from nas.network.build import Network, build
from nas.records import Fidelity, Plan
from nas.results import environment, write_whole
from nas.space import GeneValue, SearchSpace
from nas.space_file import load_space
from nas.training.loop import Normaliser, Training, evaluate, train
from nas.training.quantise import int8_accuracy, quantised
from nas.training.recipe import default_recipe
from nas.training.robustness import robustness
from nas.trust.composite import Composite
from nas.trust.correlation import bootstrap_interval
from nas.trust.measured import Measured
from nas.value import FrozenMap, derive_seed, digest

RESULTS = Path(__file__).parent / "results" / "prediction"
WEIGHTS = Path("results") / "prediction"
ENVIRONMENT = environment()
SCRIPT = digest(Path(__file__).read_text(encoding="utf-8"))
"""Both taken when the process starts: the clone may move on while it trains."""

CLASSES, CHANNELS, RESOLUTION = 10, 3, 32
VALIDATION_FRACTION = 0.1
TRAIN_IMAGES, TRAIN_RESOLUTION, EPOCHS, PROXY_EPOCHS = 7_000, 16, 4, 1
BATCH_SIZE = 64
"""Half of the recipe's own: with so few images, steps are what is scarce."""
PLAN = Plan(channels_last=True)

BINS = {"30k": (30_000, 60_000), "60k": (60_000, 120_000), "120k": (120_000, 240_000)}
"""Parameters: at least the first, below the second."""
BIN_MEMBERS = 22
DRAWS = 20_000
"""Most genotypes that are drawn for one member; one in a few hundred `residual` ones is as small as the first bin."""
SEED = 0

VALIDATION_IMAGES, BATCH_IMAGES = 2_000, 256
"""What robustness and int8 are measured on; the train images for interference, and for the ranges of int8."""
PROXY_ACCURACY, CLEAN_ACCURACY = "proxy_val_accuracy", "clean_accuracy"
SIZE, BATCH_NORM = ("params", "macs", "depth"), "batch norm"
STATES = ("init", "proxy", "final")


@dataclass(frozen=True)
class Member:
    """One network of the benchmark."""

    name: str
    size: str
    genotype: dict[str, GeneValue]
    architecture: Architecture

    @property
    def family(self) -> str:
        return str(self.genotype["network.block"])

    @property
    def depth(self) -> int:
        return sum(len(stage.blocks) for stage in self.architecture.stages)

    def build(self, purpose: str) -> Network:
        """Return the untrained network, with the weights that the training of that purpose starts from."""
        return build(self.architecture, TRAINED_AS, seed=self.seed(purpose))

    def seed(self, purpose: str) -> int:
        return derive_seed(SEED, self.name, purpose)

    def weights(self, purpose: str) -> Path:
        return WEIGHTS / f"{self.name}-{purpose}.safetensors"


TRAINED_AS = Task(num_classes=CLASSES, in_channels=CHANNELS, resolution=TRAIN_RESOLUTION)
"""Multiply-accumulates are counted at this resolution as well; parameters are the same at any."""
FIDELITIES = {"final": EPOCHS, "proxy": PROXY_EPOCHS}


def space() -> SearchSpace:
    """Return `paper_cast` for ten classes of small images."""
    loaded = load_space("paper_cast")
    target = {"dataset": "cifar10", "num_classes": CLASSES, "in_channels": CHANNELS, "resolution": RESOLUTION}
    return replace(loaded, target=loaded.target.model_copy(update=target))


def members() -> list[Member]:
    """Return all networks, no two alike, so that any first part of them is spread over bins, families and norms."""
    cast = space()
    values = {gene.name: gene.values for gene in cast.genes}
    families, norms = values["network.block"], values["network.norm"]
    found: dict[str, Member] = {}
    for i in range(BIN_MEMBERS):
        for at, size in enumerate(BINS):
            fixed = {"network.block": families[(i + at) % len(families)], "network.norm": norms[i % len(norms)]}
            member = drawn(cast, size, fixed, name=f"{size}-{i:02}-{fixed['network.block']}", taken=found)
            found[member.architecture.arch_id] = member
    return list(found.values())


def drawn(cast: SearchSpace, size: str, fixed: dict[str, GeneValue], *, name: str, taken: dict[str, Member]) -> Member:
    """Return the first random member with the `fixed` genes that is of this size and not `taken`."""
    rng = random.Random(derive_seed(SEED, name, "member"))
    low, high = BINS[size]
    for _ in range(DRAWS):
        genotype = cast.canonical({gene.name: rng.choice(gene.values) for gene in cast.genes} | fixed)
        if low <= genotype_cost(cast, genotype).params < high:
            architecture = cast.decode(genotype)
            if architecture.arch_id not in taken:
                return Member(name, size, genotype, architecture)
    raise SystemExit(f"{name}: none of {DRAWS} random members has {low} to {high} parameters")


def trained(member: Member, data: Dataset) -> dict[str, Any]:
    """Train one network in full and as a proxy, keep both weights, and return what goes into its file."""
    counted = audit(member.architecture, TRAINED_AS, Budget(params=BINS[member.size][1]))
    trainings = {purpose: train_as(member, purpose, data) for purpose in FIDELITIES}
    return {
        "git_commit": ENVIRONMENT["git_commit"],
        "script": SCRIPT,
        "size": member.size,
        "family": member.family,
        "genotype": member.genotype,
        "words": member.architecture.words(),
        "params": counted.params,
        "macs": counted.macs,
        "depth": member.depth,
        **{purpose: outcome(training) for purpose, training in trainings.items()},
    }


def train_as(member: Member, purpose: str, data: Dataset) -> Training:
    """Train one network for one purpose and keep its weights."""
    fraction = min(1.0, TRAIN_IMAGES / len(data.train))
    fidelity = Fidelity(epochs=FIDELITIES[purpose], train_fraction=fraction, resolution=TRAIN_RESOLUTION)
    recipe = default_recipe(data).model_copy(update={"batch_size": BATCH_SIZE})
    training = train(member.build(purpose), data, recipe, fidelity, PLAN, seed=member.seed(purpose))
    path = member.weights(purpose)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in training.network.state_dict().items()}, path)
    return training


def outcome(training: Training) -> dict[str, Any]:
    last = training.epochs[-1] if training.epochs else None
    return {
        "diverged": training.diverged,
        "train_seconds": round(training.seconds, 1),
        "train_loss": last and last.train_loss,
        "val_loss": last and last.val_loss,
        "val_accuracy": last and last.val_accuracy,
    }


def missing(part: str, share: str) -> Iterator[tuple[Member, Path]]:
    """Yield every n-th network that this part has no file of, with the path of that file."""
    index, _, count = share.partition("/")
    folder = RESULTS / part
    folder.mkdir(parents=True, exist_ok=True)
    for member in members()[int(index) :: int(count)]:
        path = folder / f"{member.name}.json"
        if not path.is_file():
            yield member, path


def train_share(spec: str, share: str) -> None:
    data = read(spec)
    for member, path in missing("trained", share):
        content = trained(member, data)
        write_whole(path, json.dumps(content, indent=1) + "\n")
        print(member.name, *(content[purpose]["val_accuracy"] for purpose in FIDELITIES), flush=True)


def measured(member: Member, data: Dataset) -> dict[str, Any]:
    """Return what is measured of the weights of one trained network."""
    normaliser = Normaliser(data.mean, data.std)
    batch = resize(fixed_batch(data.train, BATCH_IMAGES, seed=0), TRAIN_RESOLUTION)
    images = resize(fixed_batch(data.validation, VALIDATION_IMAGES, seed=0), TRAIN_RESOLUTION)
    networks = {"init": member.build("final")} | {purpose: loaded(member, purpose) for purpose in FIDELITIES}
    final = networks["final"]
    return {
        "git_commit": ENVIRONMENT["git_commit"],
        "script": SCRIPT,
        "interference": {state: interference(networks[state], batch, normaliser, state) for state in STATES},
        CLEAN_ACCURACY: evaluate(final, images, normaliser, PLAN)[1],
        "corrupted_accuracy": robustness(final, images, normaliser, PLAN, seed=SEED),
        "rounded_accuracy": {
            "int8": int8_accuracy(final, batch, images, normaliser, PLAN),
            "int4": evaluate(quantised(final, batch, normaliser, PLAN, bits=4), images, normaliser, PLAN)[1],
        },
    }


def loaded(member: Member, purpose: str) -> Network:
    network = member.build(purpose)
    network.load_state_dict(load_file(member.weights(purpose)))
    return network


def interference(network: Network, batch: Images, normaliser: Normaliser, state: str) -> dict[str, float]:
    """Return the metrics that can be measured; a network without a 1x1 map has hardly any."""
    images, is_trained = normaliser(batch.pixels), state != "init"
    try:
        return measure(network, images, batch.labels, blocks=network.block_names, trained=is_trained).metrics()
    except InputError as error:
        print(f"  not measured at {state}: {error}", flush=True)
        return {}


def measure_share(spec: str, share: str) -> None:
    data = read(spec)
    for member, path in missing("measured", share):
        if (RESULTS / "trained" / path.name).is_file():
            content = measured(member, data)
            write_whole(path, json.dumps(content, indent=1) + "\n")
            print(f"{member.name}: {content['interference']['final']}", flush=True)


def read(spec: str) -> Dataset:
    return load_dataset(DataSpec.parse(spec), seed=0, validation_fraction=VALIDATION_FRACTION)


Columns = dict[str, list[float]]
"""One number for each network, by name; NaN where it could not be measured."""


def report() -> None:
    """Print the tables, and write every correlation with its interval."""
    rows, columns = collected()
    if not rows:
        raise SystemExit(f"{RESULTS / 'measured'}: no measured network; run `train` and `measure` first")
    targets = ["val_accuracy", *(name for name in columns if name.startswith("drop_"))]
    predictors = [name for name in columns if name not in targets]
    parts = {size: [row["size"] == size for row in rows] for size in BINS}
    parts[BATCH_NORM] = [row["genotype"]["network.norm"] == "batch" for row in rows]
    cells = {target: {name: correlations(columns, target, name, parts) for name in predictors} for target in targets}
    del cells["val_accuracy"][CLEAN_ACCURACY]  # the same accuracy, of fewer images
    print(f"{len(rows)} networks; * where the 95 % interval leaves out zero")
    print_table("with final accuracy", cells["val_accuracy"])
    for view in ("plain", "given size", "given more", BATCH_NORM):
        drops = {name: {target: cells[target][name][view] for target in targets[1:]} for name in predictors}
        print_table(f"with the share of accuracy lost, {view}", drops)
    summary = {
        "training_commits": sorted({row["git_commit"] for row in rows}),
        "networks": len(rows),
        "train_images": TRAIN_IMAGES,
        "epochs": FIDELITIES,
        "resolution": TRAIN_RESOLUTION,
        "environment": ENVIRONMENT,
        "correlations": cells,
    }
    write_whole(RESULTS / "report.json", json.dumps(summary, indent=1) + "\n")


def collected() -> tuple[list[dict[str, Any]], Columns]:
    """Return the files of the networks that were trained and measured, and their numbers as columns."""
    rows: list[dict[str, Any]] = []
    for path in sorted((RESULTS / "measured").glob("*.json")):
        row = json.loads((RESULTS / "trained" / path.name).read_text()) | {"measured": json.loads(path.read_text())}
        if not row["final"]["diverged"] and not row["proxy"]["diverged"]:
            rows.append(row)
    numbers = [numbers_of(row) for row in rows]
    names = dict.fromkeys(name for each in numbers for name in each)
    columns = {name: [each.get(name, math.nan) for each in numbers] for name in names}
    return rows, columns | {f"refitted_{state}": refitted(rows, state) for state in STATES}


def numbers_of(row: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of one network: what may predict, and what is to be predicted."""
    found = row["measured"]
    clean = found[CLEAN_ACCURACY]
    drops, rounded = (
        {f"drop_{name}": 1 - accuracy / clean for name, accuracy in found[part].items()}
        for part in ("corrupted_accuracy", "rounded_accuracy")
    )
    return {
        **{name: row[name] for name in SIZE},
        **{f"proxy_{name}": row["proxy"][name] for name in ("val_accuracy", "val_loss", "train_loss")},
        **{f"{name}_{state}": value for state in STATES for name, value in found["interference"][state].items()},
        "val_accuracy": row["final"]["val_accuracy"],
        CLEAN_ACCURACY: clean,
        **drops,
        "drop_mean": fmean(drops.values()),
        **rounded,
    }


def refitted(rows: list[dict[str, Any]], state: str) -> list[float]:
    """Return the composite that a study would refit on these networks, from their metrics in one state."""
    networks = []
    for i, row in enumerate(rows):
        metrics = row["measured"]["interference"][state] | {"val_loss": row["proxy"]["val_loss"]}
        networks.append(Measured(i, row["params"], row["depth"], FrozenMap(metrics)))
    composite = Composite.fitted(networks)
    return [math.nan if (value := composite.value(each)) is None else value for each in networks]


def correlations(columns: Columns, target: str, predictor: str, parts: dict[str, list[bool]]) -> dict[str, Any]:
    """Return all correlations of one predictor with one target; nothing is a control of itself."""
    more = PROXY_ACCURACY if target == "val_accuracy" else CLEAN_ACCURACY
    size = [columns[name] for name in SIZE if name != predictor]
    both = size if predictor == more else [*size, columns[more]]
    x, y = columns[predictor], columns[target]
    batch_x, batch_y, *batch_size = within(parts[BATCH_NORM], x, y, *size)
    found = {
        "plain": bootstrap_interval(x, y),
        "given size": bootstrap_interval(x, y, size),
        "given more": bootstrap_interval(x, y, both),
        BATCH_NORM: bootstrap_interval(batch_x, batch_y, batch_size),
        **{name: bootstrap_interval(*within(parts[name], x, y)) for name in BINS},
    }
    return {view: each and each.model_dump() for view, each in found.items()}


def within(part: list[bool], *columns: list[float]) -> list[list[float]]:
    """Return the columns of the networks that are in the part."""
    return [list(compress(column, part)) for column in columns]


def print_table(title: str, rows: dict[str, dict[str, Any]]) -> None:
    heads = [name.removeprefix("drop_") for name in next(iter(rows.values()))]
    print(f"\nSpearman, {title}\n{'':28}" + "".join(f"{head:>15}" for head in heads))
    for name, cells in rows.items():
        print(f"{name:28}" + "".join(f"{shown(cell):>15}" for cell in cells.values()))


def shown(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "-  "
    return f"{cell['value']:+.2f}" + (" *" if cell["low"] > 0 or cell["high"] < 0 else "  ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    steps = {"train": train_share, "measure": measure_share}
    for name in steps:
        part = parts.add_parser(name)
        part.add_argument("data", help="such as folder:PATH")
        part.add_argument("--share", default="0/1", metavar="I/N")
    parts.add_parser("report")
    arguments = parser.parse_args()
    if arguments.part == "report":
        report()
    else:
        steps[arguments.part](arguments.data, arguments.share)


if __name__ == "__main__":
    main()
