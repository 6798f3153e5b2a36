from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import health
from routing.core.health import Known, Lag, Looked, Traffic
from routing.core.values import Breaker, Health, Operation, Path

NOW = 1_000_000_000
STEP = 5_000_000


def looks(*results: bool, ends: int = NOW) -> tuple[Looked, ...]:
    n = len(results)
    return tuple(
        Looked(at_us=ends - (n - 1 - i) * STEP, ok=ok, problem="" if ok else "refused")
        for i, ok in enumerate(results)
    )


def known(*results: bool, **more: object) -> Known:
    return Known(path=Path.MCP, probes=looks(*results), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ((True,), Health.HEALTHY),
        ((True, False), Health.DEGRADED),
        ((True, False, False), Health.DEGRADED),
        ((True, False, False, False), Health.UNHEALTHY),
        ((False, False, False, True), Health.DEGRADED),
        ((False, False, False, True, True), Health.HEALTHY),
        ((False,), Health.DEGRADED),
    ],
)
def test_probes_count_in_runs(results: tuple[bool, ...], status: Health) -> None:
    assert health.judge(known(*results), NOW).status is status


@pytest.mark.parametrize(
    ("failed", "slow", "status"),
    [
        (0, 0, Health.HEALTHY),
        (5, 0, Health.HEALTHY),
        (6, 0, Health.DEGRADED),
        (10, 0, Health.DEGRADED),
        (11, 0, Health.UNHEALTHY),
        (0, 5, Health.HEALTHY),
        (0, 6, Health.DEGRADED),
    ],
)
def test_real_traffic_counts_by_its_shares(failed: int, slow: int, status: Health) -> None:
    traffic = Traffic(calls=100, failed=failed, slow=slow, newest_us=NOW)
    assert health.judge(known(True, traffic=traffic), NOW).status is status


def test_a_path_that_is_spared_because_it_is_slow_is_degraded_and_says_so() -> None:
    lag = Lag(in_a_row=7, silent_s=1.0, usual_s=0.02)
    judged = health.judge(known(True, lags={Operation.STANDARD: lag}), NOW)
    assert judged.status is Health.DEGRADED
    assert judged.why == (
        "7 standard calls in a row were silent for over 1 s (20 ms are usual): those with another "
        "path go there.",
    )
    unheard = health.judge(known(True, lags={Operation.STANDARD: replace(lag, usual_s=None)}), NOW)
    assert "usual" not in unheard.why[0]


def test_what_a_probe_said_ends_in_one_full_stop() -> None:
    probes = [Looked(at_us=NOW, ok=False, problem="discover: No answer.")]
    judged = health.judge(Known(path=Path.MCP, probes=probes), NOW)
    assert judged.why == ("The last probe failed: discover: No answer.",)


def test_few_real_requests_say_nothing() -> None:
    traffic = Traffic(calls=19, failed=19, newest_us=NOW)
    assert health.judge(known(True, True, traffic=traffic), NOW).status is Health.HEALTHY


def test_without_a_fresh_measurement_it_is_unknown_and_has_no_score() -> None:
    old = Known(path=Path.MCP, probes=looks(True, True, ends=NOW - 2 * STEP - 1))
    judged = health.judge(old, NOW)
    assert (judged.status, judged.score) == (Health.UNKNOWN, None)
    assert health.judge(Known(path=Path.MCP), NOW).status is Health.UNKNOWN


def test_monitoring_off_is_unknown_never_green() -> None:
    assert health.judge(known(True, True, monitored=False), NOW).status is Health.UNKNOWN


def test_a_half_open_breaker_lets_older_samples_leave_the_status() -> None:
    before = looks(False, False, False, ends=NOW - STEP)
    after = looks(True, ends=NOW)
    both = Known(
        path=Path.MCP, probes=before + after, breaker=Breaker.HALF_OPEN, since_us=NOW - STEP + 1
    )
    assert health.judge(both, NOW).why == ("The breaker is half-open: trials decide.",)


@pytest.mark.parametrize("since", [NOW - 2 * STEP + 1, NOW - 1, NOW])
def test_failures_that_no_success_has_ended_stay_over_a_half_open_breaker(since: int) -> None:
    dead = known(True, False, False, False, breaker=Breaker.HALF_OPEN, since_us=since)
    judged = health.judge(dead, NOW)
    assert judged.status is Health.UNHEALTHY
    assert judged.why[0] == "3 probes in a row failed: refused."


def test_a_wait_that_is_over_is_no_success() -> None:
    dead = known(False, breaker=Breaker.HALF_OPEN, since_us=NOW)
    assert health.judge(dead, NOW).status is Health.UNHEALTHY


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"configured": False}, Health.NOT_CONFIGURED),
        ({"switched_on": False}, Health.OFF),
        ({"maintenance": True}, Health.MAINTENANCE),
        ({"breaker": Breaker.OPEN}, Health.UNHEALTHY),
        ({"breaker": Breaker.HALF_OPEN}, Health.DEGRADED),
    ],
)
def test_states_that_no_probe_outweighs(more: dict[str, object], status: Health) -> None:
    assert health.judge(known(True, True, **more), NOW).status is status


knowns = st.builds(
    Known,
    path=st.sampled_from(Path),
    configured=st.booleans(),
    switched_on=st.booleans(),
    monitored=st.booleans(),
    maintenance=st.booleans(),
    breaker=st.sampled_from(Breaker),
    probes=st.lists(
        st.builds(Looked, at_us=st.integers(NOW - 100_000_000, NOW), ok=st.booleans()), max_size=14
    ),
    traffic=st.builds(
        lambda calls, failed, slow, age: Traffic(
            calls=calls, failed=min(failed, calls), slow=min(slow, calls), newest_us=NOW - age
        ),
        st.integers(0, 200),
        st.integers(0, 200),
        st.integers(0, 200),
        st.integers(0, 60_000_000),
    ),
)


@given(knowns)
def test_green_means_measured_lately_and_fine(k: Known) -> None:
    judged = health.judge(k, NOW)
    assert (judged.score is None) == (
        judged.status in (Health.UNKNOWN, Health.OFF, Health.MAINTENANCE, Health.NOT_CONFIGURED)
    )
    if judged.status is Health.HEALTHY:
        ages = [NOW - p.at_us for p in k.probes]
        if k.traffic.calls >= health.LEAST_REAL:
            ages.append(NOW - k.traffic.newest_us)
        assert min(ages) <= 2 * STEP
        assert k.breaker in (Breaker.CLOSED, Breaker.FORCED_CLOSED)
        assert k.monitored and k.configured and k.switched_on
    else:
        assert judged.why, "every status but healthy says why"


@given(st.lists(st.sampled_from(Health), min_size=1))
def test_the_worst_wins_when_folded(healths: list[Health]) -> None:
    if Health.UNHEALTHY in healths:
        assert health.worst(healths) is Health.UNHEALTHY
    assert health.worst(healths) is health.worst(healths[::-1])
    assert health.worst([]) is Health.UNKNOWN


@given(knowns, st.integers(NOW - 100_000_000, NOW))
def test_a_line_drawn_by_the_breaker_hides_no_run_of_failed_probes(k: Known, line: int) -> None:
    ordered = sorted(k.probes, key=lambda p: p.at_us)[-health.UNHEALTHY_AFTER :]
    plain = replace(k, configured=True, switched_on=True, monitored=True, maintenance=False)
    down = (
        len(ordered) == health.UNHEALTHY_AFTER
        and not any(p.ok for p in ordered)
        and ordered[0].at_us >= NOW - health.WINDOW_US
        and ordered[-1].at_us >= NOW - 2 * k.interval_us
    )
    judged = health.judge(replace(plain, since_us=line), NOW)
    if down:
        assert judged.status is Health.UNHEALTHY


def test_a_path_that_compliance_shuts_is_red_whatever_its_probes_and_flags_say() -> None:
    shut = health.judge(known(breach="It runs in us-east-1."), NOW)
    assert (shut.status, shut.score, shut.why) == (
        Health.UNHEALTHY,
        None,
        ("It runs in us-east-1.",),
    )
