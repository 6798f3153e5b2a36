from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from hybridops import asgi, edge, static
from hybridops.edge import App, Rules
from tests.unit.hybridops.asgi_calls import Answer, call, connect, scope
from tests.unit.hybridops.test_edge import EVERYWHERE

HERE = (b"host", b"127.0.0.1:8000")
RULES = Rules(origins=["http://127.0.0.1:8000"], hosts=["127.0.0.1"], https=False)
ALWAYS = EVERYWHERE - {"strict-transport-security"}
HASHED = "/static/dashboard/app.0123456789ab.css"


async def get(path: str, app: App | None = None) -> Answer:
    return await call(app or asgi.build(), scope(path, headers=(HERE,)))


@pytest.fixture
def files(tmp_path: Path, settings: Settings) -> App:
    (tmp_path / "dashboard").mkdir()
    for name in (HASHED, "/static/dashboard/plain.css"):
        (tmp_path / name.removeprefix("/static/")).write_text("p {}")
    settings.STATIC_ROOT = tmp_path / "dashboard" / ".."
    return edge.guard(static.serve(), RULES)


async def test_a_page_that_is_not_there_is_told_in_words_with_the_request_id() -> None:
    answer = await get("/<b>nowhere</b>/")
    page = answer.body.decode()
    assert answer.status == 404
    assert ALWAYS.issubset(answer.header_names)
    assert answer.headers["x-request-id"] in page
    assert "nowhere" not in page


async def test_alive_is_not_yet_ready() -> None:
    assert (await get("/livez")).status == 200
    answer = await get("/readyz")
    assert (answer.status, answer.body) == (503, b"not ready\n")
    assert ALWAYS.issubset(answer.header_names)


async def test_a_file_with_a_hash_in_its_name_may_be_kept_for_ever(files: App) -> None:
    answer = await get(HASHED, files)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "max-age=315360000, public, immutable"
    assert ALWAYS.issubset(answer.header_names)
    assert "access-control-allow-origin" not in answer.header_names


async def test_a_file_without_a_hash_is_asked_for_again(files: App) -> None:
    answer = await get("/static/dashboard/plain.css", files)
    assert answer.headers["cache-control"] == "max-age=60, public"


@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing.css",
        "/static/../secret",
        "/static/dashboard/../../secret",
        "/static//etc/passwd",
        "/static/dashboard\\plain.css",
        "/static/dashboard/plain.css\x00",
        "/static/",
    ],
)
async def test_nothing_but_the_collected_files_is_served(
    files: App, tmp_path: Path, path: str
) -> None:
    (tmp_path.parent / "secret").write_text("secret")
    answer = await get(path, files)
    assert answer.status == 404
    assert ALWAYS.issubset(answer.header_names)
    assert answer.headers["cache-control"] == "no-store"


def test_without_collected_files_the_start_says_what_to_do(
    tmp_path: Path, settings: Settings
) -> None:
    settings.STATIC_ROOT = tmp_path / "never"
    with pytest.raises(ImproperlyConfigured, match="collectstatic"):
        static.serve()


@pytest.mark.parametrize(
    "origin",
    [
        None,
        b"null",
        b"https://evil.example",
        b"http://127.0.0.1:9999",
        b"https://127.0.0.1:8000",
        b"http://127.0.0.1.evil.example:8000",
        b"http://evil.example/?http://127.0.0.1:8000",
    ],
)
async def test_a_socket_from_another_origin_or_none_is_refused(origin: bytes | None) -> None:
    reached: list[str] = []

    async def inner(request: edge.Scope, receive: edge.Receive, send: edge.Send) -> None:
        reached.append(request["path"])

    sent = await connect(_behind_origins(inner), "/e/production/live/", origin)
    assert [m["type"] for m in sent] == ["websocket.close"]
    assert not reached


@pytest.mark.parametrize("origin", [b"http://127.0.0.1:8000", b"http://localhost:8000"])
async def test_a_socket_from_our_own_origin_reaches_the_routes(origin: bytes) -> None:
    reached: list[str] = []

    async def inner(request: edge.Scope, receive: edge.Receive, send: edge.Send) -> None:
        reached.append(request["path"])

    await connect(_behind_origins(inner), "/e/production/live/", origin)
    assert reached == ["/e/production/live/"]


def _behind_origins(inner: App) -> App:
    return asgi.origins_only(inner, settings.HYBRIDOPS_ORIGINS)


async def test_a_socket_without_a_route_is_closed_before_it_is_accepted() -> None:
    sent = await connect(asgi.no_such_socket, "/nowhere/", b"http://127.0.0.1:8000")
    assert sent == [{"type": "websocket.close", "code": 4404}]
