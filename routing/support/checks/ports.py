"""Does anything of ours listen where it need not? Read from what the kernel tells under /proc."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from routing.core.chain import Json
from routing.core.findings import Found, Severity
from routing.fleet import queries as fleet
from routing.fleet.queries import ProcessRow
from routing.paths import local
from routing.support.site import Site

_LISTEN = "0A"  # TCP state, include/net/tcp_states.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """A listening TCP socket of one process."""

    pid: int
    address: str
    port: int

    @property
    def is_local(self) -> bool:
        """Tell whether only this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback


def listening(site: Site) -> Iterator[Found]:
    """Look what the servers of this machine and their stand-ins listen on.

    Raises OSError where the kernel does not tell.
    """
    here = [p for p in fleet.alive(site.environment, now=site.now) if _is_here(p)]
    stand_ins = set(local.ports(site.home).values())
    doors = {urlsplit(p.door_url).port: urlsplit(p.door_url).scheme for p in here if p.door_url}
    for ear in _ears(site.proc, {process.pid for process in here}):
        facts: dict[str, Json] = {"pid": ear.pid, "address": ear.address, "port": ear.port}
        if ear.port in stand_ins:
            if not ear.is_local:
                yield Found(
                    severity=Severity.CRITICAL,
                    title=f"A stand-in listens beyond this machine, on port {ear.port}.",
                    remediation="Stop it with `manage.py upstream`; stand-ins bind to 127.0.0.1.",
                    evidence=facts,
                )
        elif ear.port not in doors:
            yield Found(
                severity=Severity.LOW if ear.is_local else Severity.MEDIUM,
                title=f"A process of ours listens on port {ear.port}, which nothing needs.",
                remediation="Find out what opened it; close it or restart the process.",
                evidence=facts,
            )
        elif doors[ear.port] == "http" and not ear.is_local:
            yield Found(
                severity=Severity.HIGH,
                title="The server can be reached from other machines without TLS.",
                remediation="Bind it to 127.0.0.1 behind a proxy with TLS, and set HYBRIDOPS_URL "
                "to the https address that people open.",
                evidence=facts,
            )


def _is_here(process: ProcessRow) -> bool:
    return process.host == socket.gethostname()


def _ears(proc: Path, roots: set[int]) -> list[Ear]:
    sockets = _sockets(proc)
    found = []
    for pid in sorted(_with_children(proc, roots)):
        inodes = _inodes(proc / str(pid) / "fd")
        found += [
            Ear(pid=pid, address=address, port=port)
            for inode, (address, port) in sockets.items()
            if inode in inodes
        ]
    return found


def _with_children(proc: Path, roots: set[int]) -> set[int]:
    parents = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                # The name of a program may hold spaces and brackets; what follows the last one
                # is the state and then the parent.
                parents[int(folder.name)] = int(
                    (folder / "stat").read_text().rpartition(")")[2].split()[1]
                )
    family = {pid for pid in roots if pid in parents}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _inodes(descriptors: Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):  # it ended, or belongs to another account
        for one in descriptors.iterdir():
            with contextlib.suppress(OSError):
                found.add(str(one.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


def _sockets(proc: Path) -> dict[str, tuple[str, int]]:
    """Return every listening TCP socket by inode: address and port."""
    found = {}
    for name in ("tcp", "tcp6"):
        table = proc / "net" / name
        if name == "tcp6" and not table.exists():
            continue  # a machine without IPv6
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN:
                address, _, port = fields[1].rpartition(":")
                found[fields[9]] = (_address(address), int(port, 16))
    return found


def _address(digits: str) -> str:
    """Read an address as the kernel writes it: 32-bit words, each in the machine's byte order."""
    raw = bytes.fromhex(digits)
    words = [raw[at : at + 4][::-1] for at in range(0, len(raw), 4)]
    said = ipaddress.ip_address(b"".join(words))
    mapped = getattr(said, "ipv4_mapped", None)
    return str(mapped or said)
