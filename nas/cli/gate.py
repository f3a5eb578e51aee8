"""`nas fidelity --gate`: may interference decide? Each score beside what size, depth and accuracy say anyway."""

from __future__ import annotations

from nas.cli.output import print_json, print_table
from nas.report.quantities import plural
from nas.search.study import Study
from nas.trust.composite import NAME, Composite
from nas.trust.correlation import Correlation
from nas.trust.gate import verdicts
from nas.trust.networks import networks, proxy_trainings
from nas.trust.scores import faithfulness


def print_gate(study: Study, seeds: int, *, as_json: bool) -> None:
    """Print how the scores are correlated with final accuracy, also given what is known anyway, and the verdicts."""
    config, records = study.config, study.records()
    table = faithfulness(networks(config, records), seeds=seeds, seed=config.seed)
    found = verdicts(config, records, tuple(dict.fromkeys((NAME, *(each.metric for each in verdicts(config, ()))))))
    composite, rungs = Composite.fitted(proxy_trainings(config, records)).words, config.fidelities
    if as_json:
        content = {
            "study": config.name,
            "fidelities": [rung.model_dump(mode="json") for rung in rungs],
            **table.model_dump(mode="json"),
            "composite": composite,
            "verdicts": [{**each.model_dump(mode="json"), "words": each.words} for each in found],
        }
        print_json(content)
        return
    rows = [[each.name, *map(interval_words, (each.overall, each.in_bin, each.partial))] for each in table.scores]
    epochs = f"{rungs[0].epochs} epochs with accuracy after {rungs[-1].epochs}"
    title = f"study {config.name}: rank correlation of each score after {epochs}, with its 95 % interval"
    print_table(["score", "overall", "in the size bin", "partial"], rows, title=title)
    sizes = " of {:,} to {:,} params".format(*table.sizes) if table.sizes else ""
    with_seeds = f"{table.in_bin}{sizes} with at least {plural(table.seeds, 'seed')}"
    print(f"overall: {plural(table.networks, 'network')}; in the size bin: {with_seeds}")
    print("partial: in the size bin, given log params, depth and proxy accuracy")
    print(f"{NAME}: {composite}")
    for each in found:
        print(each.words)


def interval_words(found: Correlation | None) -> str:
    """Return a correlation with its interval, a dash where there is none."""
    return "-" if found is None else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
