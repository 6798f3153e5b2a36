"""The files of the last known good: whole or refused, never half believed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path as Folder
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.flags import lastgood
from routing.flags.lastgood import Unusable

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BODY = {"version": 57, "states": {"é": [1, 2, None]}}
LATER = NOW + timedelta(minutes=5)


def write(folder: Folder, environment: str = "production", **more: Any) -> Folder:
    said: dict[str, Any] = {"version": 57, "body": BODY, "now": NOW, **more}
    lastgood.write(folder, "flags", environment, **said)
    return lastgood.path(folder, "flags", environment)


def read(folder: Folder, environment: str = "production") -> lastgood.Kept:
    return lastgood.read(folder, "flags", environment, now=LATER)


def test_what_was_written_is_read_with_its_age(tmp_path: Folder) -> None:
    file = write(tmp_path / "lastgood")
    kept = read(tmp_path / "lastgood")
    assert (kept.version, kept.body, kept.written_at, kept.known_at) == (57, BODY, NOW, NOW)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_confirmation_makes_it_younger_and_a_clock_set_back_does_not(tmp_path: Folder) -> None:
    file = write(tmp_path)
    lastgood.confirm(tmp_path, "flags", "production", now=NOW + timedelta(minutes=2))
    assert read(tmp_path).known_at == NOW + timedelta(minutes=2)
    for at in (NOW - timedelta(days=1), LATER + timedelta(days=1)):
        os.utime(file, (at.timestamp(), at.timestamp()))
        assert read(tmp_path).known_at == NOW


def test_a_missing_one_is_told_apart(tmp_path: Folder) -> None:
    with pytest.raises(Unusable, match="missing") as told:
        read(tmp_path)
    assert told.value.missing


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_altered_bit_is_believed(
    tmp_path_factory: pytest.TempPathFactory, at: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("bits")
    file = write(folder)
    content = bytearray(file.read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    file.write_bytes(content)
    with pytest.raises(Unusable):
        read(folder)


@given(st.floats(0, 1, exclude_max=True))
def test_no_part_of_it_is_believed(tmp_path_factory: pytest.TempPathFactory, part: float) -> None:
    folder = tmp_path_factory.mktemp("part")
    file = write(folder)
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(Unusable, match="checksum"):
        read(folder)


def sealed(said: Any) -> bytes:
    content = json.dumps(said).encode()
    return sha256(content).hexdigest().encode() + b"\n" + content


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"form": 2}, "form 2"),
        ({"environment": "staging"}, "of 'flags' in 'staging'"),
        ({"part": "routing"}, "of 'routing'"),
        ({"version": "many"}, "not as this code writes"),
        ({"written_at": "yesterday"}, "not as this code writes"),
        ({"body": 7}, "not as this code writes"),
        ({"more": 1}, "not as this code writes"),
    ],
)
def test_a_whole_file_of_something_else_is_refused(
    tmp_path: Folder, change: dict[str, Any], why: str
) -> None:
    file = write(tmp_path)
    said = json.loads(file.read_bytes().partition(b"\n")[2])
    file.write_bytes(sealed(said | change))
    with pytest.raises(Unusable, match=why):
        read(tmp_path)
    file.write_bytes(sealed(said))  # nothing but the change was wrong
    assert read(tmp_path).body == BODY


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, version=58, body={})
    assert read(tmp_path).version == 57


def test_an_unusable_one_is_set_aside(tmp_path: Folder) -> None:
    file = write(tmp_path)
    lastgood.set_aside(tmp_path, "flags", "production")
    assert not file.exists()
    assert file.with_suffix(".bad").exists()
