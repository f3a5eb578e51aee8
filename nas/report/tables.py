"""Records as flat rows, for CSV, JSON and data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import pandas as pd

from nas.budget import Cost
from nas.records import ReferenceRecord, TrialRecord
from nas.report.standings import ACCURACY, Standing, standings
from nas.view import StudyView


def rows(records: Sequence[TrialRecord], view: StudyView) -> list[dict[str, object]]:
    """Return one row for each record, all with the same keys in the same order; None where nothing was measured.

    `status`, `front`, `dominated` and `within_caps` are those of the view; metrics are means over the seeds at the
    fidelity that the row names. A reference has a name instead of a trial. Values are plain (str, int, float, bool), in
    the units of the records; genes are ``gene.<name>``.
    """
    front, compared = ({record.number for record in some} for some in (view.front, view.compared))
    sure = standings(view)
    flat = [_row(record, view) | _place(record, view, front, compared) | _sure(record, sure) for record in records]
    known = {key for row in flat for key in row}
    keys = [key for key in _LEADING if key in known]
    keys += sorted(key for key in known - set(keys) if not key.startswith("gene."))
    keys += dict.fromkeys(key for row in flat for key in row if key.startswith("gene."))
    if view.is_of_problem:
        keys = [key for key in keys if key not in _OF_NETWORKS]
    return [{key: row.get(key) for key in keys} for row in flat]


def to_csv(table: Sequence[Mapping[str, object]]) -> str:
    r"""Return rows as CSV text (comma, ``\n``, one header line); empty text for no rows."""
    if not table:
        return ""
    frame = pd.DataFrame(list(table), dtype=object)  # or whole numbers become floats where one is missing
    return str(frame.to_csv(index=False, lineterminator="\n"))


_LEADING = (
    *("trial", "reference", "arch_id", "status", "front", "dominated", "within_caps", "val_accuracy"),
    *Cost.model_fields,
    *("interference", "epochs", "train_fraction", "resolution"),
    *("seeds", "confirmed", "val_accuracy_margin", "tied_with", "architecture", "choices", "error"),
)
"""The keys that come first, in this order; other metrics follow by name, then genes in the order of the space."""


_OF_NETWORKS = {"reference", "confirmed", "train_fraction", "resolution"}
"""What says nothing of the candidates of a problem."""


def _place(record: TrialRecord, view: StudyView, front: Set[int], compared: Set[int]) -> dict[str, object]:
    """Return who a record is and where it stands; `dominated` is None where nothing was compared."""
    if isinstance(record, ReferenceRecord):
        dominated = view.dominating(record) is not None if view.is_compared(record) else None
        return {"trial": None, "reference": record.name, "front": False, "dominated": dominated}
    is_front = record.number in front
    dominated = not is_front if record.number in compared else None
    return {"trial": record.number, "reference": None, "front": is_front, "dominated": dominated}


def _sure(record: TrialRecord, sure: Mapping[int, Standing]) -> dict[str, object]:
    """Return how sure a member of the front is; None for what is none. `tied_with` holds trial numbers: ``3 7``."""
    standing = None if isinstance(record, ReferenceRecord) else sure.get(record.number)
    return {
        "confirmed": standing.is_confirmed if standing else None,
        f"{standing.metric if standing else ACCURACY}_margin": standing.margin if standing else None,
        "tied_with": " ".join(map(str, standing.tied)) if standing else None,
    }


def _row(record: TrialRecord, view: StudyView) -> dict[str, object]:
    fidelity = view.fidelity_of(record)
    row: dict[str, object] = dict(view.metrics(record))  # first: no metric may hide a fact about the trial
    row |= {f"gene.{name}": value for name, value in record.genotype.items()}
    if not view.is_of_problem:
        row |= record.cost.model_dump()
    row |= {
        "arch_id": record.arch_id,
        "status": view.status(record).value,
        "within_caps": not view.budget.violations(record.cost),
        "epochs": fidelity.epochs if fidelity else None,
        "train_fraction": fidelity.train_fraction if fidelity else None,
        "resolution": fidelity.resolution if fidelity else None,
        "seeds": len(view.seeds(record)),
        "choices" if view.is_of_problem else "architecture": record.architecture.words(),
        "error": record.error or None,
    }
    return row
