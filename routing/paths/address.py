"""Where a configured MCP server may be reached: over HTTP, at an address that was looked at.

A name is looked up once for the connections of the next half minute; what it stands for is
judged, and exactly that address is connected to. A name whose answer changes to this machine's
own or a cloud's metadata address after the check leads nowhere. Who writes such an address down
in figures, or `localhost`, means it; the metadata's is refused in any spelling.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from routing.core.values import Failure
from routing.paths.base import PathError, words

KEPT_S = 30.0
MOST = 4  # addresses of one name that are tried
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_METADATA = ipaddress.ip_address("fd00:ec2::254")  # Amazon's over IPv6; over IPv4 it is link-local


def check(url: str) -> SplitResult:
    """Return the parts of `url`; raises PathError (disabled, nothing sent) for one of no use.

    A command (stdio) is none: what runs on this machine is not for settings to say.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None:
        raise PathError(
            Failure.DISABLED,
            "The MCP target is no http:// or https:// address without a user name; set one in "
            "this environment's settings. Commands (stdio) are never run.",
            sent=False,
        )
    written = _written(parts.hostname or "")
    if written is not None and _never(written):
        raise _refused(parts.hostname or "", written)
    return parts


async def lookup(host: str, port: int) -> Sequence[str]:
    """Return the addresses of `host`; raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in found]


class Addresses:
    """What names stand for, as last looked up and judged."""

    def __init__(self, look: Lookup = lookup) -> None:
        self._look = look
        self._kept: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}

    async def of(self, host: str, port: int) -> tuple[str, ...]:
        """Return where to connect to for `host`; raises PathError (unreachable, nothing sent)."""
        if _written(host) is not None:
            return (host,)
        kept = self._kept.get((host, port))
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        try:
            found = tuple(dict.fromkeys(await self._look(host, port)))[:MOST]
        except OSError as error:
            text = words(f"The name {host} is not known: {error}")
            raise PathError(Failure.UNREACHABLE, text, sent=False) from error
        for one in found:
            _judge(host, ipaddress.ip_address(one.partition("%")[0]))
        if not found:
            raise PathError(Failure.UNREACHABLE, words(f"{host} has no address."), sent=False)
        self._kept[(host, port)] = (time.monotonic() + KEPT_S, found)
        return found

    def forget(self, host: str, port: int) -> None:
        """Look `host` up anew next time: nobody was met where it was said to be."""
        self._kept.pop((host, port), None)


@lru_cache(64)
def _written(host: str) -> Address | None:
    """Return the address that `host` is in figures, None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _judge(host: str, found: Address) -> None:
    own = host == "localhost" or host.endswith(".localhost")
    plain = _plain(found)
    if _never(found) or (plain.is_loopback and not own):
        raise _refused(host, found)


def _never(found: Address) -> bool:
    plain = _plain(found)
    return plain.is_link_local or plain.is_multicast or plain.is_unspecified or plain == _METADATA


def _plain(found: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, or `found` itself."""
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found.sixtofour or found
    return found


def _refused(host: str, found: Address) -> PathError:
    text = (
        f"{host} leads to {found}, where no MCP server may be: this machine itself, or a "
        "service's own. Mend the name, or write the address in figures if it is meant."
    )
    return PathError(Failure.UNREACHABLE, words(text), sent=False)
