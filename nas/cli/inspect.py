"""`nas inspect`: how much one network interferes with itself, map by map and block by block, beside chance."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.cli.output import print_json, print_table, quantity
from nas.cli.subject import (
    Foreign,
    NetworkRequest,
    Subject,
    check,
    data_task,
    find,
    load_data,
    proxy_fidelity,
    say,
    training_plan,
)
from nas.data.augment import Normaliser
from nas.data.images import Dataset
from nas.data.split import fixed_batch
from nas.errors import InputError, NasError, unknown
from nas.interference import MEANING, NULLS, InterferenceReport, ProjectionReport, capture, measure, projection_gram
from nas.interference.report import OF_BLOCKS, OF_PROJECTIONS
from nas.network.build import Network, build
from nas.network.foreign import build_foreign, refusing
from nas.network.load import load_weights
from nas.training.loop import Progress, train
from nas.training.recipe import default_recipe

CLOSEST_PAIRS = 5
"""Pairs of features that are named for a projection that was asked for."""


@dataclass(frozen=True)
class InspectRequest:
    """What was asked for: a network, its weights or epochs to train it for, and how much of it to show."""

    subject: NetworkRequest
    weights: Path | None
    train: int | None
    images: int
    projection: str | None
    html: Path | None


@dataclass(frozen=True, eq=False)
class _Inspected:
    """A network that was looked at: what it is, the batch it was given, and what was measured."""

    facts: dict[str, object]
    network: nn.Module
    images: Tensor
    blocks: list[str] | None
    report: InterferenceReport

    def grams(self) -> dict[str, Tensor]:
        """Return the cosines between the features of each projection, by name, in the order of the report."""
        captured = capture(self.network, self.images, blocks=self.blocks)
        return {projection.name: projection_gram(projection) for projection in captured.projections}


def inspect_command(request: InspectRequest, *, as_json: bool) -> None:
    """Measure a network and print what was found; write the page when asked to."""
    if request.weights and request.train:
        raise InputError("--train and --weights exclude each other: weights from a file are measured as they are")
    try:
        found = _inspect(request)
    except KeyboardInterrupt:
        say("stopped; nothing was measured.")
        raise
    chosen = _chosen(found.report, request.projection)
    grams = found.grams() if request.html or chosen else {}
    if request.html:
        _write_page(request.html, found, grams, chosen)
    pairs = _closest_pairs(grams[chosen.name]) if chosen else []
    if as_json:
        print_json(_content(found, chosen, pairs))
        return
    _print(found)
    if chosen:
        _print_projection(chosen, pairs)
    if request.html:
        print(f"the page: {request.html}")


def _inspect(request: InspectRequest) -> _Inspected:
    subject = find(request.subject)
    spec, data = load_data(request.subject, subject)
    network = _build(subject, data, request.subject.seed)
    params = sum(parameter.numel() for parameter in network.parameters())
    weights = f"untrained (seed {request.subject.seed})"
    if request.weights:
        load_weights(network, request.weights)
        weights = str(request.weights)
    with _running(subject, data):
        if request.train:
            network, weights = _trained(subject, data, network, request)
        batch = fixed_batch(data.train, request.images, seed=request.subject.seed)
        images = Normaliser(data.mean, data.std)(batch.pixels)
        blocks = network.block_names if isinstance(network, Network) else None
        is_trained = bool(request.weights or request.train)
        seed = request.subject.seed
        report = measure(network, images, batch.labels, blocks=blocks, seed=seed, trained=is_trained)
    facts: dict[str, object] = {
        "network": subject.name,
        "architecture": subject.architecture.words() if isinstance(subject, Subject) else None,
        "params": params,
        "weights": weights,
        "data": str(spec),
        "images": len(batch),
        "in_channels": data.in_channels,
        "resolution": data.resolution,
        "num_classes": data.num_classes,
        "seed": seed,
    }
    return _Inspected(facts, network, images, blocks, report)


def _build(subject: Subject | Foreign, data: Dataset, seed: int) -> nn.Module:
    if isinstance(subject, Foreign):
        return build_foreign(subject.library, subject.network, data.num_classes, seed=seed)
    check(subject, data)
    return build(subject.architecture, data_task(data), seed=seed)


def _running(subject: Subject | Foreign, data: Dataset) -> AbstractContextManager[None]:
    return refusing(subject.name, data.resolution) if isinstance(subject, Foreign) else nullcontext()


def _trained(
    subject: Subject | Foreign, data: Dataset, network: nn.Module, request: InspectRequest
) -> tuple[nn.Module, str]:
    """Return the network after the epochs asked for, and in words what was done to it."""
    seed, fidelity = request.subject.seed, proxy_fidelity(subject, data, request.train)

    def tell(progress: Progress) -> None:
        say(f"epoch {progress.epoch}/{progress.epochs}, loss {progress.last.train_loss:.3f}")

    plan = training_plan(subject)
    training = train(network, data, default_recipe(data), fidelity, plan, seed=seed, on_epoch=tell)
    if training.diverged:
        raise NasError(f"{subject.name}: training diverged in epoch {len(training.epochs) + 1} of {fidelity.epochs}")
    accuracy = quantity("val_accuracy", training.epochs[-1].val_accuracy)
    epochs = f"{fidelity.epochs} epoch{'s' * (fidelity.epochs > 1)}"
    return training.network, f"trained here for {epochs} (seed {seed}): val accuracy {accuracy}"


def _words(facts: dict[str, object]) -> dict[str, str]:
    """Return the facts for people, by name."""
    side = facts["resolution"]
    batch = f"{facts['images']} train images at {facts['in_channels']}x{side}x{side}, {facts['num_classes']} classes"
    words = {"network": facts["network"], "architecture": facts["architecture"], "params": f"{facts['params']:,}"}
    words |= {"weights": facts["weights"], "data": f"{facts['data']}: {batch}", "seed": facts["seed"]}
    return {name: str(value) for name, value in words.items() if value is not None}


def _chosen(report: InterferenceReport, name: str | None) -> ProjectionReport | None:
    """Return the projection that was asked for."""
    if name is None:
        return None
    projections = {projection.name: projection for projection in report.projections}
    if name not in projections:
        raise InputError(f"--projection: {unknown('projection', name, projections)}")
    return projections[name]


def _closest_pairs(gram: Tensor) -> list[tuple[int, int, float]]:
    """Return the pairs of features with the largest absolute cosine, (i, j, cosine) with i < j."""
    upper = gram.triu(diagonal=1)
    places = upper.abs().flatten().topk(min(CLOSEST_PAIRS, len(gram) * (len(gram) - 1) // 2)).indices
    return [(i // len(gram), i % len(gram), upper.flatten()[i].item()) for i in places.tolist()]


def _write_page(path: Path, found: _Inspected, grams: dict[str, Tensor], chosen: ProjectionReport | None) -> None:
    from nas.report.interference_page import Inspection, write_interference_page

    cosines = {name: gram.numpy() for name, gram in grams.items()}
    inspection = Inspection(_words(found.facts), found.report, cosines)
    write_interference_page(path, inspection, chosen.name if chosen else None)


def _content(
    found: _Inspected, chosen: ProjectionReport | None, pairs: list[tuple[int, int, float]]
) -> dict[str, object]:
    report = found.report
    content = {
        **found.facts,
        "metrics": report.metrics(),
        "chance": {name: chance for name in report.metrics() if (chance := _chance(name, report)) is not None},
        "by_block": report.by_block(),
        "projections": [{**asdict(each), "packing_floor": each.packing_floor} for each in report.projections],
        "blocks": [asdict(each) for each in report.blocks],
    }
    if chosen:
        content |= {"projection": chosen.name, "closest_pairs": pairs}
    return content


def _chance(metric: str, report: InterferenceReport) -> float | None:
    return report.packing_floor if metric == "importance_weighted" else NULLS.get(metric)


def _print(found: _Inspected) -> None:
    report = found.report
    for name, words in _words(found.facts).items():
        print(f"{name:14}{words}")
    averages = [
        [_label(name), quantity(name, value), quantity(name, _chance(name, report)), MEANING[name]]
        for name, value in report.metrics().items()
    ]
    print_table(["mean over the network", "value", "chance", "what it says"], averages)
    places = report.by_block()
    names = [name for name in (*OF_PROJECTIONS, *OF_BLOCKS) if any(name in values for values in places.values())]
    rows = [[place, *(quantity(name, values.get(name)) for name in names)] for place, values in places.items()]
    print_table(["block", *map(_label, names)], rows)
    if report.projections:
        columns = ["projection", "outputs", "inputs", *map(_label, OF_PROJECTIONS), "packing floor", "dead"]
        print_table(columns, [_projection_row(each) for each in report.projections])


def _label(metric: str) -> str:
    return metric.replace("_", " ")


def _projection_row(each: ProjectionReport) -> list[object]:
    measured = (quantity(name, getattr(each, name)) for name in OF_PROJECTIONS)
    return [each.name, each.out_features, each.in_features, *measured, each.packing_floor, each.dead_channels]


def _print_projection(chosen: ProjectionReport, pairs: list[tuple[int, int, float]]) -> None:
    kind = "read by its rows" if chosen.expands else "written by its columns"
    dims, features = sorted((chosen.out_features, chosen.in_features))
    print(f"{chosen.name}: {features} features in {dims} dimensions, {kind}")
    if chosen.realised:
        values = torch.tensor(chosen.realised)
        low, middle, high = (quantity("interference", v.item()) for v in (values.min(), values.median(), values.max()))
        floor = quantity("interference", chosen.packing_floor)
        print(
            f"realised interference of its {len(values)} living features: {low} to {high}, median {middle}; "
            f"packing floor {floor}"
        )
    print_table(["feature", "and", "cosine"], pairs, title="the features that overlap most")
