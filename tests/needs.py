"""What tests may need beyond Python, and why it is missing.

Each function returns "" when the thing is there, or one sentence that says what is missing and
what would mend it. They answer within seconds and change nothing.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg

DATABASE_URL = (
    os.environ.get("HYBRIDOPS_TEST_DATABASE_URL")
    or "postgresql://postgres@127.0.0.1:5432/hybridops"
)
REDIS_URL = os.environ.get("HYBRIDOPS_TEST_REDIS_URL") or "redis://127.0.0.1:6379/9"


def required() -> bool:
    """Tell whether a missing thing is an error, as in the build."""
    return os.environ.get("HYBRIDOPS_REQUIRE_ALL", "") not in ("", "0")


@functools.cache
def postgresql() -> str:
    """Tell why PostgreSQL is out of reach."""
    server = urlsplit(DATABASE_URL)._replace(path="/postgres").geturl()
    try:
        psycopg.connect(server, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        return f"no PostgreSQL ({reason}); start one or set HYBRIDOPS_TEST_DATABASE_URL"
    return ""


@functools.cache
def redis() -> str:
    """Tell why Redis is out of reach."""
    server = urlsplit(REDIS_URL)
    try:
        with socket.create_connection((server.hostname or "", server.port or 6379), 3) as peer:
            peer.sendall(b"PING\r\n")
            answer = peer.recv(64)
    except OSError as error:
        return f"no Redis ({error}); start one or set HYBRIDOPS_TEST_REDIS_URL"
    if not answer.startswith((b"+PONG", b"-NOAUTH")):
        return f"no Redis (it answered {answer!r}); set HYBRIDOPS_TEST_REDIS_URL to one"
    return ""


def chromium_path() -> str:
    """Return the browser to drive, or ""."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or ""


def chromium() -> str:
    """Tell why no browser can be driven."""
    return "" if chromium_path() else "no Chromium; install the package chromium"


def npm() -> str:
    """Tell why no server for Node.js can be installed and run."""
    there = shutil.which("node") and shutil.which("npm")
    return "" if there else "no Node.js; install the packages nodejs and npm"


CHECKS: dict[str, Callable[[], str]] = {
    "postgresql": postgresql,
    "redis": redis,
    "chromium": chromium,
    "npm": npm,
}
