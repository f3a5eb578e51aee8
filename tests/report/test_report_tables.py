"""Records as flat rows and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from nas.records import TrialRecord
from nas.report.tables import rows, to_csv
from nas.view import StudyView

MakeView = Callable[..., StudyView]
MakeRecord = Callable[..., TrialRecord]


def test_rows_share_their_keys_and_are_plain(view: StudyView) -> None:
    table = rows(view.records, view)
    assert len({tuple(row) for row in table}) == 1
    assert {type(value) for row in table for value in row.values()} == {str, int, float, bool, type(None)}
    assert json.loads(json.dumps(table, allow_nan=False)) == table


def test_a_row_holds_cost_metrics_fidelity_and_genes(view: StudyView) -> None:
    record, row = view.records[1], rows(view.records, view)[1]
    assert (row["trial"], row["arch_id"], row["status"]) == (1, record.arch_id, "evaluated")
    assert row["front"] is True
    assert row["params"] == record.cost.params
    assert row["val_accuracy"] == record.metrics["val_accuracy"]
    assert (row["epochs"], row["resolution"], row["train_fraction"], row["seeds"]) == (40, 8, 1.0, 1)
    assert {name: row[f"gene.{name}"] for name in record.genotype} == dict(record.genotype)
    assert row["architecture"] == record.architecture.words()


def test_a_row_shows_the_refitted_composite_beside_the_raw_parts(view: StudyView) -> None:
    record, row = view.records[1], rows(view.records, view)[1]
    assert row["interference"] == view.metrics(record)["interference"] != record.metrics["interference"]
    assert row["cross_talk"] == record.metrics["cross_talk"]
    unmeasured = rows(view.records, view)[3]
    assert (unmeasured["interference"], unmeasured["cross_talk"]) == (None, None)


def test_what_was_not_measured_is_none(view: StudyView) -> None:
    running = rows(view.records, view)[-1]
    assert running["status"] == "running"
    assert (running["val_accuracy"], running["epochs"], running["front"]) == (None, None, False)


def test_a_subset_keeps_its_order(view: StudyView) -> None:
    assert [row["trial"] for row in rows(view.front, view)] == [record.number for record in view.front]


def test_csv_round_trips_and_keeps_whole_numbers_whole(view: StudyView) -> None:
    table = rows(view.records, view)
    read = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert list(read[0]) == list(table[0])
    assert [line["epochs"] for line in read[-2:]] == ["", ""]
    assert {line["epochs"] for line in read} == {"", "4", "12", "40"}
    assert float(read[0]["val_accuracy"]) == table[0]["val_accuracy"]


def test_csv_quotes_what_a_fault_says(make_view: MakeView, make_record: MakeRecord) -> None:
    record = make_record(0, error='out of memory, "again"\nat epoch 3')
    (line,) = csv.DictReader(io.StringIO(to_csv(rows([record], make_view([record])))))
    assert line["error"] == record.error


def test_no_records_are_no_rows_and_no_text(make_view: MakeView) -> None:
    assert rows([], make_view([])) == []
    assert to_csv([]) == ""
