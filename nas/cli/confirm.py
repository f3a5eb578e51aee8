"""`nas confirm`: finalists trained from further seeds, so that the front shows means and what is tied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nas.cli.further import say, train_further
from nas.cli.output import print_front, print_json
from nas.cli.read import open_study
from nas.errors import NasError
from nas.report.quantities import plural
from nas.report.tables import rows
from nas.search.compare import Comparison
from nas.search.confirm import rounds
from nas.search.study import Study


def confirm_command(name: str, top: int, seeds: int, results: Path, storage: str | None, *, as_json: bool) -> None:
    """Train the finalists until each has so many seeds, then show the front."""

    def wanted(study: Study) -> Iterator[Comparison]:
        for trainings in rounds(study, top, seeds):
            say(f"up to {plural(top, 'finalist')}, {plural(seeds, 'seed')} each: {trainings.left()} to train")
            yield trainings

    left = train_further(name, wanted, results, storage)
    view = open_study(name, results, storage).view()
    if as_json:
        print_json(rows(view.front, view))
    else:
        print_front(view, title=f"front of study {name}, means over seeds")
    if left:
        raise NasError(f"study {name}: {left} trainings are not done; see above")
