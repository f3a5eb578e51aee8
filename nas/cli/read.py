"""The commands that read studies: `studies`, `status`, `front`, `show`. They run nothing and need no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nas.budget import BYTES_PER_ELEMENT, cost_table, parse_count
from nas.cli.output import cap_words, count, print_front, print_json, print_table, quantity
from nas.effort import advice
from nas.errors import InputError, StudyError, unknown
from nas.records import Assignment, Measurement, Status, TrialRecord
from nas.results import StudyFolder
from nas.retrained import Accuracy, accuracies, retrained
from nas.search.catalogue import refuse_problem, study_names
from nas.search.curve import curve
from nas.search.storage import open_storage, shown, sqlite_url
from nas.search.study import Study
from nas.trust.earned import running_estimate
from nas.view import StudyView


def open_study(name: str, results: Path, storage: str | None) -> Study:
    """Return the study called `name`; StudyError with the names there are."""
    if storage is not None:
        return Study.open(open_storage(storage), name)
    folder = StudyFolder(results / name)
    if not folder.database.is_file():
        known = sorted(path.parent.name for path in results.glob("*/study.db"))
        where = f"results folder {results}"
        raise StudyError(unknown("study", name, known, where=where) if known else f"{where}: holds no study")
    return Study.open(open_storage(sqlite_url(folder.database)), name)


def open_networks(name: str, results: Path, storage: str | None) -> Study:
    """Return the study called `name`; StudyError where its candidates are no networks."""
    study = open_study(name, results, storage)
    refuse_problem(study.config)
    return study


def studies_command(results: Path, storage: str | None, *, as_json: bool) -> None:
    """Print one line for each study."""
    opened = _all_studies(results, storage)
    summaries = [_summary(study, study.view()) for study in opened]
    if as_json:
        print_json(summaries)
    elif not summaries:
        print(f"no study in {shown(storage) if storage else results} yet; `nas search` makes one")
    else:
        columns = ["study", "space", "data", "cap", "trials", "evaluated", "front", "best"]
        print_table(columns, [[_short(row, column) for column in columns] for row in summaries])


def _all_studies(results: Path, storage: str | None) -> list[Study]:
    if storage is not None:
        opened = open_storage(storage)
        return [Study.open(opened, name) for name in study_names(opened)]
    found = []
    for path in sorted(results.glob("*/study.db")):
        opened = open_storage(sqlite_url(path))
        found += [Study.open(opened, name) for name in study_names(opened)]
    return found


def _summary(study: Study, view: StudyView) -> dict[str, object]:
    objective = view.objectives[0].name
    return {
        "study": study.name,
        "space": view.config.space_name,
        "data": None if view.is_of_problem else view.config.data,
        "cap": dict(view.config.caps) if view.is_of_problem else view.config.budget.params,
        "trials": len(view.records),
        "n_trials": study.n_trials,
        **{status.value.replace(" ", "_"): view.counts[status] for status in Status},
        "objectives": list(view.config.objectives),
        "front": len(view.front),
        "best": view.metrics(view.best).get(objective) if view.best else None,
        "seed": view.config.seed,
        "trust": list(view.trust_lines),
    }


def _short(row: dict[str, object], column: str) -> object:
    value = row[column]
    if column == "cap":
        return count(value) if isinstance(value, int) else _caps_of_problem(value)
    if column == "best" and isinstance(value, float):
        names = row["objectives"]
        return quantity(names[0].rpartition(":")[2], value) if isinstance(names, list) else value
    return f"{value} of {row['n_trials']}" if column == "trials" else value


def _caps_of_problem(caps: object) -> str | None:
    """Return the caps of a problem in one cell: ``params 1.5M, latency_ms 5``; None where there is none."""
    if not isinstance(caps, dict):
        return None
    return ", ".join(f"{name} {quantity(name, cap)}" for name, cap in caps.items()) or None


def status_command(name: str, results: Path, storage: str | None, *, as_json: bool) -> None:
    """Print how far a study is."""
    study = open_study(name, results, storage)
    view = study.view()
    used, most, proxy = study.hours(), study.max_hours, proxy_lines(study, view)
    summary = _summary(study, view) | {
        "taken_over": len(study.taken_over),
        "hours": round(used, 6),
        "max_hours": most,
        "rungs": len(view.config.fidelities),
        "rungs_in_use": len(view.rungs),
        "proxy": proxy,
    }
    if as_json:
        print_json(summary)
        return
    shown = summary | {
        "cap": summary["cap"] if isinstance(summary["cap"], int) else _caps_of_problem(summary["cap"]),
        "best": _short(summary, "best") if view.is_of_problem else summary["best"],
        "hours": f"{used:.2f}" + (f" of {most:g}" if most is not None else ""),
        "rungs": f"{summary['rungs_in_use']} of {summary['rungs']} in use",
    }
    left_out = {"trust", "proxy", "max_hours", "rungs_in_use"} | (set() if study.taken_over else {"taken_over"})
    left_out |= {"data"} if view.is_of_problem else set()
    print_table(
        ["", ""], [[key.replace("_", " "), _text(value)] for key, value in shown.items() if key not in left_out]
    )
    for line in (*view.trust_lines, *proxy):
        print(line)
    for record in view.records:
        if record.error:
            print(f"trial {record.number} failed: {record.error}")
        elif (status := view.status(record)) in {Status.OUT_OF_MEMORY, Status.TOO_SLOW}:
            print(f"trial {record.number} was {status}: {record.architecture.words()}")


def proxy_lines(study: Study, view: StudyView) -> list[str]:
    """Return how each rung ranks the networks of the next one, and whether more hours would still pay."""
    stop = advice(curve(study, view), study.name)
    return [*running_estimate(view.config, view.records), *([stop] if stop else [])]


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "-" if value is None else str(value)


def front_command(
    name: str,
    results: Path,
    storage: str | None,
    *,
    cap: str | None,
    objectives: tuple[str, ...],
    html: Path | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print the front under a cap and objectives that may differ from the study's."""
    study = open_study(name, results, storage)
    budget = None if cap is None else study.config.budget.with_params(parse_count(cap, what="--cap"))
    if budget and study.config.kind == "problem" and "params" not in study.config.costs:
        costs = ", ".join(study.config.costs) or "none"
        raise InputError(f"--cap {cap}: study {name!r} has no params among its costs (it has {costs})")
    view = StudyView.of(
        study.config, study.records(), budget=budget, objectives=objectives, references=study.references()
    )
    found = accuracies(retrained(results / name))
    if html is not None:
        _write_page(html, view, study, found)
    if as_csv or as_json:
        from nas.report.tables import rows, to_csv

        table = [row | _retrained(row, found) for row in rows([*view.front, *view.references], view)]
        print(to_csv(table), end="") if as_csv else print_json(table)
    elif not view.front and not view.references:
        print(f"study {name}: the front is empty: no evaluated trial fits under {cap_words(view)}")
    else:
        title = f"front of study {name}" + f" under {cap_words(view)}" * bool(view.caps)
        print_front(view, title, {arch_id: each.words for arch_id, each in found.items()})


def _retrained(row: Mapping[str, object], found: Mapping[str, Accuracy]) -> dict[str, object]:
    """Return the columns on a network's retraining; nothing where none of the study was retrained."""
    each = found.get(str(row.get("arch_id")))
    names = ("retrained_accuracy", "retrained_margin", "retrained_seeds", "retrained_recipe")
    values = (each.mean, each.margin, each.seeds, each.recipe) if each else (None,) * len(names)
    return dict(zip(names, values, strict=True)) if found else {}


def _write_page(path: Path, view: StudyView, study: Study, found: Mapping[str, Accuracy]) -> None:
    from nas.report.front_page import write_front_page

    try:
        write_front_page(path, view, notes=view.trust_lines, curve=curve(study, view), retrained=found)
    except OSError as error:
        raise InputError(f"--html {path}: cannot be written: {error.strerror}") from None


def show_command(name: str, number: int, results: Path, storage: str | None, *, as_json: bool) -> None:
    """Print one trial: its layers by block, and its record."""
    study = open_study(name, results, storage)
    record = next((record for record in study.records() if record.number == number), None)
    if record is None:
        raise StudyError(f"study {name!r}: no trial {number}; it has {len(study.records())}, numbered from 0")
    view = study.view()
    if as_json:
        print_json({**record.model_dump(mode="json"), "arch_id": record.arch_id, "blocks": _blocks(record, view)})
        return
    status = view.status(record)
    print(
        f"trial {record.number} of study {name}: {record.arch_id}, {status}" + f" ({record.error})" * bool(record.error)
    )
    print(record.architecture.words())
    retraining = accuracies(retrained(results / name)).get(record.arch_id)
    if retraining is not None:
        print(f"retrained: test top-1 {retraining.words}")
    if number in study.taken_over:
        print(f"taken over from {study.taken_over[number]}")
    if not view.is_of_problem:
        _print_blocks(record, view)
    elif record.costs:
        print_table(["cost", "value"], [[cost, f"{value:,.12g}"] for cost, value in record.costs.items()])
    if record.measurements:
        _print_measurements(record.measurements, view)


def _print_blocks(record: TrialRecord, view: StudyView) -> None:
    target = view.config.target
    title = f"on {target.dataset}: {target.resolution} px, {target.in_channels} channels, {target.num_classes} classes"
    blocks = _blocks(record, view)
    print_table(list(blocks[0]), [list(block.values()) for block in blocks], title=title)
    cost = record.cost
    print(f"{cost.params:,} params, {cost.macs:,} MACs, peak activation {cost.peak_activation_bytes:,} B\n")
    print_table(["gene", "value"], [[gene, value] for gene, value in record.genotype.items()])


def _blocks(record: TrialRecord, view: StudyView) -> list[dict[str, object]]:
    """Return what each part of a network costs; nothing of what is no network."""
    if isinstance(record.architecture, Assignment):
        return []
    table = cost_table(record.architecture, view.config.target.task)
    return [
        {
            "part": name,
            "output": f"{step.channels}x{step.side}x{step.side}",
            "params": step.params,
            "macs": step.macs,
            "peak_activation_bytes": step.peak_activation_elements * BYTES_PER_ELEMENT,
        }
        for name, step in table
    ]


def _print_measurements(measurements: tuple[Measurement, ...], view: StudyView) -> None:
    """Print a row for each; of a problem without the pace, and without the epochs where it has a single rung."""
    names = list(dict.fromkeys(name for measurement in measurements for name in measurement.metrics))
    columns = ["epochs", "seed", *names, "images/s"]
    rows = [
        [
            m.fidelity.epochs,
            m.seed,
            *(quantity(name, m.metrics.get(name)) for name in names),
            f"{m.images_per_second:,.0f}",
        ]
        for m in measurements
    ]
    if view.is_of_problem:
        first = 0 if len(view.config.fidelities) > 1 else 1
        columns, rows = columns[first:-1], [row[first:-1] for row in rows]
    print_table(columns, rows)
