"""What the door takes at all: hosts, methods, media, sizes, rates; no 500 for what is sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path as Folder

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.api import door, wire
from routing.api.quota import Limits
from routing.api.wire import Message
from routing.paths.scripted import waits
from tests.unit.api import calls
from tests.unit.api.calls import HOST, JSON, PROMPT, Caller

OPERATION, PRIORITY = "X-HybridOps-Operation", "X-HybridOps-Priority"
PATH, NONCE = "X-HybridOps-Path", "X-HybridOps-Nonce"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ((("Content-Type", "text/plain"),), 415),
        ((("Content-Type", "multipart/form-data"),), 415),
        ((("Content-Type", "application/json; charset=latin-1"),), 415),
        ((("Content-Type", "application/json;charset=UTF-8"),), 200),
        ((("Content-Encoding", "gzip"),), 415),
        ((("Content-Encoding", "identity"),), 200),
        ((("Content-Length", "1048577"),), 413),
        ((("Content-Length", "9" * 5000),), 413),
        ((("Content-Length", "-1"),), 400),
        ((("Content-Length", "\u00b2"),), 400),
        ((("Content-Length", "5"), ("Content-Length", "6")), 400),
    ],
)
async def test_takes_plain_json_of_a_known_size(
    caller: Caller, more: tuple[tuple[str, str], ...], status: int
) -> None:
    given = await caller.post(PROMPT, *more)
    assert given.status == status
    if status != 200:
        # What was announced and not read must not be taken for the next request.
        closes = given.headers.get("connection") == "close"
        assert closes is ("Content-Length" in dict(more))
        assert not caller.stage.mcp.calls


async def test_a_body_that_announces_no_length_is_counted(caller: Caller) -> None:
    part = b" " * 65_536
    inside = [json.dumps(PROMPT).encode(), *[part] * 15]
    assert (await caller.post(chunks=inside)).status == 200
    given = await caller.post(chunks=[*inside, part, b"not read"])
    assert (given.status, given.error["code"]) == (413, "too_large")


async def test_a_body_that_does_not_come_is_not_waited_for(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "BODY_WITHIN_S", 0.05)
    request = calls.scope(
        "POST",
        door.ROUTE,
        [HOST, JSON, ("Authorization", "Bearer plain"), ("Content-Length", "9")],
    )
    given = await caller.send(request, [])
    assert (given.status, given.headers["connection"]) == (408, "close")


@pytest.mark.parametrize("host", [None, "evil.example", "", "ops.example.org@evil", "a b"])
async def test_answers_under_its_own_names_only(caller: Caller, host: str | None) -> None:
    headers = [JSON, ("Authorization", "Bearer plain")]
    if host is not None:
        headers.append(("Host", host))
    assert (await caller.send(calls.scope("POST", door.ROUTE, headers), [b""])).status == 400


async def test_two_hosts_are_none(caller: Caller) -> None:
    assert (await caller.post(PROMPT, HOST)).status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"])
async def test_another_method_is_told_the_right_one(caller: Caller, method: str) -> None:
    given = await caller.send(calls.scope(method, door.ROUTE, [HOST]), [])
    assert (given.status, given.headers["allow"]) == (405, "POST")
    assert (given.raw == b"") is (method == "HEAD")


async def test_the_report_is_only_read(caller: Caller) -> None:
    given = await caller.post(path=door.REPORT, secret="run")
    assert (given.status, given.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/routes", "/api/v1/route/", "/api/v1/../v1/route", "/api/\x00"]
)
async def test_an_unknown_address_is_a_404_in_json(caller: Caller, path: str) -> None:
    given = await caller.post(path=path)
    assert (given.status, given.error["code"]) == (404, "not_found")


async def test_a_query_is_refused(caller: Caller) -> None:
    request = calls.scope("POST", door.ROUTE, [HOST], query=b"operation=emergency")
    assert (await caller.send(request, [])).status == 400


async def test_too_many_requests_of_one_token_wait_and_others_do_not(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(per_second=3)) as caller:
        given = [await caller.post() for _ in range(12)]
        refused = [g for g in given if g.status == 429]
        assert {g.status for g in given} == {200, 429}
        assert {g.headers["retry-after"] for g in refused} == {"1"}
        assert (await caller.post(secret="urgent")).status == 200


async def test_a_token_has_so_many_requests_under_way(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(at_once=2)) as caller:
        gate = asyncio.Event()
        caller.stage.mcp.otherwise = waits(gate)
        under_way = [asyncio.create_task(caller.post()) for _ in range(2)]
        await caller.stage.mcp.arrived(2)
        third = await caller.post()
        assert (third.status, third.headers["retry-after"]) == (429, "1")
        gate.set()
        assert [(await task).status for task in under_way] == [200, 200]
        assert (await caller.post()).status == 200


class Theirs(Exception):
    """What the server's edge raises to answer by itself."""


async def test_what_the_edge_raises_is_left_to_the_edge(caller: Caller) -> None:
    async def receive() -> Message:
        raise Theirs

    async def send(message: Message) -> None:
        raise AssertionError(message)

    request = calls.scope("POST", door.ROUTE, [HOST, JSON, ("Authorization", "Bearer plain")])
    with pytest.raises(Theirs):
        await caller.app(request, receive, send)


HEADER_TEXT = st.text(st.characters(max_codepoint=255), max_size=30)
NAMES = st.sampled_from(
    [OPERATION, PRIORITY, PATH, NONCE, "Content-Type", "Content-Length", "Host"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    body=st.binary(max_size=80) | st.just(json.dumps(PROMPT).encode()),
    more=st.lists(st.tuples(NAMES, HEADER_TEXT), max_size=3),
    path=st.sampled_from([door.ROUTE, door.EXPLAIN, door.REPORT, "/api/x"]),
    method=st.sampled_from(["POST", "GET", "HEAD"]),
    secret=st.sampled_from(["plain", "run", "urgent", "nobody"]),
)
def test_nothing_that_a_caller_sends_is_a_500(  # noqa: PLR0917
    caller: Caller,
    body: bytes,
    more: list[tuple[str, str]],
    path: str,
    method: str,
    secret: str,
) -> None:
    headers = [HOST, JSON, ("Authorization", f"Bearer {secret}"), *more]
    caller.leave = asyncio.Event()
    given = asyncio.run(caller.send(calls.scope(method, path, headers), [body]))
    assert given.status < 500
    if method != "HEAD":
        assert ("error" in given.body) is (given.status != 200)
