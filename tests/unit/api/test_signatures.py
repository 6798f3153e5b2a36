"""Signed requests: believed as botocore signs them, and refused when one thing is different."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from routing.api import sigv4
from routing.api.booking import Unknown
from routing.api.refusals import BadSignature
from tests.unit.api import calls
from tests.unit.api.calls import Caller, Given
from tests.unit.stage import NOW

PATH = "/bedrock/model/hybridops/converse"
BODY = {"messages": [{"role": "user", "content": [{"text": "How are we?"}]}]}
Headers = list[tuple[str, str]]


def signed(
    monkeypatch: pytest.MonkeyPatch,
    *,
    path: str = PATH,
    body: object = BODY,
    secret: str = "secret of plain",
    key: str = "HYOPLAIN",
    region: str = "eu-central-1",
    service: str = "bedrock",
    late: timedelta = timedelta(0),
    more: dict[str, str] | None = None,
) -> tuple[Headers, bytes]:
    """Return headers and body as botocore signs them at NOW."""
    data = json.dumps(body).encode()
    headers = {"Host": "ops.example.org", "Content-Type": "application/json", **(more or {})}
    request = AWSRequest(
        method="POST", url=f"https://ops.example.org{path}", data=data, headers=headers
    )
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW + late)
    SigV4Auth(Credentials(key, secret), service, region).add_auth(request)
    return [(name, str(value)) for name, value in request.headers.items()], data


async def ask(caller: Caller, headers: Headers, data: bytes, path: str = PATH) -> Given:
    return await caller.send(calls.scope("POST", path, headers), [data])


async def test_what_botocore_signs_is_believed(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of every attack below."""
    given = await ask(caller, *signed(monkeypatch))
    assert given.status == 200
    (kept,) = caller.stage.records()
    assert given.headers["x-hybridops-decision"] == kept["id"]
    assert kept["token"] == "tok_plain"


@pytest.mark.parametrize("late_s", [-300, 300])
async def test_so_is_what_was_signed_five_minutes_ago_or_ahead(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, late_s: int
) -> None:
    late = timedelta(seconds=late_s)
    assert (await ask(caller, *signed(monkeypatch, late=late))).status == 200


async def test_a_path_is_signed_encoded_once_more(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/bedrock/model/a%3Ab%2Fc%20d/converse"
    given = await ask(caller, *signed(monkeypatch, path=path), path=path)
    assert given.headers["x-amzn-errortype"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "more",
    [
        {"secret": "secret of urgent"},
        {"secret": ""},
        {"key": "HYOURGENT"},
        {"late": timedelta(seconds=301)},
        {"late": timedelta(seconds=-301)},
        {"late": timedelta(days=-1)},
        {"service": "s3"},
        {"path": PATH + "-stream"},
        {"path": "/bedrock/model/hybridops%2Fx/converse"},
        {"more": {"X-Amz-Security-Token": "t"}},
        {"more": {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}},
    ],
)
async def test_what_was_signed_otherwise_is_refused(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    await _refused(caller, *signed(monkeypatch, **more))


def swap(name: str, change: Callable[[str], str]) -> Callable[[Headers], Headers]:
    def do(headers: Headers) -> Headers:
        return [(k, change(v) if k.lower() == name else v) for k, v in headers]

    return do


def put(name: str, value: str) -> Callable[[Headers], Headers]:
    return lambda headers: [*headers, (name, value)]


def without(name: str) -> Callable[[Headers], Headers]:
    return lambda headers: [pair for pair in headers if pair[0].lower() != name]


@pytest.mark.parametrize(
    "attack",
    [
        swap("x-hybridops-operation", lambda _: "meta_monitor"),
        swap("content-type", lambda _: "application/json; charset=utf-8"),
        swap("x-amz-date", lambda v: v[:-2] + "9Z"),
        swap("x-amz-date", lambda _: "20261123T250000Z"),
        swap("x-amz-date", lambda _: "now"),
        put("X-HybridOps-Priority", "high"),
        put("X-HybridOps-Operation", "meta_monitor"),
        put("X-Amz-Meta", "x"),
        put("Content-Type", "application/json"),
        without("x-amz-date"),
        without("x-hybridops-operation"),
        swap("authorization", lambda v: v.replace("eu-central-1", "us-east-1")),
        swap("authorization", lambda v: v.replace("20261123/", "20261122/")),
        swap("authorization", lambda v: v.replace("HYOPLAIN", "HYOURGENT")),
        swap("authorization", lambda v: v.replace("HYOPLAIN", "HYONOBODY")),
        swap("authorization", lambda v: v.replace("HYOPLAIN", "HYOOLD")),
        swap("authorization", lambda v: v.replace(";x-hybridops-operation", "")),
        swap("authorization", lambda v: v.replace("content-type;host", "host;content-type")),
        swap("authorization", lambda v: v.replace("content-type;host", "content-type;host;host")),
        swap("authorization", lambda v: v.replace("host;", "host;user-agent;")),
        swap("authorization", lambda v: v[:-1] + ("0" if v[-1] != "0" else "1")),
        swap("authorization", lambda v: v[:-64] + v[-64:].upper()),
        swap("authorization", lambda v: v[:-1]),
        swap("authorization", lambda v: v.replace("aws4_request", "aws5_request")),
        swap("authorization", lambda _: "AWS4-HMAC-SHA256 Credential="),
        swap("authorization", lambda _: "AWS4-HMAC-SHA256"),
        without("authorization"),
    ],
)
async def test_what_was_changed_on_the_way_is_refused(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, attack: Callable[[Headers], Headers]
) -> None:
    more = {"X-HybridOps-Operation": "infrastructure"}
    headers, data = signed(monkeypatch, more=more)
    await _refused(caller, attack(headers), data)
    assert (await ask(caller, headers, data)).status == 200


async def test_what_was_signed_for_another_host_is_refused(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, data = signed(monkeypatch, more={"Host": "elsewhere.example.org"})
    await _refused(caller, swap("host", lambda _: "ops.example.org")(headers), data)


async def test_another_body_is_refused(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    headers, data = signed(monkeypatch)
    await _refused(caller, headers, data.replace(b"How", b"Who"))
    await _refused(caller, headers, data + b" ")


async def test_a_signature_that_stands_twice_is_refused(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, data = signed(monkeypatch)
    twice = [*headers, ("Authorization", dict(headers)["Authorization"])]
    assert (await ask(caller, twice, data)).status == 400
    assert not caller.stage.records()


@pytest.mark.parametrize("path", ["/api/v1/route", "/openai/v1/chat/completions"])
async def test_only_the_door_of_aws_takes_signatures(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    given = await ask(caller, *signed(monkeypatch, path=path), path=path)
    assert given.status == 401
    assert not caller.stage.records()


async def test_wrong_signatures_are_counted_as_unknown_secrets_are(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(caller, *signed(monkeypatch, secret="guessed"))
    await ask(caller, *signed(monkeypatch, key="HYONOBODY"))
    caller.booking.close()
    assert [type(fact) for fact in caller.booked] == [Unknown, Unknown]


async def _refused(caller: Caller, headers: Headers, data: bytes) -> None:
    given = await ask(caller, headers, data)
    assert given.status == 403
    assert given.headers["x-amzn-errortype"] in (
        "InvalidSignatureException",
        "UnrecognizedClientException",
    )
    assert not caller.stage.records()


@pytest.mark.parametrize(
    ("more", "extra"),
    [
        ({}, ("x-hybridops-priority", "high")),
        ({"late": timedelta(minutes=-6)}, None),
        ({"more": {"X-Amz-Security-Token": "t"}}, None),
    ],
)
def test_the_signature_alone_would_let_them_pass(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], extra: tuple[str, str] | None
) -> None:
    """What keeps these out is the look at the headers, so that is not for nothing."""
    headers, body = signed(monkeypatch, **more)
    pairs = [(k.lower().encode(), v.encode()) for k, v in [*headers, *([extra] if extra else [])]]
    claim = sigv4.read(dict(headers)["Authorization"])
    with pytest.raises(BadSignature):
        sigv4.check(claim, pairs, NOW)
    sigv4.verify(
        claim,
        secret="secret of plain",
        method="POST",
        raw_path=PATH.encode(),
        headers=pairs,
        body=body,
    )


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), what=st.sampled_from(["body", "path"]))
def test_no_byte_of_body_or_path_can_be_another(at: int, flip: int, what: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        headers, body = signed(patch)
    path = PATH.encode()
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers]
    claim = sigv4.read(dict(headers)["Authorization"])

    def check(path: bytes, body: bytes) -> None:
        sigv4.verify(
            claim,
            secret="secret of plain",
            method="POST",
            raw_path=path,
            headers=pairs,
            body=body,
        )

    check(path, body)
    spoiled = bytearray(body if what == "body" else path)
    spoiled[at % len(spoiled)] ^= flip
    with pytest.raises(BadSignature):
        check(
            path if what == "body" else bytes(spoiled), bytes(spoiled) if what == "body" else body
        )
