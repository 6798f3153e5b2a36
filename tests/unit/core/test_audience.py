"""Groups of callers: what a token says, and which words can name one."""

from __future__ import annotations

import pytest

from routing.core import audience
from routing.core.errors import Invalid


def test_a_caller_is_in_the_groups_of_its_token() -> None:
    found = audience.of(tenant="acme", token="nightly batch", role="viewer")
    assert found == {"tenant:acme", "token:nightly batch", "role:viewer"}
    assert audience.of_tenant("acme") == {"tenant:acme"}


def test_groups_are_kept_sorted_and_once() -> None:
    asked = ["token:b", "tenant:a", "token:b"]
    assert audience.check(asked) == ("tenant:a", "token:b")
    assert audience.check([]) == ()


@pytest.mark.parametrize(
    "word",
    [
        "",
        "acme",
        "tenant",
        "tenant:",
        "user:ada",
        "Tenant:acme",
        "tenant:a\nb",
        "token:" + "x" * 67,
    ],
)
def test_a_word_that_no_caller_can_be_in_is_refused(word: str) -> None:
    with pytest.raises(Invalid, match="is no group"):
        audience.check([word])


def test_one_flag_takes_ten_groups() -> None:
    ten = [f"tenant:{n}" for n in range(10)]
    assert len(audience.check(ten)) == audience.MOST
    with pytest.raises(Invalid, match="11 groups"):
        audience.check([*ten, "tenant:x"])
