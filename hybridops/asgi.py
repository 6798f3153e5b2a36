"""The root: lifespan, liveness, static files, sockets, and Django for everything else."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import django
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest

from hybridops.edge import App, Message, Receive, Rules, Scope, Send, guard
from hybridops.lifespan import Life, Loop

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hybridops.settings")
django.setup(set_prefix=False)

# These import models, so they wait for the setup above.
from channels.routing import URLRouter  # noqa: E402
from channels.security.websocket import OriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402

from dashboard import hub  # noqa: E402
from dashboard.urls import websocket_urlpatterns  # noqa: E402
from hybridops import static  # noqa: E402
from hybridops.doors import Machines  # noqa: E402
from routing import wiring  # noqa: E402
from routing.api import door  # noqa: E402

SWITCH_S = 0.002
NEW_OBJECTS = 20_000
# Seconds since what this process runs was last known to be what the database holds.
STALE = b"x-hybridops-stale"


class Request(ASGIRequest):
    """A request that knows the id under which its answer and its audit entries go."""

    @property
    def request_id(self) -> str:
        """Return the id that the edge gave, never one that the client sent."""
        return str(self.scope["request_id"])


class Django(ASGIHandler):
    request_class = Request


class Root:
    """Sends each connection to its app; `files` is there once the start has collected them."""

    def __init__(self, django_app: App, sockets: App, machines: Machines) -> None:
        self._django = django_app
        self._machines = machines
        self._sockets = sockets
        self._files: App | None = None
        self.life = Life(self._prepare, put_away=self._put_away)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.life.run(receive, send)
        elif scope["type"] == "websocket":
            await self._sockets(scope, receive, send)
        else:
            await self._http(scope)(scope, receive, send)

    def _http(self, scope: Scope) -> App:
        path: str = scope["path"]
        if path == "/livez":
            return _words(200, "alive")
        if path == "/readyz":
            # The database is left out on purpose: its outage is no outage of routing.
            ready = _words(200, "ready") if self.life.ready else _words(503, "not ready")
            return _aged(ready)
        if door.is_ours(path):
            return _aged(self._machines.app)
        if path.startswith(static.PREFIX) and self._files is not None:
            return self._files
        return self._django

    async def _prepare(self) -> Sequence[Loop]:
        await sync_to_async(wiring.start_checks)()
        self._files = await sync_to_async(static.serve)()
        learn = ("idempotency-keys", self._machines.learn)
        begun = await wiring.start()
        # What is loaded by now stays: without this each full collection looks through all of it
        # anew, and every request under way waits a tenth of a second for that.
        gc.collect()
        gc.freeze()
        # Counters free what a request leaves, so a collection finds nothing: at Python's usual 700
        # new objects it looks through the requests under way some ninety times a second.
        gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
        # Each answer waits for the thread that writes its record, which under load waits for the
        # loop to let it run, with Python's usual setting for up to 5 ms. At a quarter of ours the
        # switching itself costs a sixth of the CPU, and the slowest answers come later.
        sys.setswitchinterval(SWITCH_S)
        return [*begun, *hub.loops(), learn]

    async def _put_away(self) -> None:
        await self._machines.close()
        await wiring.stop()


def _aged(app: App) -> App:
    """Return `app`, whose answers say how old it is what they were decided by, while that is."""
    age_s = wiring.stale_s()
    if age_s is None:
        return app
    told = (STALE, str(age_s).encode() if age_s >= 0 else b"unknown")

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], told]}
            await send(message)

        await app(scope, receive, tell)

    return answer


def _words(status: int, text: str) -> App:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"{text}\n".encode()})

    return answer


async def no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Close a socket that no route serves, before it is accepted."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


def origins_only(app: App, origins: Sequence[str]) -> App:
    """Return `app` for sockets opened by pages of exactly these origins; no origin is refused."""
    return cast("App", OriginValidator(cast("Any", app), origins))


def sockets(origins: Sequence[str]) -> App:
    """Return the sockets' app: exact origins, then the routes, which ask whose session it is."""
    routes: Any = [*websocket_urlpatterns, re_path(r"", cast("Any", no_such_socket))]
    return origins_only(cast("App", URLRouter(routes)), origins)


def build() -> App:
    """Return the whole application as the settings describe it."""
    rules = Rules(
        origins=settings.HYBRIDOPS_ORIGINS,
        hosts=settings.ALLOWED_HOSTS,
        https=settings.HYBRIDOPS_URL.startswith("https://"),
    )
    return guard(
        Root(cast("App", Django()), sockets(settings.HYBRIDOPS_ORIGINS), Machines()), rules
    )


application = build()
