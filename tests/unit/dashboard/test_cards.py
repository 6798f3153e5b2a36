from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import cards
from dashboard.templatetags.words import ticked
from routing.audit.queries import EntryRow
from routing.core.values import Action

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-60, "just now"),
        (0, "just now"),
        (4.9, "just now"),
        (5, "5 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86_399, "23 h ago"),
        (86_400, "1 d ago"),
        (86_400 * 400, "400 d ago"),
    ],
)
def test_words_an_age_in_its_largest_unit(seconds: float, words: str) -> None:
    assert cards.ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_prints_the_zone_with_every_absolute_time() -> None:
    assert cards.absolute(NOW) == "2026-11-23 03:00:00 UTC"


def state(on: bool, percentage: int, version: int) -> dict[str, object]:
    return {"on": on, "percentage": percentage, "groups": [], "version": version}


def test_words_a_flag_in_one_word() -> None:
    before = {"ENABLE_MCP_INTEGRATION": state(True, 100, 3)}
    after = {"ENABLE_MCP_INTEGRATION": state(False, 100, 4)}
    assert cards.diff(before, after) == (("ENABLE_MCP_INTEGRATION", "on", "off"),)
    part = {"ENABLE_MCP_INTEGRATION": state(True, 25, 5)}
    assert cards.diff(after, part) == (("ENABLE_MCP_INTEGRATION", "off", "on for 25 %"),)


def test_leaves_the_side_empty_that_was_not_there() -> None:
    assert cards.diff(None, {"role": "admin"}) == (("role", "", "admin"),)
    assert cards.diff({"role": "admin"}, None) == (("role", "admin", ""),)


def test_says_nothing_of_what_is_empty_on_both_sides() -> None:
    assert cards.diff(None, {"groups": [], "note": None}) == ()


def test_names_where_a_nested_value_stands() -> None:
    assert cards.diff({"a": {"b": False}}, {"a": {"b": True}}) == (("a · b", "no", "yes"),)


def test_cuts_a_long_value_and_shows_that_it_did() -> None:
    ((_, _, shown),) = cards.diff(None, {"text": "x" * 5000})
    assert len(shown) == cards.LONGEST_VALUE
    assert shown.endswith("…")


@given(SMALL)
def test_equal_sides_differ_in_nothing(value: object) -> None:
    assert cards.diff(value, value) == ()


@given(SMALL, SMALL)
def test_every_difference_has_two_sides_that_were_there_or_none(old: object, new: object) -> None:
    forward, back = cards.diff(old, new), cards.diff(new, old)
    assert {(n, b, a) for n, b, a in forward} == {(n, a, b) for n, b, a in back}


def entry(**said: object) -> EntryRow:
    row: dict[str, object] = {
        "stream": "control",
        "seq": 7,
        "at": NOW,
        "actor_kind": "user",
        "actor": "user:0a1b",
        "role": "operator",
        "action": "flag.change",
        "environment": "staging",
        "object_type": "flag",
        "object_id": "ai.caching.enabled",
        "outcome": "done",
        "reason": "serves old answers",
        "before": {"ai.caching.enabled": state(True, 100, 1)},
        "after": {"ai.caching.enabled": state(False, 100, 2)},
        "facts": None,
        "request_id": "r",
        "hash": "00",
        "prev": "00",
    }
    return EntryRow(**(row | said))  # type: ignore[arg-type]


def test_an_entry_names_the_person_and_does_not_repeat_the_object() -> None:
    line = cards.audit_line(entry(), {"user:0a1b": "ops-2"})
    assert (line.who, line.did, line.target) == ("ops-2", "changed", "ai.caching.enabled")
    assert line.changes == (("", "on", "off"),)


def test_an_entry_of_somebody_unknown_shows_what_is_booked() -> None:
    assert cards.audit_line(entry(), {}).who == "user:0a1b"


def test_a_refusal_reads_as_a_try_with_its_reason() -> None:
    refused = entry(outcome="refused", before=None, after=None, facts={"message": "Too late."})
    line = cards.audit_line(refused, {})
    assert (line.did, line.refusal, line.changes) == ("tried to change", "Too late.", ())


@pytest.mark.parametrize(
    ("facts", "outcome", "did"),
    [
        ({"step": "smoke"}, "done", "took the step smoke of the deployment"),
        ({"step": "smoke"}, "failed", "failed the step smoke of the deployment"),
        (
            {"step": "bake", "skipped": "It does not bake."},
            "done",
            "skipped the step bake of the deployment",
        ),
        (None, "done", "took a step of the deployment"),
    ],
)
def test_a_step_is_named(facts: object, outcome: str, did: str) -> None:
    step = entry(action=Action.DEPLOYMENT_STEP, outcome=outcome, facts=facts, before=None)
    assert cards.audit_line(step, {}).did == did


@pytest.mark.parametrize(
    ("kind", "actor", "booked"),
    [
        ("shell", "shell:root@vm", "shell:root@vm"),
        ("token", "tok_1", "token tok_1"),
        ("", "", ""),
    ],
)
def test_a_name_that_says_its_kind_says_it_once(kind: str, actor: str, booked: str) -> None:
    assert cards.audit_line(entry(actor_kind=kind, actor=actor), {}).booked == booked


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Run `manage.py migrate`, then look.", "Run <code>manage.py migrate</code>, then look."),
        ("`<b>` & <i>", "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"),
        ("one ` alone <b>", "one ` alone &lt;b&gt;"),
        ("", ""),
    ],
)
def test_what_stands_between_backticks_is_code_and_stays_text(text: str, written: str) -> None:
    assert ticked(text) == written


def test_an_unreadable_entry_has_no_time_and_says_so() -> None:
    broken = entry(action="", actor="", at=datetime(1, 1, 1, tzinfo=UTC), broken="It was altered.")
    line = cards.audit_line(broken, {})
    assert (line.at, line.who, line.broken) == (None, "nobody known", "It was altered.")


@pytest.mark.parametrize("action", list(Action))
def test_every_action_has_words(action: Action) -> None:
    assert action in cards.DEEDS, f"say what {action} did, and tried, in dashboard.cards.DEEDS"
    assert all(cards.DEEDS[action])
