from __future__ import annotations

import logging

import pytest

from hybridops import edge
from hybridops.edge import App, Receive, Rules, Scope, Send
from tests.unit.hybridops.asgi_calls import HOST, call, reply, scope, swallow

MIB = 1024 * 1024
RULES = Rules(
    origins=["https://ops.example.org"], hosts=["ops.example.org", "127.0.0.1"], https=True
)
EVERYWHERE = {
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "strict-transport-security",
    "x-request-id",
    "cache-control",
}


def answering(status: int, **headers: str) -> App:
    async def app(request: Scope, receive: Receive, send: Send) -> None:
        await reply(send, status, b"body", **headers)

    return app


async def broken(request: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("secret detail")


def guarded(app: App) -> App:
    return edge.guard(app, RULES)


def post(path: str = "/", *extra: tuple[bytes, bytes]) -> Scope:
    return scope(path, "POST", (HOST, *extra))


@pytest.mark.parametrize("status", [200, 302, 400, 404, 500])
async def test_every_answer_carries_the_security_headers(status: int) -> None:
    answer = await call(guarded(answering(status)), scope())
    assert answer.status == status
    assert EVERYWHERE.issubset(answer.header_names)


async def test_an_answer_of_the_edge_itself_carries_them_too() -> None:
    for request in (
        scope(headers=()),
        scope(method="TRACE"),
        post("/", (b"content-length", b"9" * 9)),
    ):
        answer = await call(guarded(answering(200)), request)
        assert answer.status >= 400
        assert EVERYWHERE.issubset(answer.header_names)


async def test_without_the_edge_there_are_no_headers() -> None:
    answer = await call(answering(200), scope())
    assert answer.header_names == []


async def test_a_weaker_header_from_inside_is_replaced_and_not_doubled() -> None:
    app = answering(200, content_security_policy="default-src *", x_frame_options="SAMEORIGIN")
    answer = await call(guarded(app), scope())
    assert answer.header_names.count("content-security-policy") == 1
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["x-frame-options"] == "DENY"


async def test_the_policy_allows_no_inline_code_and_only_our_own_sockets() -> None:
    answer = await call(guarded(answering(200)), scope())
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "connect-src 'self' wss://ops.example.org;" in policy


async def test_pages_are_not_stored_unless_the_view_says_so() -> None:
    assert (await call(guarded(answering(200)), scope())).headers["cache-control"] == "no-store"
    app = answering(200, cache_control="max-age=5")
    assert (await call(guarded(app), scope())).headers["cache-control"] == "max-age=5"


async def test_hsts_is_sent_only_over_https() -> None:
    plain = edge.guard(answering(200), Rules(origins=[], hosts=["ops.example.org"], https=False))
    assert "strict-transport-security" not in (await call(plain, scope())).header_names


async def test_each_request_gets_its_own_id_and_none_from_the_client() -> None:
    seen: list[str] = []

    async def app(request: Scope, receive: Receive, send: Send) -> None:
        seen.append(request["request_id"])
        await reply(send, 200, b"", x_request_id="spoofed")

    headers = (HOST, (b"x-request-id", b"mine"))
    answers = [await call(guarded(app), scope(headers=headers)) for _ in range(2)]
    assert [a.headers["x-request-id"] for a in answers] == seen
    assert len(set(seen)) == 2
    assert not {"mine", "spoofed"} & set(seen)


async def test_a_declared_length_over_the_cap_is_refused_before_a_byte_is_read() -> None:
    request = post("/", (b"content-length", str(MIB + 1).encode()))
    answer = await call(guarded(swallow), request, [b"x" * MIB, b"x"])
    assert answer.status == 413
    assert answer.bytes_read == 0
    assert answer.headers["connection"] == "close"


async def test_an_undeclared_body_is_cut_off_at_the_cap() -> None:
    chunk = b"x" * 65_536
    answer = await call(guarded(swallow), post(), (chunk for _ in range(1600)))
    assert answer.status == 413
    assert answer.bytes_read <= MIB + len(chunk)


async def test_without_the_cap_the_whole_body_would_be_read() -> None:
    chunk = b"x" * 65_536
    answer = await call(swallow, post(), (chunk for _ in range(160)))
    assert answer.bytes_read == 10 * MIB


async def test_a_body_of_exactly_the_cap_passes() -> None:
    answer = await call(guarded(swallow), post(), [b"x" * MIB])
    assert (answer.status, answer.body) == (200, str(MIB).encode())


async def test_a_length_that_lies_does_not_lift_the_cap() -> None:
    request = post("/", (b"content-length", b"10"))
    answer = await call(guarded(swallow), request, [b"x" * MIB, b"x"])
    assert answer.status == 413


async def test_an_import_may_carry_two_mebibytes_and_its_frame() -> None:
    path = "/e/development/deployments/import/"
    answer = await call(guarded(swallow), post(path), [b"x" * (2 * MIB + 1000)])
    assert answer.status == 200
    answer = await call(guarded(swallow), post(path), [b"x" * (3 * MIB)])
    assert answer.status == 413


@pytest.mark.parametrize("said", [b"-1", b"1e3", b"0x10", b"", b"\xb2"])
async def test_a_length_that_is_no_number_is_refused(said: bytes) -> None:
    assert (await call(guarded(swallow), post("/", (b"content-length", said)))).status == 400


async def test_two_different_lengths_are_refused() -> None:
    request = post("/", (b"content-length", b"1"), (b"content-length", b"2"))
    assert (await call(guarded(swallow), request)).status == 400


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "DEBUG", "FOO", "get"])
async def test_methods_that_nobody_serves_are_refused(method: str) -> None:
    assert (await call(guarded(answering(200)), scope(method=method))).status == 405


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"host", b"evil.example"),),
        (HOST, (b"host", b"evil.example")),
        ((b"host", b"ops.example.org@evil.example"),),
        ((b"host", b"ops.example.org\\evil"),),
    ],
)
async def test_another_host_name_is_refused(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert (await call(guarded(answering(200)), scope(headers=headers))).status == 400


async def test_an_orchestrator_may_ask_for_life_under_any_host() -> None:
    request = scope("/livez", headers=((b"host", b"10.0.0.7:8000"),))
    assert (await call(guarded(answering(200)), request)).status == 200


@pytest.mark.parametrize(
    ("site", "status"),
    [(b"cross-site", 403), (b"same-site", 403), (b"same-origin", 200), (b"none", 200)],
)
async def test_a_change_asked_by_another_site_is_refused(site: bytes, status: int) -> None:
    request = post("/", (b"sec-fetch-site", site))
    assert (await call(guarded(answering(200)), request)).status == status


async def test_a_link_from_another_site_may_be_followed() -> None:
    request = scope(headers=(HOST, (b"sec-fetch-site", b"cross-site")))
    assert (await call(guarded(answering(200)), request)).status == 200


async def test_a_failure_tells_the_request_id_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await call(guarded(broken), scope())
    assert answer.status == 500
    assert b"secret detail" not in answer.body
    assert answer.headers["x-request-id"].encode() in answer.body
    assert answer.headers["x-request-id"] in caplog.text
    assert "secret detail" in caplog.text


async def test_half_an_answer_is_cut_off_rather_than_ended_well() -> None:
    async def app(request: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await call(guarded(app), scope())
