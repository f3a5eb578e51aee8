"""What every reader of a large study wants of the JSON of a candidate, read without the rest of it."""

from __future__ import annotations

from typing import NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from nas.budget import Cost
from nas.value import FrozenMap


class _Block(TypedDict):
    pass


class _Stage(TypedDict):
    blocks: list[_Block]


class _Architecture(TypedDict):
    stages: NotRequired[list[_Stage]]


class _Candidate(TypedDict):
    cost: Cost
    costs: NotRequired[FrozenMap[float]]
    architecture: _Architecture


_CANDIDATE, _NO_COSTS = TypeAdapter(_Candidate), FrozenMap[float]({})


def outline(text: str) -> tuple[Cost, FrozenMap[float], int]:
    """Return the cost, the costs of a problem's own and the number of blocks, 0 of what is no network.

    ValidationError where one of them cannot be read.
    """
    found = _CANDIDATE.validate_json(text)
    stages = found["architecture"].get("stages", ())
    return found["cost"], found.get("costs", _NO_COSTS), sum([len(stage["blocks"]) for stage in stages])
