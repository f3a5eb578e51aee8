"""`nas fidelity`: the trust meter. How well does each score of the proxy order the networks of a study?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.cli.gate import interval_words, print_gate
from nas.cli.output import print_json, print_table
from nas.cli.read import open_networks
from nas.errors import NasError
from nas.report.candidates import fidelity_words
from nas.report.quantities import plural
from nas.report.trust_words import truth_words, weight_words
from nas.retrained import accuracies, retrained
from nas.search.study import Study
from nas.trust.correlation import FEWEST, Method
from nas.trust.gate import NETWORKS, SEEDS
from nas.trust.meter import trust
from nas.trust.retrained import retrained_trust
from nas.trust.rungs import RungTrust

RUNG_COLUMNS = ("rung", "epochs", "px", "of a full training", "networks", "accuracy", "mix", "accuracy, next rung's")


@dataclass(frozen=True)
class FidelityRequest:
    """What was asked for: how many networks, from how many seeds each, in which time, trained or only read.

    `gate` asks whether interference may decide instead, over networks of one size bin.
    """

    networks: int | None
    seeds: int | None
    budget: str | None
    gate: bool
    training: bool


def fidelity_command(name: str, request: FidelityRequest, results: Path, storage: str | None, *, as_json: bool) -> None:
    """Train what is missing, then show how each score orders the networks by final accuracy, and the rungs."""
    left = _train(name, request, results, storage) if request.training else 0
    study = open_networks(name, results, storage)
    if request.gate:
        print_gate(study, request.seeds or SEEDS, as_json=as_json)
    elif as_json:
        print_json(_content(study, _retrained_means(results / name)))
    else:
        _print(study)
        for each in retrained_trust(study.config, study.records(), _retrained_means(results / name)):
            print(each.words)
    if left:
        raise NasError(f"study {name}: {left} trainings are not done; see above")


def _train(name: str, request: FidelityRequest, results: Path, storage: str | None) -> int:
    """Train what is missing of the sample; return how many trainings could not be done."""
    from nas.cli.further import say, seconds_of, train_further  # here: training needs torch, reading does not
    from nas.search.compare import Comparison
    from nas.search.fidelity import further, repeats, sample, stratified

    seconds = math.inf if request.budget is None else seconds_of(request.budget)

    def wanted(study: Study) -> Iterator[Comparison]:
        if request.gate:
            count, seeds = request.networks or NETWORKS, request.seeds or SEEDS
            drawn = sample(study, count)
            if drawn.available < count:
                say(f"study {name}: {drawn.available} of {count} networks in its fullest size bin")
            records, trainings = drawn.records, repeats(study, drawn.records, seeds)
        else:
            most, seeds = request.networks, request.seeds or 1
            most = most or (NETWORKS if request.budget is None else None)
            records = stratified(study, most, seconds / seeds)
            trainings = further(study, records, seeds)
        chosen = f"{plural(len(records), 'network')}, {plural(seeds, 'seed')} each at the top rung"
        say(f"{chosen}: {trainings.left()} to train")
        yield trainings

    return train_further(name, wanted, results, storage, seconds=seconds)


def _content(study: Study, means: Mapping[str, float]) -> dict[str, Any]:
    rungs = [rung.model_dump(mode="json") for rung in study.config.fidelities]
    records = study.records()
    retraining = [each.model_dump(mode="json") for each in retrained_trust(study.config, records, means)]
    return {
        "study": study.name,
        "fidelities": rungs,
        **trust(study.config, records).model_dump(mode="json"),
        "retrained": retraining,
    }


def _retrained_means(folder: Path) -> dict[str, float]:
    """Return the accuracies of retrained networks, by `arch_id`."""
    return {arch_id: each.mean for arch_id, each in accuracies(retrained(folder)).items()}


def _print(study: Study) -> None:
    found = trust(study.config, study.records())
    print(f"study {study.name}: {truth_words(found)}")
    if found.networks < FEWEST:
        print(f"a rank correlation takes {FEWEST} networks")
        return
    proxy = fidelity_words(study.config.fidelities[0])
    names: dict[Method, str] = {"kendall": "Kendall's tau", "spearman": "Spearman's correlation"}
    for method, title in names.items():
        rows = [
            [each.name, *(interval_words(getattr(among, method)) for among in (each.overall, each.in_bins, each.top))]
            for each in found.scores
        ]
        columns = ["score", "overall", "inside size bins", "top fifth"]
        print_table(columns, rows, title=f"{title} of each score after {proxy}; positive ranks rightly")
    print(f"mix: {weight_words(found)}")
    if found.rungs:
        print_table(RUNG_COLUMNS, map(_rung, found.rungs), title="Kendall's tau of each rung with the final accuracy")
    print(found.advice)


def _rung(each: RungTrust) -> list[object]:
    order = map(interval_words, (each.accuracy, each.mixed, each.beside))
    return [
        each.rung,
        each.fidelity.epochs,
        each.fidelity.resolution,
        f"{100 * each.cost:.1f} %",
        each.networks,
        *order,
    ]
