"""How far a version has come, from what each process reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from routing.core import propagation
from routing.core.propagation import ALIVE_WITHIN_S, FORGOTTEN_AFTER_S, Runner

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CHANGED = NOW - timedelta(seconds=10)
LONG_AGO = NOW - timedelta(hours=1)


def runner(
    name: str, version: int = 57, *, after_s: float | None = 0.3, silent_s: float = 1.0,
    started_at: datetime = LONG_AGO, ended: bool = False,
) -> Runner:  # fmt: skip
    since = None if after_s is None else CHANGED + timedelta(seconds=after_s)
    return Runner(
        process=f"{name}:1", name=name, version=version, since=since, started_at=started_at,
        silent_s=silent_s, ended=ended,
    )  # fmt: skip


def judged(*runners: Runner, changed_at: datetime | None = CHANGED) -> propagation.Propagation:
    return propagation.judge(57, changed_at, runners, NOW)


def test_all_have_it_after_the_slowest_had_it() -> None:
    told = judged(runner("a", after_s=0.1), runner("b"), runner("c", after_s=0.2), runner("d"))
    assert told.complete and told.of == 4
    assert propagation.sentence(told) == "4 of 4 processes at version 57 after 0.3 s"


def test_one_that_lags_is_named_and_counted_on() -> None:
    told = judged(runner("a"), runner("b"), runner("c"), runner("d", 56, after_s=None))
    assert not told.complete and told.took_s is None
    assert [(one.name, one.version, one.behind_s) for one in told.laggards] == [("d", 56, 10.0)]
    said = "3 of 4 processes at version 57 10.0 s after the change"
    assert propagation.sentence(told) == said


def test_one_that_is_gone_is_named_and_nobody_waits_for_it() -> None:
    told = judged(runner("a"), runner("b", 56, silent_s=ALIVE_WITHIN_S + 1))
    assert told.complete and told.of == 1
    assert [(one.name, one.version) for one in told.gone] == [("b", 56)]


def test_one_that_said_goodbye_or_went_long_ago_is_no_news() -> None:
    told = judged(runner("a"), runner("b", 56, ended=True),
                  runner("c", 56, silent_s=FORGOTTEN_AFTER_S + 1))  # fmt: skip
    assert (told.of, told.gone, told.laggards) == (1, (), ())


def test_who_started_later_began_with_it_and_says_nothing_of_the_time() -> None:
    late = runner("b", after_s=5.0, started_at=CHANGED + timedelta(seconds=4))
    assert judged(runner("a"), late).took_s == 0.3
    assert judged(late).took_s is None
    assert propagation.sentence(judged(late)) == "1 of 1 process at version 57"


def test_without_a_process_nothing_is_complete() -> None:
    told = judged()
    assert not told.complete
    assert propagation.sentence(told).startswith("No process serves these flags now")


def test_a_version_from_before_its_time_was_noted_is_told_without_one() -> None:
    assert propagation.sentence(judged(runner("a"), changed_at=None)) == (
        "1 of 1 process at version 57"
    )


runners = st.lists(
    st.builds(
        runner,
        name=st.sampled_from("abcdef"),
        version=st.integers(50, 60),
        after_s=st.none() | st.floats(-5, 50),
        silent_s=st.floats(-60, 2000),
        started_at=st.sampled_from([LONG_AGO, NOW]),
        ended=st.booleans(),
    ),
    max_size=8,
)


@given(runners)
def test_every_living_process_is_counted_once_and_no_other(found: list[Runner]) -> None:
    told = judged(*found)
    alive = [r for r in found if not r.ended and abs(r.silent_s) <= ALIVE_WITHIN_S]
    assert told.of == len(alive)
    assert sorted([*told.have, *(one.process for one in told.laggards)]) == sorted(
        r.process for r in alive
    )
    assert told.complete == (bool(alive) and all(r.version >= 57 for r in alive))
    assert told.took_s is None or told.took_s >= 0
    assert all(one.version < 57 for one in told.laggards)
