"""What checks make of what they read, without a database or a kernel to read from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hybridops import sqlite
from routing.core.findings import Found, Severity
from routing.core.values import EnvironmentName
from routing.support.checks import CHECKS, database, machine, ports
from routing.support.site import Room, Site, room

SQLITE = {
    "version": "3.51.3",
    "journal_mode": "wal",
    "synchronous": "2",
    "foreign_keys": "1",
    "recursive_triggers": "1",
}
POSTGRESQL = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
GIB = 1024**3


def site(home: Path, **more: object) -> Site:
    usual: Mapping[str, object] = {
        "environment": EnvironmentName.STAGING,
        "now": datetime(2026, 3, 4, tzinfo=UTC),
        "home": home,
        "code_version": "1",
        "room": room,
    }
    return Site(**{**usual, **more})  # type: ignore[arg-type]


def severities(found: list[Found]) -> list[Severity]:
    return [one.severity for one in found]


def test_each_check_has_a_code_of_its_own_that_fits_its_column() -> None:
    codes = [check.code for check in CHECKS]
    assert len(set(codes)) == len(codes) and max(map(len, codes)) <= 48


def test_sqlite_as_the_product_sets_it_up_is_well() -> None:
    assert list(database.judge_sqlite(SQLITE)) == []


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ({"version": "3.46.1"}, Severity.CRITICAL),
        ({"version": "3.50.6"}, Severity.CRITICAL),
        ({"journal_mode": "delete"}, Severity.HIGH),
        ({"synchronous": "1"}, Severity.CRITICAL),
        ({"foreign_keys": "0"}, Severity.HIGH),
        ({"recursive_triggers": "0"}, Severity.HIGH),
    ],
)
def test_each_weak_setting_of_sqlite_is_found(said: dict[str, str], severity: Severity) -> None:
    (one,) = database.judge_sqlite(SQLITE | said)
    assert one.severity is severity and one.evidence


@pytest.mark.parametrize("version", ["3.44.6", "3.50.7", "3.51.3", "3.52.0", "4.0.0"])
def test_a_release_with_the_fix_is_well(version: str) -> None:
    assert list(database.judge_sqlite(SQLITE | {"version": version})) == []


def test_the_start_and_the_audit_know_the_same_safe_releases() -> None:
    known = (database.SQLITE_FIXED, database.SQLITE_BACKPORTED)
    assert known == (sqlite.FIXED, sqlite.BACKPORTED)


def test_postgresql_that_keeps_its_word_is_well() -> None:
    for waits in ("on", "remote_write", "remote_apply", "local"):
        assert list(database.judge_postgresql(POSTGRESQL | {"synchronous_commit": waits})) == []


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("fsync", Severity.CRITICAL),
        ("full_page_writes", Severity.CRITICAL),
        ("synchronous_commit", Severity.HIGH),
    ],
)
def test_each_weak_setting_of_postgresql_is_found(name: str, severity: Severity) -> None:
    (one,) = database.judge_postgresql(POSTGRESQL | {name: "off"})
    assert one.severity is severity and one.evidence == {name: "off"}


@pytest.mark.parametrize(
    ("free", "severity"),
    [
        (100 * GIB, None),
        (11 * GIB, None),
        (9 * GIB, Severity.MEDIUM),
        (4 * GIB, Severity.HIGH),
        (GIB // 2, Severity.CRITICAL),
        (0, Severity.CRITICAL),
    ],
)
def test_the_less_room_the_graver(tmp_path: Path, free: int, severity: Severity | None) -> None:
    left = Room(free_bytes=free, total_bytes=100 * GIB, free_inodes=9, total_inodes=10)
    found = list(machine.disk(site(tmp_path, room=lambda _: left)))
    assert severities(found) == ([severity] if severity else [])
    assert not found or found[0].evidence["free_bytes"] == free


def test_a_small_disk_is_judged_by_its_bytes_as_well(tmp_path: Path) -> None:
    left = Room(free_bytes=GIB, total_bytes=2 * GIB, free_inodes=0, total_inodes=0)
    assert severities(list(machine.disk(site(tmp_path, room=lambda _: left)))) == [Severity.MEDIUM]


def test_a_disk_without_inodes_left_is_found(tmp_path: Path) -> None:
    left = Room(free_bytes=50 * GIB, total_bytes=100 * GIB, free_inodes=1, total_inodes=100)
    assert severities(list(machine.disk(site(tmp_path, room=lambda _: left)))) == [Severity.HIGH]


def test_the_real_disk_is_measured(tmp_path: Path) -> None:
    said = room(tmp_path)
    assert 0 < said.free_bytes <= said.total_bytes


def home(folder: Path) -> Path:
    folder.chmod(0o700)
    for name in ("keys", "run"):
        (folder / name).mkdir(mode=0o700)
    (folder / "keys" / "secret_key").write_text("x")
    (folder / "keys" / "secret_key").chmod(0o400)
    return folder


def test_a_home_that_only_its_owner_reads_is_well(tmp_path: Path) -> None:
    assert list(machine.keys(site(home(tmp_path)))) == []


@pytest.mark.parametrize(
    ("name", "mode", "severity"),
    [
        ("keys/secret_key", 0o644, Severity.CRITICAL),
        ("keys/secret_key", 0o440, Severity.CRITICAL),
        ("keys", 0o755, Severity.HIGH),
        ("run", 0o770, Severity.HIGH),
        (".", 0o755, Severity.MEDIUM),
    ],
)
def test_what_others_may_read_is_found(
    tmp_path: Path, name: str, mode: int, severity: Severity
) -> None:
    (home(tmp_path) / name).chmod(mode)
    (one,) = machine.keys(site(tmp_path))
    assert one.severity is severity and one.evidence["mode"] == f"{mode:04o}"


LISTENING = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1
   1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4712 1
   2: 0100007F:1F92 0100007F:C000 01 00000000:00000000 00:00000000 00000000  1000        0 4713 1
"""
LISTENING_6 = """\
  sl  local_address                         remote_address                        st
  0: 00000000000000000000000001000000:1F93 00000000000000000000000000000000:0 0A 0:0 0:0 0 0 0 4714
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the sample is of a little-endian machine")
def test_listening_sockets_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(LISTENING)
    (tmp_path / "net" / "tcp6").write_text(LISTENING_6)
    assert ports._sockets(tmp_path) == {
        "4711": ("127.0.0.1", 8080),
        "4712": ("0.0.0.0", 8081),
        "4714": ("::1", 8083),
    }


def test_children_of_a_server_are_looked_at_too(tmp_path: Path) -> None:
    for pid, name, parent in ((10, "server", 1), (11, "stand in) 7", 10), (12, "other", 1)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 0 0")
    assert ports._with_children(tmp_path, {10, 99}) == {10, 11}
