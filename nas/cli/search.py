"""`nas search`: prepare, run with progress, show the front."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nas.blocks.own import is_code_allowed
from nas.cli.baseline import baseline_rows, print_baselines, progress_words, write_baselines
from nas.cli.launch import Launch
from nas.cli.options import STORAGE_VARIABLE
from nas.cli.output import budget_words, count, print_front, print_json
from nas.cli.pages import write_front
from nas.cli.progress import Display
from nas.cli.read import proxy_lines
from nas.errors import NasError
from nas.records import Fidelity
from nas.report.quantities import plural
from nas.report.tables import rows
from nas.search.baselines import check_baselines, prepare_baselines
from nas.search.request import SearchRequest
from nas.search.setup import Prepared, prepare
from nas.search.storage import shown
from nas.search.worker import complete, is_complete
from nas.search.workers import Ended
from nas.training.plan import describe
from nas.training.recipe import effort_shares
from nas.view import StudyView

LOOKS_SHARE = 0.02
"""Of one core: what looking at the workers' progress may cost, if they are looked at often enough."""
LEAST_PAUSE, LONGEST_PAUSE = 0.5, 3.0
"""Seconds between two looks."""


def search_command(
    request: SearchRequest, baselines: Sequence[str] = (), launch: Launch | None = None, *, as_json: bool
) -> None:
    """Run a search, then its baselines, to their end or to Ctrl-C; either way the studies are whole."""
    begun: list[Prepared] = []
    launch = launch or Launch()
    try:
        check_baselines(request, baselines)
        here = launch.check(request)
        prepared = launch.led(prepare(here, _say, _say if sys.stderr.isatty() else lambda _: None), request)
        begun.append(prepared)
        begun += prepare_baselines(request, prepared, baselines, _say)
        _say_plan(prepared)
        _search(prepared, request, launch)
        for each in begun[1:]:
            _say(f"baseline {each.study.config.sampler}: study {each.study.name}, {each.study.n_trials} trials")
            _search(each, request, launch)
        _present(begun, request, as_json=as_json)
    except KeyboardInterrupt:
        how_far = progress_words(begun) if begun else "0 trials are in the study"
        _say(f"stopped; {how_far}. The same command goes on from here.")
        raise


def _search(prepared: Prepared, request: SearchRequest, launch: Launch) -> None:
    """Work on a study until nothing is left of it, and write its front as a page."""
    study, plan = prepared.study, prepared.plan
    with Display(study, plan.workers) as display:
        if is_complete(study):
            display.say(f"study {study.name}: nothing is left to train")
        elif plan.workers == 1 and launch.launcher is None:
            studies = prepared.studies(plan.trials_per_device)
            complete(studies, prepared.evaluator, prepared.accept, display)
        else:
            _lead(prepared, request, launch, display)
    if display.exhausted:
        _say(f"ended early: {display.exhausted}")
    if study.max_hours is not None and study.hours() >= study.max_hours:
        _say(f"ended: the study's {study.max_hours:g} hours are used; a higher --max-hours goes on")
    write_front(prepared.folder, study)


def _lead(prepared: Prepared, request: SearchRequest, launch: Launch, display: Display) -> None:
    """Start the workers and watch them to their end; NasError when every one of them died, and none in its place."""
    plan = prepared.plan
    dead: list[Ended] = []
    with launch.crew(prepared, request, _command(prepared, request)) as crew:
        if launch.launcher is not None:
            display.say(f"{plural(plan.workers, 'worker')} on {crew.place}; what they say is in {crew.log(1).parent}")
        while crew.is_working:
            started = time.monotonic()
            display.look()
            for each in crew.ended():
                if each.reason:
                    dead += [] if each.is_replaced else [each]
                    display.say(_died(each, crew.log(each.worker)))
            pause = (time.monotonic() - started) / LOOKS_SHARE
            time.sleep(min(max(pause, LEAST_PAUSE), LONGEST_PAUSE))
        display.look()
    prepared.study.refuse_stopped()
    if len(dead) == plan.workers:
        raise NasError(f"study {prepared.study.name}: all {plan.workers} workers died; the first: {dead[0].reason}")


def _died(ended: Ended, log: Path) -> str:
    then = "another one is started" if ended.is_replaced else "it is not started again"
    return f"worker {ended.worker} died: {ended.reason}; {then}; all it said is in {log}"


def _command(prepared: Prepared, request: SearchRequest) -> list[str]:
    """Return the command line of a worker, but for its device and, since everybody sees it, its database."""
    trials = prepared.plan.trials_per_device
    allow = ["--allow-code"] if is_code_allowed() else []
    results = str(request.results.resolve())
    disk = ["--checkpoint-disk", request.checkpoint_disk] if request.checkpoint_disk is not None else []
    return [*allow, "worker", prepared.study.name, "--results", results, "--trials-per-gpu", str(trials), *disk]


def _present(studies: Sequence[Prepared], request: SearchRequest, *, as_json: bool) -> None:
    """Print the front, and how the baselines did against it."""
    prepared = studies[0]
    view = prepared.study.view()
    beside = write_baselines(studies) if len(studies) > 1 else None
    if beside:
        write_front(prepared.folder, prepared.study)  # once more: there is now a page to lead to
    if as_json:
        front = rows([*view.front, *view.references], view)
        print_json({"front": front, "baselines": baseline_rows(beside)} if beside else front)
        return
    if not view.front:
        raise NasError(f"study {view.config.name}: no trial could be evaluated; see `nas status {view.config.name}`")
    _print_front(prepared, view, request)
    if beside:
        print_baselines(beside, prepared.folder.baselines_page)


def _print_front(prepared: Prepared, view: StudyView, request: SearchRequest) -> None:
    print_front(view, title=f"front of study {view.config.name}")
    for line in proxy_lines(prepared.study, view):
        print(line)
    best = view.best.number if view.best else view.front[0].number
    where = "" if str(request.results) == "results" else f" --results {request.results}"
    is_set = os.environ.get(STORAGE_VARIABLE) == request.storage
    where += f" --storage {shown(request.storage)}" if request.storage and not is_set else ""
    print(f"the front as a page: {prepared.folder.front_page}")
    print(f"next: nas show {view.config.name} {best}{where}   (the most accurate network)")
    more = 2 * (prepared.study.n_trials - len(prepared.study.taken_over))
    print(f"      nas search --study {view.config.name} --trials {more}{where}   (search on)")
    print(f"      nas fidelity {view.config.name}{where}   (how far the proxy can be trusted)")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _say_plan(prepared: Prepared) -> None:
    """Tell the user, before anything runs, what the space and the cap mean and how training will run."""
    config, report = prepared.study.config, prepared.report
    _say(
        f"space {config.space_name}: {report.size:,} networks, {report.feasible_share:.0%} of random ones fit under "
        f"{budget_words(config.budget)}; smallest {count(report.smallest.params)}, "
        f"largest {count(report.largest.params)}, "
        f"the classifier takes {report.classifier_share:.0%} of the cap ({config.target.num_classes} classes)"
    )
    if skipped := prepared.evaluator.data.skipped:
        _say(f"left out {skipped:,} images that cannot be read")
    if report.idle_genes:
        _say(f"genes that never matter: {', '.join(report.idle_genes)}")
    plan = prepared.plan
    if prepared.choice is None:
        _say(f"training on {describe(plan)}, as the study began")
    else:
        first, *reasons = prepared.choice.lines
        _say(f"training on {first}")
        for reason in reasons:
            _say(f"  {reason}")
    done = len(prepared.study.records())
    name = f"study {config.name}"
    verb = f"new {name}" if prepared.choice else f"going on with {name} at trial {done}"
    lowest = effort_shares(config.fidelities, config.reduction)[0]
    taken = len(prepared.study.taken_over)
    beside = f" beside {taken} taken over" if taken else ""
    for note in prepared.notes:
        _say(note)
    _say(f"{verb}: {prepared.study.n_trials - taken} trials{beside}, objectives {', '.join(config.objectives)}")
    _say(
        f"rungs: {' -> '.join(map(_rung, config.fidelities))}; one in {config.reduction} goes on, "
        f"so that the lowest takes {lowest:.0%} of the search"
    )
    if config.finalists:
        _say(f"then {plural(config.finalists, 'finalist')} again, from {plural(config.finalist_seeds, 'seed')} in all")
    if prepared.choice is not None:
        _say(f"expected: {prepared.estimate.words}")
    if (hours := prepared.study.max_hours) is not None:
        _say(f"it ends after {hours:g} hours, of which {prepared.study.hours():.2f} are used")
    if plan.workers > 1:
        _say(
            f"{plan.workers} workers: which trial learns of which depends on their timing; --workers 1 is reproducible"
        )


def _rung(fidelity: Fidelity) -> str:
    part = f" of {fidelity.train_fraction:.0%} of the images" if fidelity.train_fraction < 1 else ""
    return f"{plural(fidelity.epochs, 'epoch')} at {fidelity.resolution} px{part}"
