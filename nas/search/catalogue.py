"""Which studies are in a database, and what was each started with?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optuna.storages import RDBStorage
from pydantic import ValidationError

from nas.errors import StudyError, unknown
from nas.records import SCHEMA_VERSION, StudyConfig
from nas.value import explain

CONFIG = "nas:config"
"""The attribute of an Optuna study that makes it one of ours."""

RUNGS_SUFFIX, REFERENCES_SUFFIX, FIDELITY_SUFFIX = "/rungs", "/references", "/fidelity"
"""The names of the Optuna studies beside that of a study's candidates, see `nas.search.study`."""


def study_names(storage: RDBStorage) -> list[str]:
    """Return the names of the studies of ours in a storage."""
    return sorted(study.study_name for study in storage.get_all_studies() if CONFIG in study.user_attrs)


def check_name(storage: RDBStorage, name: str) -> None:
    """Raise StudyError, with the names there are, where a storage has no study of ours called `name`."""
    known = study_names(storage)
    if name not in known:
        raise StudyError(unknown("study", name, known) if known else f"unknown study {name!r}: the storage is empty")


def read_config(name: str, attributes: Mapping[str, Any]) -> StudyConfig:
    """Return what a study was started with, from its attributes; StudyError where a newer version wrote it."""
    version = json.loads(attributes[CONFIG]).get("schema_version", 0)
    if version > SCHEMA_VERSION:
        raise StudyError(
            f"study {name!r}: written by a newer version of nas "
            f"(schema {version}, this one reads up to {SCHEMA_VERSION})"
        )
    try:
        return StudyConfig.model_validate_json(attributes[CONFIG])
    except ValidationError as error:
        raise StudyError(f"study {name!r}: its configuration cannot be read: {explain(error)}") from None


def refuse_problem(config: StudyConfig) -> None:
    """Raise StudyError for the study of a problem of somebody's own: a database does not hold its evaluator."""
    if config.kind == "problem":
        raise StudyError(
            f"study {config.name!r} is of a problem of its own, {config.space_name!r}: it goes on where that is given, "
            "by the same call of nas.search.problem.solve"
        )
