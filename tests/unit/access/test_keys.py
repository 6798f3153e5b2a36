"""Secrets of access keys: derived, the same each time, another for everything that differs."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from routing.access import keys
from routing.core.errors import Broken

SERVER, OTHER = b"a" * 32, b"b" * 32


@pytest.fixture(autouse=True)
def forgotten() -> None:
    keys._kept.cache_clear()


@pytest.fixture
def home(tmp_path: Path, settings: Any) -> Path:
    settings.HYBRIDOPS_HOME = tmp_path
    return tmp_path


def test_a_secret_is_the_same_each_time_and_another_for_each_token_and_generation() -> None:
    made = [
        keys.secret(server, token_id=id, generation=generation)
        for server in (SERVER, OTHER)
        for id in ("tok_1", "tok_2", "tok_11")
        for generation in (1, 2, 11)
    ]
    assert all(one != other for one, other in combinations(made, 2))
    assert made[0] == keys.secret(SERVER, token_id="tok_1", generation=1)
    assert {len(one) for one in made} == {40}


def test_an_id_tells_which_server_key_it_belongs_to() -> None:
    id = keys.new_id(SERVER)
    assert (len(id), id.isalnum(), id.isupper() or id.isdigit()) == (20, True, True)
    assert keys.made_here(id, SERVER)
    assert not keys.made_here(id, OTHER)
    assert id != keys.new_id(SERVER)


def test_the_server_key_is_made_once_and_for_its_owner_alone(home: Path) -> None:
    made = keys.server_key()
    file = home / "keys" / "access_key"
    assert (len(made), file.stat().st_mode & 0o777) == (32, 0o400)
    keys._kept.cache_clear()
    assert keys.server_key() == made
    assert [child.name for child in file.parent.iterdir()] == ["access_key"]


def test_a_server_key_that_was_cut_is_not_used(home: Path) -> None:
    (home / "keys").mkdir()
    (home / "keys" / "access_key").write_bytes(b"short")
    with pytest.raises(Broken, match="backup"):
        keys.server_key()
