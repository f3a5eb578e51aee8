"""What a user may put first in a study: a genotype, an architecture, or either with some genes set to other values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.errors import CapError, InputError, SpaceError, StudyError, unknown
from nas.members import Members
from nas.records import Candidate, StudyConfig
from nas.space import Gene, GeneValue, Genotype, SearchSpace
from nas.space_match import genotype_of, why_not

FROM_PYTHON = "put one first from Python, with `first=[{…}]` of nas.search.problem.solve"


class DuplicateError(StudyError):
    """A trial of the study has the network already."""


def read_genotype(path: Path, space: SearchSpace) -> dict[str, GeneValue]:
    """Return the genotype of a file: that of an architecture as `nas scale --out` writes it, or a JSON object of genes.

    InputError for what cannot be read, SpaceError, naming the part or the gene, for what is no member.
    """
    text, content = _read(path)
    if not content.keys() & Architecture.model_fields.keys():
        return checked(space.genes, content, where=str(path))
    try:
        architecture = Architecture.from_json(text)
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from None
    genotype = genotype_of(space, architecture)
    if genotype is None:
        raise SpaceError(f"{path}: no member of space {space.name}: {why_not(space, architecture)}")
    return genotype


def edited(space: SearchSpace, genotype: Genotype, settings: Sequence[str]) -> dict[str, GeneValue]:
    """Return the genotype in normal form after settings such as ``stage2.kernel=5``.

    InputError for an unknown gene or value, and for a gene that nothing in the network reads.
    """
    known, changed = {gene.name: gene for gene in space.genes}, dict[str, GeneValue]()
    for text in settings:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or name in changed:
            rule = "each gene once" if equals else "GENE=VALUE, such as stage1.kernel=5"
            raise InputError(f"--set takes {rule}, got {text!r}")
        if name not in known:
            raise InputError(unknown("gene", name, known, where="--set"))
        changed[name] = _value(known[name], value, where="--set", is_text=True)
    result = {**genotype, **changed}
    active = space.active(result)
    if idle := next((name for name in changed if name not in active), None):
        raise InputError(f"--set {idle}={changed[idle]}: changes nothing: no part of this network reads {idle}")
    return space.canonical(result, active)


def checked(genes: Sequence[Gene], given: Genotype, *, where: str) -> dict[str, GeneValue]:
    """Return a value of its own for each gene; SpaceError for an unknown or missing gene, or a value it has not."""
    known = {gene.name: gene for gene in genes}
    if not isinstance(given, Mapping):
        raise SpaceError(f"{where}: must give a value for each gene, got {given!r:.80}")
    for name in given:
        if name not in known:
            raise SpaceError(unknown("gene", name, known, where=where))
    if missing := [name for name in known if name not in given]:
        raise SpaceError(f"{where}: no value for {', '.join(missing)}")
    return {name: _value(gene, given[name], where=where) for name, gene in known.items()}


def candidate_of(config: StudyConfig, members: Members | None, number: int, given: Genotype) -> Candidate:
    """Return a genotype as the candidate of this number of a study, as it is: nothing is repaired.

    SpaceError for no member, CapError for one over a cap; StudyError where the members are not known.
    """
    if members is None:
        raise StudyError(f"study {config.name!r} is of a problem of its own: {FROM_PYTHON}")
    genotype = checked(members.genes, given, where=members.name)
    if math.isinf(load := members.load(genotype)):
        raise SpaceError(f"{members.name}: no member: {_words(genotype)}")
    candidate = members.candidate(number, (members.fit(genotype) or genotype) if load <= 1 else genotype)
    if load > 1:
        over = "; ".join(map(str, config.budget.violations(candidate.cost)))
        costs = f"{load:.3g} times what the caps allow, with {_words(members.costs(genotype))}"
        raise CapError(f"over the cap: {over or costs}")
    return candidate


def _words(values: Genotype) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _value(gene: Gene, given: GeneValue, *, where: str, is_text: bool = False) -> GeneValue:
    """Return the value of a gene that was given, or written; SpaceError with those that there are."""
    for value in gene.values:
        if _written(value, given) if is_text else _same(value, given):
            return value
    if gene.is_ordered:
        allowed = ", ".join(map(str, gene.values))
        raise SpaceError(f"{where}: {gene.name} must be one of {allowed}, got {given}")
    raise SpaceError(unknown(gene.name, str(given), map(_text, gene.values), where=where))


def _same(value: GeneValue, given: object) -> bool:
    """Return whether two values are the same; 2 is 2.0, but True is not 1."""
    return value == given and isinstance(value, bool) == isinstance(given, bool)


def _written(value: GeneValue, text: GeneValue) -> bool:
    """Return whether a text is the value as people write it: 2 for 2.0, true for True."""
    if isinstance(value, bool | str):
        return _text(value) == text
    try:
        return value == float(text)
    except ValueError:
        return False


def _text(value: GeneValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of a file, and the JSON object that it is."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"{path}: cannot be read: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a JSON object: an architecture, or a value for each gene")
    return text, content
