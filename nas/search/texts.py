"""The JSON texts of a trial: parsed as far as somebody asks, and refused in one line where they cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from nas.errors import StudyError
from nas.records import Measurement
from nas.space import GeneValue
from nas.value import FrozenMap, explain

T = TypeVar("T")


class _Genotype(TypedDict):
    genotype: FrozenMap[GeneValue]


_GENOTYPE = TypeAdapter(_Genotype)


def read(text: str | None, parse: Callable[[str], T], what: str) -> T:
    """Return what a text is parsed to; StudyError, with `what` it is, where that fails or there is none.

    Older studies have the text as a JSON string of its own.
    """
    try:
        return parse("null" if text is None else str(json.loads(text)) if text.startswith('"') else text)
    except ValidationError as fault:
        raise StudyError(f"{what} cannot be read: {explain(fault)}") from None


def genotype(text: str) -> FrozenMap[GeneValue]:
    """Return the genotype in the text of a candidate, without the rest."""
    return _GENOTYPE.validate_json(text)["genotype"]


def measurement(what: str, text: str) -> Measurement:
    """Return the measurement of a text; what is wrong with its epochs is a StudyError when they are asked for."""
    return Measurement.of(text, partial(read, text, Measurement.model_validate_json, what))
