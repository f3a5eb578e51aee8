"""fvcore has the last word on the cap."""

from __future__ import annotations

import pytest
import torch

from nas import audit as audit_module
from nas.audit import audit, count
from nas.budget import Budget, Cost, cost
from nas.errors import AuditError
from nas.network.build import build
from tests.core.examples import TASK, architecture

DESIGN = architecture()
COST = cost(DESIGN, TASK)


def test_an_architecture_under_its_caps_is_passed_with_its_cost() -> None:
    assert audit(DESIGN, TASK, Budget(params=COST.params, macs=COST.macs)) == COST


def test_an_architecture_over_a_cap_is_refused() -> None:
    with pytest.raises(AuditError) as caught:
        audit(DESIGN, TASK, Budget(params=COST.params - 1))
    expected = f"architecture {DESIGN.arch_id}: params {COST.params:,} exceeds the cap {COST.params - 1:,}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("field", ["params", "macs"])
def test_a_closed_form_that_fvcore_contradicts_is_refused(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: Cost = COST.model_copy(update={field: 1})
    monkeypatch.setattr(audit_module, "cost", lambda *_: wrong)
    with pytest.raises(AuditError) as caught:
        audit(DESIGN, TASK, Budget())
    assert str(caught.value) == (
        f"architecture {DESIGN.arch_id}: fvcore counts {COST.params:,} params and {COST.macs:,} macs, "
        f"the closed form {wrong.params:,} and {wrong.macs:,}"
    )


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_network_as_it_was(training: bool) -> None:
    network = build(DESIGN, TASK).train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert count(network, TASK) == (COST.params, COST.macs)
    assert network.training is training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
