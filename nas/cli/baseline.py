"""What `nas search --baseline` adds: the page of samplers side by side, and a line of result for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from nas.cli.output import print_table, quantity
from nas.report.candidates import fidelity_words
from nas.report.sampler_curves import SideBySide, side_by_side
from nas.report.sampler_page import write_sampler_page
from nas.search.curve import own_hours
from nas.search.setup import Prepared


def write_baselines(all_prepared: Sequence[Prepared]) -> SideBySide:
    """Write the page beside the search's front, and return what stands there; the search comes first."""
    studies = [(each.study.config.sampler, each.study.view()) for each in all_prepared]
    hours = {each.study.config.sampler: own_hours(each.study) for each in all_prepared}
    folder = all_prepared[0].folder
    write_sampler_page(folder.baselines_page, studies, hours=hours, front=folder.front_page.name)
    return side_by_side(studies, hours)


def print_baselines(found: SideBySide, page: object) -> None:
    """Print a line for each sampler: what it had found after as many trials as the others, and where the page is."""
    best, first = found.objective.name, found.courses[0].sampler
    at = f", measured at {fidelity_words(found.fidelity)}, one training each" if found.fidelity else ""
    rows = [
        [each.sampler, each.study, quantity(best, each.best), each.hypervolume, each.ratio] for each in found.standings
    ]
    columns = ["sampler", "study", f"best {best}", "hypervolume", f"relative to {first}"]
    print_table(columns, rows, title=f"samplers after {found.trials} trials{at}")
    print(f"the samplers side by side as a page: {page}")


def baseline_rows(found: SideBySide) -> list[dict[str, object]]:
    """Return the lines for machines."""
    return [asdict(each) | {"objective": found.objective.name} for each in found.standings]


def progress_words(all_prepared: Sequence[Prepared]) -> str:
    """Return how far a search is, or the search and each of its baselines."""
    counts = [(each.study, sum(1 for record in each.study.records() if record.measurements)) for each in all_prepared]
    if len(counts) == 1:
        study, done = counts[0]
        return f"{done} of {study.n_trials} trials are in the study"
    return ", ".join(f"{study.name} has {done} of {study.n_trials} trials" for study, done in counts)
