"""`nas spaces`: list, show, lint."""

from __future__ import annotations

from dataclasses import asdict

from nas.budget import Budget, parse_count
from nas.cli.output import count, print_json, print_table
from nas.feasibility import preflight
from nas.space_file import load_space, shipped_spaces
from nas.space_size import size


def list_command(*, as_json: bool) -> None:
    """Print the shipped spaces."""
    spaces = [load_space(name) for name in shipped_spaces()]
    found = [
        {
            "name": space.name,
            "genes": len(space.genes),
            "networks": size(space),
            "cap": space.target.cap,
            "target": space.target.dataset,
            "description": space.description,
        }
        for space in spaces
    ]
    if as_json:
        print_json(found)
    else:
        print_table(list(found[0]), [[_grouped(value) for value in row.values()] for row in found])


def _grouped(value: object) -> object:
    return f"{value:,}" if isinstance(value, int) else value


def show_command(name: str, *, as_json: bool) -> None:
    """Print the choices of a space."""
    space = load_space(name)
    if as_json:
        print_json({"name": space.name, "networks": size(space), "genes": {g.name: g.values for g in space.genes}})
        return
    rows = [[gene.name, len(gene.values), ", ".join(map(str, gene.values))] for gene in space.genes]
    print_table(["gene", "values", ""], rows, title=f"space {space.name}: {size(space):,} networks")


def lint_command(name: str, cap: str | None, *, as_json: bool) -> None:
    """Print what a search should know of a space; CapError when nothing fits."""
    space = load_space(name)
    budget = Budget(params=parse_count(cap or space.target.cap, what="--cap"))
    report = preflight(space, budget)
    if as_json:
        print_json({**asdict(report), "smallest": report.smallest.model_dump(), "largest": report.largest.model_dump()})
        return
    rows: list[list[object]] = [
        ["networks", f"{report.size:,}"],
        ["cap", f"{count(budget.params or 0)} params with {space.target.num_classes} classes"],
        ["random members that fit", f"{report.feasible_share:.1%}"],
        ["smallest member", f"{report.smallest.params:,} params, {count(report.smallest.macs)} MACs"],
        ["largest member", f"{report.largest.params:,} params, {count(report.largest.macs)} MACs"],
        ["classifier", f"{report.classifier_share:.1%} of the cap (median)"],
        ["genes that never matter", ", ".join(report.idle_genes) or "none"],
    ]
    print_table(["", space.name], rows)
