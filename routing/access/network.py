"""The part of a caller's address that is counted and booked: the network, not the person."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

UNKNOWN = "unknown"


@lru_cache(maxsize=4096)
def of(address: str) -> str:
    """Return the /24 (IPv4) or /48 (IPv6) around `address`, `unknown` for anything else.

    One subscriber holds a /48 or so, and would otherwise be a new caller with every address.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ipaddress.IPv4Network((int(ip), 24), strict=False))
    return str(ipaddress.IPv6Network((int(ip), 48), strict=False))
