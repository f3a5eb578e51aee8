"""`nas search`: prepare, run with progress, show the front."""

from __future__ import annotations

import sys

from nas.cli.output import count, print_front, print_json
from nas.cli.progress import Display
from nas.errors import NasError
from nas.report.front_page import write_front_page
from nas.report.tables import rows
from nas.search.loop import run
from nas.search.request import SearchRequest
from nas.search.setup import Prepared, prepare
from nas.search.storage import shown


def search_command(request: SearchRequest, *, as_json: bool) -> None:
    """Run a search to its end, or to Ctrl-C; either way the study is whole."""
    study = None
    try:
        prepared = prepare(request, _say if sys.stderr.isatty() else lambda _: None)
        study = prepared.study
        _say_plan(prepared)
        with Display(study) as display:
            run(study, prepared.evaluator, prepared.accept, display)
        if display.exhausted:
            _say(f"ended early: {display.exhausted}")
        _present(prepared, request, as_json=as_json)
    except KeyboardInterrupt:
        done = sum(1 for record in study.records() if record.measurements) if study else 0
        total = f" of {study.n_trials}" if study else ""
        _say(f"stopped; {done}{total} trials are in the study. The same command goes on from here.")
        raise


def _present(prepared: Prepared, request: SearchRequest, *, as_json: bool) -> None:
    view = prepared.study.view()
    write_front_page(prepared.folder.front_page, view, notes=view.trust_lines)
    if as_json:
        print_json(rows([*view.front, *view.references], view))
        return
    if not view.front:
        raise NasError(f"study {view.config.name}: no trial could be evaluated; see `nas status {view.config.name}`")
    print_front(view, title=f"front of study {view.config.name}")
    best = view.best.number if view.best else view.front[0].number
    where = "" if str(request.results) == "results" else f" --results {request.results}"
    where += f" --storage {shown(request.storage)}" if request.storage else ""
    print(f"the front as a page: {prepared.folder.front_page}")
    print(f"next: nas show {view.config.name} {best}{where}   (the most accurate network)")
    print(f"      nas search --study {view.config.name} --trials {2 * prepared.study.n_trials}{where}   (search on)")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _say_plan(prepared: Prepared) -> None:
    """Tell the user, before anything runs, what the space and the cap mean and how training will run."""
    config, report = prepared.study.config, prepared.report
    cap = count(config.budget.params or 0)
    _say(
        f"space {config.space_name}: {report.size:,} networks, {report.feasible_share:.0%} of random ones fit under "
        f"{cap} parameters; smallest {count(report.smallest.params)}, largest {count(report.largest.params)}, "
        f"the classifier takes {report.classifier_share:.0%} of the cap ({config.target.num_classes} classes)"
    )
    if skipped := prepared.evaluator.data.skipped:
        _say(f"left out {skipped:,} images that cannot be read")
    if report.idle_genes:
        _say(f"genes that never matter: {', '.join(report.idle_genes)}")
    for tried, speed in prepared.plans.items():
        _say(f"  {speed:8,.0f} images/s  {tried}")
    plan = config.plan
    layout = "channels_last" if plan.channels_last else "contiguous"
    _say(f"training on {plan.device}: {plan.precision}, {layout}, {plan.threads} thread(s)")
    done = len(prepared.study.records())
    verb = f"going on with study {config.name} at trial {done}" if prepared.is_resumed else f"new study {config.name}"
    rungs = " -> ".join(f"{rung.epochs} epochs" for rung in config.fidelities)
    _say(f"{verb}: {prepared.study.n_trials} trials, {rungs}, objectives {', '.join(config.objectives)}")
