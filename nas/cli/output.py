"""Tables for people, JSON for machines; both to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.budget import Budget
from nas.records import ReferenceRecord, TrialRecord
from nas.report.quantities import QUANTITIES
from nas.report.quantities import quantity as described
from nas.report.standings import Standing, confirmation_line, standings
from nas.view import StudyView

PER_CENT = {"val_accuracy", "activation_ratio"}
COUNTS = {"params", "macs", "swap", "depth"}


def print_json(value: object) -> None:
    """Print `value` as JSON."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print a table; numbers stand right. Not to a terminal, it is as wide as it needs to be."""
    console = Console(soft_wrap=True) if Console().is_terminal else Console(width=400, soft_wrap=True)
    cells = [[_cell(value) for value in row] for row in rows]
    table = Table(title=Text(title) if title else None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = bool(cells) and all(row[i][:1].isdigit() or row[i][:1] == "-" for row in cells)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def count(value: int) -> str:
    """Return a count as people write it: 950, 14.2k, 1.31M, 285M."""
    for unit, size in (("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return str(value)


def memory(size: int) -> str:
    """Return bytes as a datasheet gives memory: 950 B, 96 KiB, 1.53 MiB."""
    for unit, least in (("MiB", 2**20), ("KiB", 2**10)):
        if size >= least:
            return f"{size / least:.3g} {unit}"
    return f"{size} B"


def quantity(name: str, value: float | None) -> str:
    """Return a measured quantity with the digits that it deserves."""
    if value is None:
        return "-"
    if name in PER_CENT:
        return f"{100 * value:.2f} %"
    if name not in QUANTITIES or (name in COUNTS and not float(value).is_integer()):
        return described(name).number(value)
    if name in COUNTS:
        return count(int(value))
    return f"{int(value):,} B" if name.endswith("_bytes") else f"{value:.3f}"


def budget_words(budget: Budget) -> str:
    """Return the caps on networks in words: ``1.5M params, 300M MACs, 512kB of activations``."""
    caps = (budget.params, " params"), (budget.macs, " MACs"), (budget.peak_activation_bytes, "B of activations")
    return ", ".join(f"{count(cap)}{unit}" for cap, unit in caps if cap is not None)


def cap_words(view: StudyView) -> str:
    """Return the caps that a front is under; of a problem those on its own costs, or ``no cap``."""
    if not view.is_of_problem:
        return budget_words(view.budget)
    return ", ".join(f"{name} {quantity(name, cap)}" for name, cap in view.caps.items()) or "no cap"


def print_front(view: StudyView, title: str, retrained: Mapping[str, str] | None = None) -> None:
    """Print a front as a table, references below it, how sure it is, and whether interference had a say in it.

    `retrained` says what networks came to that were retrained, by `arch_id`.
    """
    names = [objective.name for objective in view.objectives if objective.name != "macs"]
    last: tuple[str, ...] = ("macs", "architecture")
    if view.is_of_problem:
        names, last = list(view.columns), ("choices",)
    sure = standings(view)
    rows = [_front_row(record, view, names) | _sure(sure[record.number], view) for record in view.front]
    rows += [_front_row(each, view, names) | {"standing": view.standing(each)} for each in view.references]
    for row in rows:
        if words := (retrained or {}).get(str(row["arch id"])):
            row[RETRAINED] = words
    known = {column for row in rows for column in row} - ({"standing"} if not view.references else set())
    columns = ["trial", "arch id", *names, *last[:-1], *(c for c in SURE if c in known), last[-1]]
    print_table(columns, [[row.get(column) for column in columns] for row in rows], title=title)
    for line in filter(None, (confirmation_line(view), *view.trust_lines)):
        print(line)


RETRAINED = "retrained"
SURE = ("seeds", "\N{PLUS-MINUS SIGN}", "tied with", RETRAINED, "standing")
"""Columns of a front that stand there when there is something to put in."""


def _front_row(record: TrialRecord, view: StudyView, names: Sequence[str]) -> dict[str, object]:
    metrics = view.metrics(record)
    return {
        "trial": record.name if isinstance(record, ReferenceRecord) else record.number,
        "arch id": record.arch_id,
        **{name: quantity(name, metrics.get(name)) for name in names},
        **({} if view.is_of_problem else {"macs": count(record.cost.macs), "seeds": str(len(view.seeds(record)))}),
        "choices" if view.is_of_problem else "architecture": record.architecture.words(),
    }


def _sure(standing: Standing, view: StudyView) -> dict[str, object]:
    """Return what a front says of a member's seeds; the interval only where the noise is known."""
    if standing.margin is None:
        return {} if view.is_of_problem else {"seeds": standing.seed_words, "standing": "on the front"}
    margin = quantity(standing.metric, standing.margin)
    return {"seeds": standing.seed_words, "standing": "on the front", SURE[1]: margin, SURE[2]: standing.tied_words}
