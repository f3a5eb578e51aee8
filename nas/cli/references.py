"""`nas references` and `nas scale`: published networks, what they cost, and what they become under a cap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.architecture import Architecture, Task
from nas.budget import Budget, cost, cost_table, parse_count
from nas.cli.output import count, memory, print_json, print_table
from nas.errors import InputError, SpaceError
from nas.references import Reference, reference, references
from nas.results import write_whole
from nas.scaling import By, scale


def named(name: str) -> Reference:
    """Return the reference called `name`; without its size (``mobilenetv2``), the largest of that name."""
    sizes = [each for key, each in references().items() if key.startswith(f"{name}_")]
    return reference(name) if name in references() or not sizes else max(sizes, key=lambda each: each.params)


def references_command(resolution: int | None, classes: int | None, *, as_json: bool) -> None:
    """Print all references with their cost on their own task, or on the one that was asked for."""
    rows = [_row(each, _task(each, resolution, classes)) for each in references().values()]
    if as_json:
        print_json(rows)
    else:
        print_table(list(_in_words(rows[0])), [list(_in_words(row).values()) for row in rows])


def scale_command(
    name: str, cap: str, by: By, resolution: int | None, classes: int | None, *, out: Path | None, as_json: bool
) -> None:
    """Print the member of a reference's family that fills the cap; write its architecture when asked to."""
    budget = Budget(params=parse_count(cap, what="--cap"))
    source = named(name)
    task = _task(source, resolution, classes)
    with _naming(source.name, task):
        architecture = scale(source.architecture, task, budget, by)
    facts = _facts(source.name, architecture, task)
    if out is not None:
        _write(out, architecture)
    if as_json:
        print_json({**facts, "cap": budget.params, "by": by, "architecture": architecture.model_dump(mode="json")})
        return
    words = {
        "architecture": architecture.words(),
        "arch id": architecture.arch_id,
        "params": f"{facts['params']:,} ({facts['params'] / (budget.params or 1):.1%} of the cap)",
        "MACs": count(facts["macs"]),
        "peak activation": memory(facts["peak_activation_bytes"]),
        "head": f"{facts['head_share']:.1%} of the params",
    }
    title = f"{source.title} by {by} under {cap} params, {task.num_classes} classes, {task.resolution} px"
    print_table(["", ""], list(words.items()), title=title)


def _task(source: Reference, resolution: int | None, classes: int | None) -> Task:
    own = source.task
    return Task(num_classes=classes or own.num_classes, resolution=resolution or own.resolution)


@contextmanager
def _naming(name: str, task: Task) -> Iterator[None]:
    """Say which network it is that cannot be built for the resolution."""
    try:
        yield
    except SpaceError as error:
        raise SpaceError(f"{name} at {task.resolution} px: {error}") from None


def _facts(name: str, architecture: Architecture, task: Task) -> dict[str, Any]:
    with _naming(name, task):
        counted = cost(architecture, task)
    head = cost_table(architecture, task)[-1][1].params
    return {
        "name": name,
        "arch_id": architecture.arch_id,
        "num_classes": task.num_classes,
        "resolution": task.resolution,
        **counted.model_dump(),
        "head_share": head / counted.params,
        "words": architecture.words(),
    }


def _row(each: Reference, task: Task) -> dict[str, Any]:
    published = {"published_params": each.params, "published_macs": each.macs, "top1": each.top1}
    return {**_facts(each.name, each.architecture, task), "title": each.title, **published, "source": each.source}


def _in_words(row: dict[str, Any]) -> dict[str, object]:
    return {
        "name": row["name"],
        "params": f"{row['params']:,}",
        "MACs": count(row["macs"]),
        "peak activation": memory(row["peak_activation_bytes"]),
        "head": f"{row['head_share']:.0%}",
        "task": f"{row['num_classes']} classes, {row['resolution']} px",
        "published": f"{row['published_params']:,}",
        "top-1": "-" if row["top1"] is None else f"{row['top1']:.1f} %",
        "counted in": row["source"],
    }


def _write(path: Path, architecture: Architecture) -> None:
    try:
        write_whole(path, architecture.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written: {error.strerror}") from None
