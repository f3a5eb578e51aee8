"""Records whose candidate is read when it is asked for: from outside, they are as all others."""

from __future__ import annotations

from copy import deepcopy

import pytest
from pydantic import ValidationError

from nas.errors import InputError
from nas.records import Candidate, TrialRecord
from nas.value import compact_json
from tests.core.examples import measurement, record

WHOLE = record(measurement(0.5), number=3)
TEXT = compact_json(WHOLE.candidate)


def late(text: str = TEXT) -> TrialRecord:
    return TrialRecord.of(text, 3, WHOLE.measurements)


def test_a_late_record_equals_and_is_written_as_one_that_was_read_whole() -> None:
    assert late() == WHOLE
    assert record(measurement(0.5), number=3) == late()
    assert hash(late()) == hash(WHOLE)
    assert dict(late()) == dict(WHOLE)
    assert late().model_dump_json() == WHOLE.model_dump_json()
    assert late().model_copy(update={"error": "broken"}) == WHOLE.model_copy(update={"error": "broken"})
    assert deepcopy(late()) == WHOLE


def test_two_late_records_differ_where_their_candidates_do() -> None:
    other = compact_json(WHOLE.candidate.model_copy(update={"genotype": {"stem.width": 12}}))
    assert late() != late(other)


def test_cost_depth_and_status_need_no_architecture() -> None:
    found = late()
    assert (found.cost, found.depth, found.known) == (WHOLE.cost, WHOLE.depth, WHOLE.known)
    assert found.metrics == WHOLE.metrics
    assert found.status([WHOLE.measurements[0].fidelity]) == "evaluated"
    assert "architecture" not in vars(found)


def test_an_architecture_is_read_once() -> None:
    found = late()
    assert found.architecture is found.architecture
    assert isinstance(found.candidate, Candidate)
    assert found.candidate == WHOLE.candidate


def test_what_no_record_has_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'TrialRecord' object has no attribute 'nothing'"):
        late().nothing()
    assert not hasattr(WHOLE, "nothing")


def test_a_cost_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="params"):
        late(TEXT.replace('"params":100', '"params":-1'))


def test_an_architecture_that_cannot_be_read_is_one_line_when_it_is_asked_for() -> None:
    broken = late(TEXT.replace('"family":"separable"', '"family":"nonsense"'))
    assert broken.cost == WHOLE.cost
    for _ in range(2):
        with pytest.raises(InputError, match=r"^trial 3: its candidate cannot be read: .*unknown block 'nonsense'"):
            broken.architecture.words()


def test_a_short_text_gives_the_value_back() -> None:
    assert Candidate.model_validate_json(TEXT) == WHOLE.candidate
    assert len(TEXT) < len(WHOLE.candidate.model_dump_json())
