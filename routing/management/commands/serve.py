"""`manage.py serve`: set up what is missing, then serve in the foreground until told to end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandParser
from django.db import InterfaceError, OperationalError

from routing import wiring
from routing.core.errors import Unavailable
from routing.core.rights import Actor
from routing.management import base
from routing.management.connection import Http

BACKLOG = 2048


class Server(uvicorn.Server):
    """uvicorn that tells through `run/server.json` when it answers, and ends with status 0."""

    def __init__(self, config: uvicorn.Config, note: Path) -> None:
        super().__init__(config)
        self.note = note

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        self._write(ready=self.started)

    async def shutdown(self, sockets: Any = None) -> None:
        self._write(ready=False)
        await super().shutdown(sockets=sockets)

    def _write(self, *, ready: bool) -> None:
        facts = {"url": settings.HYBRIDOPS_URL, "pid": os.getpid(), "ready": ready}
        fresh = self.note.with_suffix(".new")
        fresh.write_text(json.dumps(facts))
        fresh.replace(self.note)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals without raising them again: a wanted end is status 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


class Command(base.OperatorCommand):
    help = "Set up what is missing and serve the dashboard and the machine door."

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to bind to")

    def handle(self, *args: Any, **options: Any) -> None:
        run = Path(settings.HYBRIDOPS_HOME) / "run"
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._lock = _lock(run / "server.lock")
            # A server that was killed could not take its word back.
            (run / "server.json").unlink(missing_ok=True)
            self._socket = _bind(options["host"], settings.HYBRIDOPS_PORT)
            self._set_up()
        except Unavailable as error:
            self.refuse(error, as_json=options["json"])
            sys.exit(1)
        super().handle(*args, **options)

    def _set_up(self) -> None:
        """Make the tables; a server that has served before goes on without a database."""
        try:
            _migrate()
        except Unavailable as error:
            if not wiring.may_start_without_database():
                raise
            self.say(error.message)
            self.say("This server has served before, so it starts with what was last known.")
            wiring.start_without_database()
            self._has_database = False
        else:
            self._has_database = True
        call_command("collectstatic", verbosity=0, interactive=False)

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> list[base.Result]:
        made = wiring.first_run(by=by, now=now) if self._has_database else []
        if made:
            self.say("First run. These passwords are shown once; keep them:")
            for account in made:
                self.say(f"  {account.username:<10} {account.password}")
        note = Path(settings.HYBRIDOPS_HOME) / "run" / "server.json"
        server = Server(_config(), note)
        self.say(f"HybridOps serves {settings.HYBRIDOPS_URL} (end with Ctrl-C).")
        server.run(sockets=[self._socket])
        return [] if server.started else [{"ok": False, "url": settings.HYBRIDOPS_URL}]


def _lock(path: Path) -> int:
    """Hold the one-server lock of this home; the kernel lets go of it when we end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Unavailable(
            f"Another server already uses {settings.HYBRIDOPS_HOME}. End it first, or set "
            "HYBRIDOPS_HOME (and HYBRIDOPS_PORT) to run a second one beside it."
        ) from None
    return descriptor


def _bind(host: str, port: int) -> socket.socket:
    """Take the address before anything is made, so that a taken one leaves nothing behind.

    It listens at once: two servers that only hold the same address would both go on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(BACKLOG)
    except OSError as error:
        raise Unavailable(
            f"The server cannot listen on {host}:{port} ({error.strerror}). End what uses that "
            "address, or set HYBRIDOPS_PORT to a free port (and --host to an address of this "
            "machine)."
        ) from None
    return taken


def _migrate() -> None:
    try:
        wiring.prepare_database()
        call_command("migrate", verbosity=0, interactive=False)
    except (OperationalError, InterfaceError) as error:
        raise base.database_is_away(error) from error


def _config() -> uvicorn.Config:
    return uvicorn.Config(
        "hybridops.asgi:application",
        http=Http,
        backlog=BACKLOG,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws_max_size=4_096,
        # The same bytes go to every socket; compressing them anew for each would cost the most.
        ws_per_message_deflate=False,
        limit_concurrency=2_000,
        timeout_graceful_shutdown=2,  # the whole end takes 5 s at most
        timeout_keep_alive=15,
    )
