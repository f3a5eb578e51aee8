"""Choices that were measured on this machine before, each in a file named by all that decides it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Generic, TypeVar

from pydantic import ValidationError

from nas.data.spec import cache_dir
from nas.value import Value, canonical_json, digest

V = TypeVar("V", bound=Value)

FORMAT = "1"
"""Of what is measured and how; a choice of another format is measured anew."""


class ChoiceFile(Generic[V]):
    """The file of one choice, below the cache folder."""

    def __init__(self, kind: type[V], machine: Sequence[str], asked: Value) -> None:
        """Name the file for a value of `kind`."""
        name = digest("\n".join([FORMAT, *machine, canonical_json(asked)]), 20)
        self.kind, self.path = kind, cache_dir() / "plans" / f"{name}.json"

    def read(self) -> V | None:
        """Return what was kept; None when there is nothing, or nothing that can be read."""
        try:
            return self.kind.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, value: V) -> None:
        """Keep a value; where that cannot be done it is measured again the next time."""
        draft = self.path.with_suffix(f".{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(value.model_dump_json(indent=1), encoding="utf-8")
            draft.replace(self.path)
        except OSError:
            return
