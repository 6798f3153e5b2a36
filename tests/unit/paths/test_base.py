from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.values import EnvironmentName, Failure, Operation
from routing.paths import base
from routing.paths.base import Billed, Call, Message, PathError, Probe, Stage


def call(text: str = "hello", system: str = "") -> Call:
    return Call(
        environment=EnvironmentName.STAGING,
        operation=Operation.STANDARD,
        messages=(Message(role="user", text=text),),
        max_tokens=10,
        timeout_s=1,
        decision_id="d",
        system=system,
    )


def test_a_probe_without_any_stage_is_not_good() -> None:
    assert not Probe().ok
    good, bad = (Stage(name="x", ok=ok, ms=1.0) for ok in (True, False))
    assert Probe(stages=(good,)).ok
    assert not Probe(stages=(good, bad)).ok


@pytest.mark.parametrize("where", ["text", "system"])
def test_half_a_surrogate_pair_is_refused(where: str) -> None:
    with pytest.raises(PathError) as caught:
        base.check(call(**{where: "x\ud83d"}))
    assert (caught.value.failure, caught.value.sent) == (Failure.VALIDATION, False)
    base.check(call(text="\U0001f600", system="\0"))


@given(st.text())
def test_words_are_one_short_printable_line(said: str) -> None:
    shown = base.words(said)
    assert len(shown) <= base.LONGEST_DETAIL
    assert shown.isprintable()
    assert shown == shown.strip()


SECRET = "c2VjcmV0LXRva2VuLXZhbHVlLTEyMw=="


@pytest.mark.parametrize(
    "said",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization={SECRET}",
        f'{{"authorization": "Basic {SECRET}"}}',
        f"AWS4-HMAC-SHA256 Credential={SECRET}, SignedHeaders=host, Signature={SECRET}",
        f"X-Amz-Security-Token:{SECRET}",
        f"x-amz-security-token: {SECRET}",
        f"the api_key={SECRET} is wrong",
        f"api-key: {SECRET}",
        f"Bearer {SECRET}",
        f"token={SECRET}",
        f"password: {SECRET}",
    ],
)
def test_words_leave_out_what_looks_like_a_secret(said: str) -> None:
    assert SECRET not in base.words(said)


def test_words_leave_out_key_ids_and_keep_the_rest() -> None:
    assert base.words("User AKIAABCDEFGHIJKLMNOP is not authorized to perform: x:Y") == (
        "User ... is not authorized to perform: x:Y"
    )
    assert base.words("ThrottlingException: Too many tokens, please wait.") == (
        "ThrottlingException: Too many tokens, please wait."
    )


@given(st.text(min_size=base.ECHO), st.text(max_size=40), st.text(max_size=40))
def test_a_detail_that_quotes_the_prompt_is_dropped(prompt: str, before: str, after: str) -> None:
    said = before + prompt[: base.ECHO] + after
    billed = Billed(model="m")
    error = PathError(Failure.TOOL_ERROR, said, sent=False, retry_after_s=2.0, billed=billed)
    for asked in (call(text=prompt), call(text="x", system=prompt)):
        kept = base.discreet(error, asked)
        assert prompt[: base.ECHO] not in kept.detail or prompt[: base.ECHO] in QUIET
        assert (kept.failure, kept.sent, kept.retry_after_s) == (Failure.TOOL_ERROR, False, 2.0)
        assert kept.billed is billed


QUIET = "The other side's words repeat the prompt, so they are not kept."


@pytest.mark.parametrize("said", ["", "short", "The tool gave no words at all."])
def test_other_details_are_kept(said: str) -> None:
    error = PathError(Failure.PROVIDER, said)
    assert base.discreet(error, call(text="something else entirely")) is error


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999", 999999999.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("\u0663", None),
        ("1" * 400, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_only_plain_seconds_are_a_hint(header: str, seconds: float | None) -> None:
    assert base.seconds(header) == seconds
