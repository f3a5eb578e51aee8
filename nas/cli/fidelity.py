"""`nas fidelity`: how well do the scores of a study's proxy training order its networks, and which may decide?"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nas.cli.output import print_json, print_table
from nas.cli.read import open_study
from nas.errors import NasError
from nas.records import StudyConfig
from nas.report.quantities import plural
from nas.search.study import Study
from nas.trust.composite import NAME, Composite
from nas.trust.correlation import Correlation
from nas.trust.gate import Verdict, verdicts
from nas.trust.networks import networks, proxy_trainings
from nas.trust.scores import Faithfulness, faithfulness


@dataclass(frozen=True)
class FidelityRequest:
    """What was asked for: how many networks of one size bin, from how many seeds each, trained or only read."""

    networks: int
    seeds: int
    training: bool


def fidelity_command(name: str, request: FidelityRequest, results: Path, storage: str | None, *, as_json: bool) -> None:
    """Train what is missing, then show how each score is correlated with final accuracy, and the verdicts."""
    left = _train(name, request, results, storage) if request.training else 0
    answer = _Answer.of(open_study(name, results, storage), request.seeds)
    if as_json:
        print_json(_content(answer))
    else:
        _print(answer)
    if left:
        raise NasError(f"study {name}: {left} trainings are not done; see above")


@dataclass(frozen=True)
class _Answer:
    """What a study says about its scores."""

    config: StudyConfig
    table: Faithfulness
    composite: Composite
    verdicts: tuple[Verdict, ...]

    @classmethod
    def of(cls, study: Study, seeds: int) -> Self:
        config, records = study.config, study.records()
        table = faithfulness(networks(config, records), seeds=seeds, seed=config.seed)
        metrics = tuple(dict.fromkeys((NAME, *(each.metric for each in verdicts(config, ())))))
        composite = Composite.fitted(proxy_trainings(config, records))
        return cls(config, table, composite, verdicts(config, records, metrics))


def _train(name: str, request: FidelityRequest, results: Path, storage: str | None) -> int:
    """Train what is missing of the sample; return how many trainings could not be done."""
    from nas.cli.compare import Progress  # here: training needs torch, reading does not
    from nas.report.front_page import write_front_page
    from nas.search.compare import compare
    from nas.search.fidelity import repeats, sample
    from nas.search.request import SearchRequest
    from nas.search.setup import prepare

    trainings = None
    try:
        drawn = sample(open_study(name, results, storage), request.networks)
        if drawn.available < request.networks:
            _say(f"study {name}: {drawn.available} of {request.networks} networks in its fullest size bin")
        prepared = prepare(SearchRequest(results=results, storage=storage, study=name))
        trainings = repeats(prepared.study, drawn.records, request.seeds)
        chosen, seeds = plural(len(drawn.records), "network"), plural(request.seeds, "seed")
        _say(f"{chosen}, {seeds} each at the top rung: {trainings.left()} to train")
        with Progress(trainings) as progress:
            compare(trainings, prepared.evaluator, prepared.accept, progress)
    except KeyboardInterrupt:
        done = f"{trainings.total - trainings.left()} of {trainings.total}" if trainings else "no"
        _say(f"stopped; {done} trainings are in the study. The same command goes on from here.")
        raise
    view = prepared.study.view()
    write_front_page(prepared.folder.front_page, view, notes=view.trust_lines)
    return trainings.left()


def _content(answer: _Answer) -> dict[str, object]:
    return {
        "study": answer.config.name,
        "fidelities": [rung.model_dump(mode="json") for rung in answer.config.fidelities],
        **answer.table.model_dump(mode="json"),
        "composite": answer.composite.words,
        "verdicts": [{**each.model_dump(mode="json"), "words": each.words} for each in answer.verdicts],
    }


def _print(answer: _Answer) -> None:
    table, rungs = answer.table, answer.config.fidelities
    rows = [[each.name, *map(_words, (each.overall, each.in_bin, each.partial))] for each in table.scores]
    epochs = f"{rungs[0].epochs} epochs with accuracy after {rungs[-1].epochs}"
    title = f"study {answer.config.name}: rank correlation of each score after {epochs}, with its 95 % interval"
    print_table(["score", "overall", "in the size bin", "partial"], rows, title=title)
    sizes = " of {:,} to {:,} params".format(*table.sizes) if table.sizes else ""
    with_seeds = f"{table.in_bin}{sizes} with at least {plural(table.seeds, 'seed')}"
    print(f"overall: {plural(table.networks, 'network')}; in the size bin: {with_seeds}")
    print("partial: in the size bin, given log params, depth and proxy accuracy")
    print(f"{NAME}: {answer.composite.words}")
    for each in answer.verdicts:
        print(each.words)


def _words(found: Correlation | None) -> str:
    return "-" if found is None else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
