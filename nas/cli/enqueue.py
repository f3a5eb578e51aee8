"""`nas enqueue`: put an architecture of the user's own first in a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.architecture import Architecture
from nas.blocks.own import is_code_allowed
from nas.cli.output import print_json
from nas.cli.read import open_study
from nas.errors import InputError, StudyError
from nas.search.enqueue import FROM_PYTHON, edited, read_genotype
from nas.search.storage import shown
from nas.search.study import Study
from nas.space import GeneValue


def enqueue_command(
    name: str, network: str, settings: Sequence[str], results: Path, storage: str | None, *, as_json: bool
) -> None:
    """Enqueue a file's or a trial's genotype, with some genes changed; print its cost and what runs it."""
    study = open_study(name, results, storage)
    config = study.config
    if config.kind == "problem":
        raise StudyError(f"study {name!r} is of a problem of its own: {FROM_PYTHON}")
    genotype = edited(config.space, _genotype(study, network), settings)

    def accept(architecture: Architecture) -> None:
        from nas.audit import audit  # torch and fvcore, after all that can be refused without them

        audit(architecture, config.target.task, config.budget)

    candidate = study.enqueue(genotype, accept)
    command = _search(name, results, storage)
    if as_json:
        facts = {"study": name, "trial": candidate.number, "arch_id": candidate.network.arch_id, "run": command}
        print_json(facts | candidate.model_dump(mode="json", exclude={"number", "costs"}))
        return
    cost = candidate.cost
    print(f"enqueued as trial {candidate.number} of study {name}: {candidate.network.words()}")
    print(f"{cost.params:,} params, {cost.macs:,} MACs, peak activation {cost.peak_activation_bytes:,} B")
    print(f"next: {command}   (trains it first; a worker that is running takes it by itself)")
    if study.max_hours is not None and study.hours() >= study.max_hours:
        print(f"the study's {study.max_hours:g} hours are used: it waits for a higher --max-hours")


def _genotype(study: Study, network: str) -> dict[str, GeneValue]:
    """Return the genotype of a trial by its number, or of a file."""
    if not network.isdecimal():
        if not Path(network).exists():
            raise InputError(f"{network!r} is neither a file nor the number of a trial of study {study.name}")
        return read_genotype(Path(network), study.config.space)
    records = study.records()
    record = next((record for record in records if record.number == int(network)), None)
    if record is None:
        raise StudyError(f"study {study.name!r}: no trial {network}; it has {len(records)}, numbered from 0")
    return dict(record.genotype)


def _search(name: str, results: Path, storage: str | None) -> str:
    """Return the command that goes on with a study."""
    allow = " --allow-code" * is_code_allowed()
    where = "" if str(results) == "results" else f" --results {results}"
    return f"nas{allow} search --study {name}{where}" + (f" --storage {shown(storage)}" if storage else "")
