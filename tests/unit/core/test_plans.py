"""When a planned change may still be made, and which states it can be in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from routing.core import plans, vocabulary
from routing.core.plans import Time
from routing.core.values import PlanKind, PlanState

DUE = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
SPANS = st.timedeltas(timedelta(0), timedelta(days=30))


@given(ahead=SPANS.filter(bool), grace=SPANS, kind=st.sampled_from(PlanKind))
def test_nothing_is_made_before_its_time(
    ahead: timedelta, grace: timedelta, kind: PlanKind
) -> None:
    assert plans.time_of(kind, DUE, grace, DUE - ahead) is Time.EARLY


@given(late=SPANS, grace=SPANS)
def test_a_change_is_made_within_its_grace_and_not_after(
    late: timedelta, grace: timedelta
) -> None:
    said = plans.time_of(PlanKind.CHANGE, DUE, grace, DUE + late)
    assert said is (Time.DUE if late <= grace else Time.TOO_LATE)


@given(late=SPANS, grace=SPANS)
def test_an_end_is_never_too_late(late: timedelta, grace: timedelta) -> None:
    assert plans.time_of(PlanKind.END, DUE, grace, DUE + late) is Time.DUE


def test_what_is_closed_stays_as_it_was_closed() -> None:
    assert set(plans.NEXT) == set(PlanState)
    assert [state for state, after in plans.NEXT.items() if after] == [PlanState.WAITING]
    assert PlanState.WAITING not in plans.NEXT[PlanState.WAITING]
    vocabulary.check()
