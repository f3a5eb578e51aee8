"""What a worker does: the search until nothing is left of it, then the finalists."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from statistics import fmean

from nas.architecture import Architecture
from nas.search.confirm import confirm, confirmation
from nas.search.evaluator import Evaluator
from nas.search.loop import Event, run
from nas.search.study import Study

MOST_KEPT = 0.25
"""Share of a study's hours that may be kept for its finalists."""


def complete(
    studies: Sequence[Study],
    evaluate: Evaluator,
    accept: Callable[[Architecture], object],
    on_event: Callable[[Event], None] = lambda _: None,
) -> None:
    """Work on a study until nothing is left: in this thread or, given several objects of it, in one thread for each.

    The threads share the evaluator, and so its device, and call `on_event` one at a time. The first that fails, or
    Ctrl-C, ends all of them after the epoch they are in; their jobs are left to the next process.
    """
    if len(studies) == 1:
        _complete(studies[0], evaluate, accept, on_event, lambda: False)
        return
    stopped, one_at_a_time = threading.Event(), threading.Lock()

    def hear(event: Event) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        with one_at_a_time:
            on_event(event)

    with ThreadPoolExecutor(len(studies)) as pool:
        try:
            jobs = [pool.submit(_complete, study, evaluate, accept, hear, stopped.is_set) for study in studies]
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()
    for each in done:
        each.result()


def is_complete(study: Study) -> bool:
    """Return whether nothing is left to train of a study, hours or none."""
    config = study.config
    return study.is_done and not (
        config.finalists and confirmation(study, config.finalists, config.finalist_seeds).left()
    )


def _complete(
    study: Study,
    evaluate: Evaluator,
    accept: Callable[[Architecture], object],
    on_event: Callable[[Event], None],
    is_stopped: Callable[[], bool],
) -> None:
    config = study.config
    run(study, evaluate, accept, on_event, is_over=lambda: is_stopped() or _is_over(study))
    if config.finalists:
        confirm(
            study,
            evaluate,
            accept,
            on_event,
            top=config.finalists,
            seeds=config.finalist_seeds,
            time_is_up=lambda: is_stopped() or _hours_left(study, study.max_hours) <= 0,
        )


def _is_over(study: Study) -> bool:
    """Return whether the search is: its hours are used, but for those that are kept for its finalists."""
    hours = study.max_hours
    return hours is not None and _hours_left(study, hours) <= _hours_kept(study, hours)


def _hours_left(study: Study, max_hours: float | None) -> float:
    return math.inf if max_hours is None else max_hours - study.hours()


def _hours_kept(study: Study, max_hours: float) -> float:
    """Return the hours that the search leaves to its finalists: what their trainings will take, but a part at most."""
    config = study.config
    reached = [each.own for each in study.records() if len(each.own) == len(config.fidelities)]
    longest = fmean(sum(made.train_seconds for made in own) for own in reached) / 3600 if reached else 0.0
    at_once = config.plan.workers * config.plan.trials_per_device
    return min(config.finalists * (config.finalist_seeds - 1) * longest / at_once, MOST_KEPT * max_hours)
