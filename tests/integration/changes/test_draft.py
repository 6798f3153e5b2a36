"""The draft of a matrix: begun, edited by compare-and-set, published with a reason, booked."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path as Folder
from typing import Any

import pytest
from django.core.management import call_command

from routing.changes import draft, route
from routing.changes.route import SetRoute
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, NotFound, Stale
from routing.core.flags import FlagName
from routing.core.values import Action, EnvironmentName, Operation, Path, Priority
from routing.matrix import codec, queries, store
from routing.matrix.drafts import Draft
from routing.matrix.models import MatrixVersion
from tests.integration.changes.ground import (
    ADMIN,
    DEV,
    NOW,
    OPERATOR,
    PROD,
    STG,
    VIEWER,
    apply,
    entries,
    facts,
    lay,
    to,
)

pytestmark = pytest.mark.django_db(transaction=True)
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
WHY = "moving standard over"


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()
    queries.refresh()


def begin(environment: EnvironmentName = STG, **more: Any) -> Draft:
    told: dict[str, Any] = {"by": OPERATOR, "now": NOW, "reason": WHY} | more
    return draft.begin(environment=environment, **told)


def rows_with(kept: Draft, operation: str, **changes: Any) -> list[dict[str, Any]]:
    rows = codec.encode(kept.matrix)
    return [row | changes if row["operation"] == operation else row for row in rows]


def edit(kept: Draft, operation: str = "standard", **changes: Any) -> Draft:
    return draft.save(
        by=OPERATOR,
        now=NOW,
        environment=kept.environment,
        revision=kept.revision,
        rows=rows_with(kept, operation, **(changes or {"split": 10})),
    )


def publish(kept: Draft, **more: Any) -> int:
    told: dict[str, Any] = {"by": OPERATOR, "now": NOW, "reason": WHY, "base_version": 1} | more
    done = draft.publish(environment=kept.environment, revision=kept.revision, **told)
    return done.version


def test_a_draft_is_published_as_the_next_version_and_closed_in_one_transaction() -> None:
    kept = edit(begin())
    assert store.read(STG).version == 1, "a draft changes nothing in force"
    assert publish(kept) == 2
    assert queries.current().of(STG).row(Operation.STANDARD).split == 10
    assert queries.draft(STG) is None
    (version,) = queries.history(STG)
    assert (version.version, version.made_by, version.reason) == (2, OPERATOR.id, WHY)
    newest = entries()[0]
    assert (newest.action, newest.reason) == (Action.MATRIX_CHANGE, WHY)
    assert facts(newest.after)["version"] == 2


def test_each_step_is_booked_by_who_took_it() -> None:
    draft.discard(by=ADMIN, now=NOW, environment=STG, revision=edit(begin()).revision)
    booked = [(e.action, e.actor) for e in entries()[:3]]
    assert booked == [
        (Action.DRAFT_DISCARD, ADMIN.id),
        (Action.DRAFT_SAVE, OPERATOR.id),
        (Action.DRAFT_SAVE, OPERATOR.id),
    ]


def test_there_is_one_draft_in_an_environment() -> None:
    begin()
    with pytest.raises(Stale, match="has a draft already"):
        begin(by=ADMIN)
    assert begin(DEV).environment is DEV


def test_the_slower_of_two_editors_changes_nothing() -> None:
    kept = begin()
    edit(kept)
    with pytest.raises(Stale, match="Nothing of yours was changed"):
        edit(kept, split=90)
    found = queries.draft(STG)
    assert found is not None and found.matrix.row(Operation.STANDARD).split == 10


def test_a_new_draft_is_never_taken_for_one_that_was_discarded() -> None:
    old = begin()
    draft.discard(by=OPERATOR, now=NOW, environment=STG, revision=old.revision)
    fresh = begin(by=ADMIN)
    assert fresh.revision > old.revision
    with pytest.raises(Stale):
        edit(old)


def test_what_breaks_a_rule_is_kept_listed_and_not_published() -> None:
    kept = edit(begin(), "emergency", when_down="fail_closed", split=5, fallback="mcp")
    assert len(kept.problems) == 3
    with pytest.raises(Invalid) as refused:
        publish(kept)
    assert refused.value.facts["problems"] == list(kept.problems)
    assert store.read(STG).version == 1


def test_what_cannot_be_read_is_refused_whole_with_every_problem() -> None:
    kept = begin()
    rows = rows_with(kept, "standard", primary="direct", budget_ms="30")
    rows[0]["colour"] = "red"
    del rows[1]["when_down"]
    rows.append(dict(rows[2]))
    with pytest.raises(Invalid) as refused:
        draft.save(by=OPERATOR, now=NOW, environment=STG, revision=kept.revision, rows=rows)
    assert refused.value.facts["problems"] == [
        "Row 1 (emergency) has 'colour', which no row has; leave that out.",
        "Row 2 (infrastructure) lacks when_down.",
        "Row 6 (standard) has the primary 'direct'; known: direct_bedrock, mcp.",
        "Row 6 (standard) has the budget_ms '30'; give a whole number.",
        "meta_monitor has 2 rows; keep one.",
    ]


@pytest.mark.parametrize("rows", [None, {}, "rows", [1], [{}], [{"operation": ["standard"]}]])
def test_rows_of_any_other_shape_are_refused_in_words(rows: Any) -> None:
    kept = begin()
    with pytest.raises(Invalid):
        draft.save(by=OPERATOR, now=NOW, environment=STG, revision=kept.revision, rows=rows)


def test_who_looked_at_an_older_matrix_does_not_publish_over_the_newer() -> None:
    kept = edit(begin())
    wanted = SetRoute(operation=Operation.META_MONITOR, primary=MCP, fallback=None, base_version=1)
    route.apply(by=OPERATOR, now=NOW, environment=STG, route=wanted, reason=WHY)
    with pytest.raises(Stale):
        publish(kept)
    assert publish(kept, base_version=2) == 3, "who has seen version 2 may"


def test_an_operation_that_would_lose_its_path_needs_a_confirmation() -> None:
    apply([to(FlagName.MCP_INTEGRATION, False)], confirmed=True)
    kept = edit(begin(), "infrastructure", primary="direct_bedrock", fallback=None, split=10)
    with pytest.raises(NeedsConfirm) as asked:
        publish(kept)
    assert any("infrastructure" in effect for effect in asked.value.facts["effects"])
    assert publish(kept, confirmed=True) == 2


def test_production_wants_its_name_and_staging_a_reason() -> None:
    kept = edit(begin(PROD))
    with pytest.raises(Invalid, match="Type the environment"):
        publish(kept)
    assert publish(kept, typed_environment="production") == 2
    with pytest.raises(Invalid, match="reason"):
        publish(edit(begin()), reason="")


def test_who_may_not_change_may_not_draft() -> None:
    with pytest.raises(Forbidden):
        begin(by=VIEWER)
    kept = begin()
    with pytest.raises(Forbidden):
        draft.discard(by=VIEWER, now=NOW, environment=STG, revision=kept.revision)
    booked = [(row.action, row.outcome) for row in entries()[:3]]
    assert booked == [
        (Action.DRAFT_DISCARD, "refused"),
        (Action.DRAFT_SAVE, "done"),
        (Action.DRAFT_SAVE, "refused"),
    ]


def test_an_unchanged_draft_is_no_version() -> None:
    with pytest.raises(Invalid, match="Nothing to change"):
        publish(begin())


def test_an_old_version_is_made_a_draft_again() -> None:
    publish(edit(begin()))
    again = begin(version=1)
    assert codec.encode(again.matrix) == codec.encode(store.version(STG, 1))
    assert publish(again, base_version=2) == 3
    assert store.read(STG).row(Operation.STANDARD).split == 0
    with pytest.raises(NotFound, match="has no version 9"):
        begin(version=9)


def test_what_was_published_under_other_rules_is_obeyed_and_listed_when_it_is_drafted() -> None:
    rows = codec.encode(store.read(STG))
    rows[0]["when_down"] = "fail_closed"
    MatrixVersion.objects.create(
        environment_id=STG, version=2, rows=rows, made_at=NOW, made_by="user:x"
    )
    queries.refresh()
    assert queries.current().of(STG).version == 2
    assert begin().problems == (
        "The row of emergency fails closed; an emergency is tried to the last. Leave it "
        "last_resort.",
    )


def test_a_row_is_narrowed_by_priority_and_that_is_taken_back() -> None:
    kept = begin()
    extra = dict(codec.encode(kept.matrix)[5]) | {"priority": "low", "primary": "direct_bedrock"}
    extra["fallback"] = None
    rows = [*codec.encode(kept.matrix), extra]
    kept = draft.save(by=OPERATOR, now=NOW, environment=STG, revision=kept.revision, rows=rows)
    publish(kept)
    inforce = queries.current().of(STG)
    assert inforce.row(Operation.STANDARD, Priority.LOW).primary is DIRECT
    assert inforce.row(Operation.STANDARD, Priority.HIGH).primary is MCP
    kept = begin()
    plain = [row for row in codec.encode(kept.matrix) if row["priority"] is None]
    kept = draft.save(by=OPERATOR, now=NOW, environment=STG, revision=kept.revision, rows=plain)
    publish(kept, base_version=2)
    assert not store.read(STG).narrowed


def test_a_split_keeps_its_row_when_only_the_fallback_is_set_and_goes_when_it_is_turned() -> None:
    publish(edit(begin()))

    def move(primary: Path, fallback: Path | None, base: int) -> int:
        wish = SetRoute(
            operation=Operation.STANDARD, primary=primary, fallback=fallback, base_version=base
        )
        done = route.apply(by=OPERATOR, now=NOW, environment=STG, route=wish, reason=WHY)
        return done.after.split

    assert move(MCP, None, 2) == 10
    assert move(DIRECT, MCP, 3) == 0


def run(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("matrix", *words, "--environment", "development", "--json", stdout=out)
    said: dict[str, Any] = json.loads(out.getvalue())
    return said


def test_the_command_drafts_from_a_file_tells_the_difference_and_publishes(
    tmp_path: Folder,
) -> None:
    shown = run("show")
    for row in shown["rows"]:
        if row["operation"] == "standard":
            row["split"] = 25
    (tmp_path / "rows.json").write_text(json.dumps(shown))
    made = run("draft", "--rows", str(tmp_path / "rows.json"))
    assert made["problems"] == []
    told = run("diff")
    assert told["differences"] == [
        "standard: share sent to the other path none → 25 % to direct_bedrock."
    ]
    assert run("publish")["version"] == 2
    assert run("show")["version"] == 2 and run("show", "--number", "1")["version"] == 1
