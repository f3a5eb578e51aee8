"""`nas spaces`: list, show, lint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from nas.budget import Budget
from nas.cli.output import budget_words, count, print_json, print_table
from nas.feasibility import preflight
from nas.lint import Bin, lint
from nas.space_file import load_space, shipped_spaces
from nas.space_size import size

BAR_CHARACTERS = 50
MOST_CORNERS = 3
"""Corners that are named in the table; --json names all."""


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
    from nas.audit import corner_faults

    space = load_space(name)
    budget = space.target.budget(cap)
    report = preflight(space, budget)
    found, corners = lint(space, budget), corner_faults(space)
    if as_json:
        costs = {"smallest": report.smallest.model_dump(), "largest": report.largest.model_dump()}
        print_json({**asdict(report), **costs, **asdict(found), "corner_faults": corners, "caps": budget.model_dump()})
        return
    target = space.target
    dead = [f"{gene} = {', '.join(map(str, values))}" for gene, values in found.dead_values.items()]
    rows: list[list[object]] = [
        ["networks", f"{report.size:,}"],
        ["caps", f"{budget_words(budget)}, with {target.num_classes} classes at {target.resolution} px"],
        ["random members that fit", f"{report.feasible_share:.1%}"],
        ["smallest member", f"{report.smallest.params:,} params, {count(report.smallest.macs)} MACs"],
        ["largest member", f"{report.largest.params:,} params, {count(report.largest.macs)} MACs"],
        ["classifier", f"{report.classifier_share:.1%} of the cap (median)"],
        ["genes that never matter", ", ".join(report.idle_genes) or "none"],
        ["values that nothing under the cap uses", "; ".join(dead) or "none"],
        ["corners that cannot be built", "; ".join(corners[:MOST_CORNERS]) or "none"],
    ]
    print_table(["", space.name], rows)
    _print_sizes(found.sizes, budget)


def _print_sizes(sizes: Sequence[Bin], budget: Budget) -> None:
    """Print a bar for each bin of random members, and a line where the cap is."""
    members, most = sum(one.members for one in sizes), max(one.members for one in sizes)
    print(f"params of {members} random members")
    for one in sizes:
        bar = "#" * -(-BAR_CHARACTERS * one.members // most)
        print(f"{'up to ' + count(one.most):>12} {one.members:>4} {bar}".rstrip())
        if one.most == budget.params:
            print(f"{'the cap ':->12}{'-' * (6 + BAR_CHARACTERS)}")
