"""Tables for people, JSON for machines; both to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.records import TrialRecord
from nas.view import StudyView

PER_CENT = {"val_accuracy", "activation_ratio"}
COUNTS = {"params", "macs"}


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
    if name in COUNTS:
        return count(int(value))
    return f"{int(value):,} B" if name.endswith("_bytes") else f"{value:.3f}"


def print_front(view: StudyView, title: str) -> None:
    """Print a front as a table, references below it, and whether interference had a say in it."""
    names = [objective.name for objective in view.objectives if objective.name != "macs"]
    rows = [[record.number, *_front_cells(record, view, names, "on the front")] for record in view.front]
    rows += [[each.name, *_front_cells(each, view, names, view.standing(each))] for each in view.references]
    columns = ["trial", "arch id", *names, "macs", "standing", "architecture"]
    if not view.references:
        rows, columns = [row[:-2] + row[-1:] for row in rows], columns[:-2] + columns[-1:]
    print_table(columns, rows, title=title)
    for line in view.trust_lines:
        print(line)


def _front_cells(record: TrialRecord, view: StudyView, names: Sequence[str], standing: str) -> list[object]:
    metrics = view.metrics(record)
    measured = (quantity(name, metrics.get(name)) for name in names)
    return [record.arch_id, *measured, count(record.cost.macs), standing, record.architecture.words()]
