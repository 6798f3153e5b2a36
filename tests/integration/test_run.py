"""`make test` tells the truth: by its exit status, and by its last line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import run
from tests.run import Leg

pytestmark = pytest.mark.only_on("sqlite")  # the runs within choose their own database
PASSING = Leg(name="passing", places=("integration/samples/passing.py",))
FAILING = Leg(name="failing", places=("integration/samples/failing.py",))
EMPTY = Leg(name="empty", places=("integration/samples/__init__.py",))
BESIDE = Leg(name="beside", places=FAILING.places, beside=True)
MISSING = Leg(
    name="missing", places=("integration/samples/passing.py",), missing="no moon tonight"
)
BLIND = Leg(name="blind", places=PASSING.places, surroundings={"PATH": "/nonexistent"})


@pytest.fixture(autouse=True)
def _nothing_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYBRIDOPS_REQUIRE_ALL", raising=False)
    monkeypatch.delenv("HYBRIDOPS_TALLY", raising=False)


def last_line(capfd: pytest.CaptureFixture[str]) -> str:
    return capfd.readouterr().out.splitlines()[-1]


def test_passes_and_counts_over_all_legs(capfd: pytest.CaptureFixture[str]) -> None:
    assert run.main([], [BLIND, EMPTY]) == 0
    assert last_line(capfd) == "1 passed, 0 failed, 1 skipped"


def test_a_failing_leg_fails_the_run_and_stops_no_other(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run.main([], [FAILING, PASSING]) == 1
    assert last_line(capfd) == "2 passed, 1 failed, 0 skipped"


def test_a_leg_beside_another_counts_and_is_printed_behind_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert (
        run.main(
            [],
            [PASSING, BESIDE, replace(BESIDE, name="third", places=PASSING.places), PASSING],
        )
        == 1
    )
    said = capfd.readouterr().out.splitlines()
    assert said[-1] == "6 passed, 1 failed, 0 skipped"
    heads = [line.split()[1] for line in said if line.startswith("== ")]
    assert heads == ["passing", "beside", "third", "passing", "wrong:"]
    assert any("FAILED" in line for line in said), "what it printed is not lost"


def test_a_missing_service_is_said_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    run.main([], [MISSING])
    said = [line for line in capfd.readouterr().out.splitlines() if "no moon tonight" in line]
    assert said == ["== skipped: missing: no moon tonight"]


def test_no_test_at_all_is_no_success() -> None:
    assert run.main([], [EMPTY]) == 1


@pytest.mark.parametrize("leg", [MISSING, BLIND], ids=lambda leg: leg.name)
def test_what_is_missing_fails_the_build(leg: Leg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDOPS_REQUIRE_ALL", "1")
    assert run.main([], [PASSING, leg]) == 1
