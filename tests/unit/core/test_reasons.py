"""What a person must say to a change, per environment."""

from __future__ import annotations

import pytest

from routing.core import reasons
from routing.core.errors import Invalid
from routing.core.values import EnvironmentName

DEV, STG, PROD = EnvironmentName


@pytest.mark.parametrize("environment", [STG, PROD])
@pytest.mark.parametrize("reason", ["", "    ", "ok", "  four", "why "])
def test_staging_and_production_ask_for_a_reason(
    environment: EnvironmentName, reason: str
) -> None:
    with pytest.raises(Invalid, match="at least 5"):
        reasons.check(reason, environment)


def test_development_takes_none_and_what_is_given_is_trimmed() -> None:
    assert reasons.check("", DEV) == ""
    assert reasons.check("  incident 42  ", PROD) == "incident 42"


@pytest.mark.parametrize("environment", EnvironmentName)
def test_the_length_is_counted_in_characters(environment: EnvironmentName) -> None:
    assert reasons.check("ü" * 500, environment) == "ü" * 500
    with pytest.raises(Invalid, match="501"):
        reasons.check("ü" * 501, environment)


@pytest.mark.parametrize("environment", EnvironmentName)
@pytest.mark.parametrize(
    "bad", ["\x00", "\n", "\r", "\t", "\x1b[2J", "\x7f", "\x85", "\ud800", "\u2028", "\u202e"]
)
def test_what_could_forge_or_turn_a_line_is_refused_everywhere(
    environment: EnvironmentName, bad: str
) -> None:
    with pytest.raises(Invalid, match="control"):
        reasons.check(f"rolled{bad} back", environment)


@pytest.mark.parametrize("typed", ["", "prod", "Production", "production ", "staging"])
def test_only_the_exact_name_opens_production(typed: str) -> None:
    with pytest.raises(Invalid, match="production"):
        reasons.check_place(typed, PROD)
    reasons.check_place("production", PROD)
    reasons.check_place(typed, STG)


@pytest.mark.parametrize("others", [(STG,), (PROD,), (DEV, PROD)])
def test_what_concerns_more_than_development_needs_a_reason(
    others: tuple[EnvironmentName, ...],
) -> None:
    assert reasons.check_everywhere(" ", ()) == reasons.check_everywhere("", (DEV,)) == ""
    with pytest.raises(Invalid, match="needs a reason"):
        reasons.check_everywhere("no", others)
    assert reasons.check_everywhere(" left us ", others) == "left us"
    with pytest.raises(Invalid, match="control characters"):
        reasons.check_everywhere("left\nus", ())
