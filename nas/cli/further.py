"""What `nas fidelity` and `nas confirm` share: candidates of a study, trained from further seeds within a time."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from nas.cli.compare import Progress
from nas.cli.pages import write_front
from nas.cli.read import open_study
from nas.errors import InputError
from nas.search.compare import Comparison, compare
from nas.search.request import SearchRequest
from nas.search.setup import prepare
from nas.search.study import Study

UNITS = {"h": 3600, "m": 60, "s": 1}


def train_further(
    name: str,
    wanted: Callable[[Study], Iterable[Comparison]],
    results: Path,
    storage: str | None,
    *,
    seconds: float = math.inf,
) -> int:
    """Train what is `wanted` of a study, until the time is up; return how many trainings could not be done.

    The page of the study is written anew. Ctrl-C says how much is done, and what goes on from there.
    """
    open_study(name, results, storage)  # a wrong name costs no look at the images
    left = 0
    try:
        prepared = prepare(SearchRequest(results=results, storage=storage, study=name), say)
        ends = time.monotonic() + seconds
        for trainings in wanted(prepared.study):
            with Progress(trainings) as progress:
                compare(
                    trainings,
                    prepared.evaluator,
                    prepared.accept,
                    progress,
                    time_is_up=lambda: time.monotonic() >= ends,
                )
            left = trainings.left()
    except KeyboardInterrupt:
        say("stopped; what was trained is in the study. The same command goes on from here.")
        raise
    write_front(prepared.folder, prepared.study)
    return left if time.monotonic() < ends else 0


def seconds_of(budget: str) -> float:
    """Return the seconds of a time such as 1h, 30m or 90s; InputError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hms])", budget.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(f"--budget must be a time such as 1h, 30m or 90s, got {budget!r}")
    return float(found[1]) * UNITS[found[2]]


def say(message: str) -> None:
    """Print a line to stderr."""
    print(message, file=sys.stderr, flush=True)
