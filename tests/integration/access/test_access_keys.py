"""Access keys of tokens: made once, kept without their secret, gone as fast as a flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import TestCase

from routing.access import keys, tokens
from routing.access.models import Token, TokenSet
from routing.core.errors import NotSignedIn
from routing.core.values import Action, Role
from tests.integration.access.conftest import DEV, NOW, SHELL, entries
from tests.integration.access.test_commands import run

pytestmark = pytest.mark.usefixtures("environments")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any) -> None:
    settings.HYBRIDOPS_HOME = tmp_path


def issue() -> tokens.Issued:
    made = tokens.issue(
        by=SHELL, now=NOW, environment=DEV, role=Role.VIEWER, name="ci", access_key=True
    )
    tokens.load()
    return made


def test_the_pair_that_was_shown_is_the_one_that_is_found() -> None:
    made = issue()
    found = tokens.find_access_key(made.access_key_id, NOW)
    assert found is not None
    assert (found[0].id, found[1]) == (made.id, made.secret_access_key)
    assert tokens.find(made.secret, NOW) == found[0]


def test_each_token_has_its_own() -> None:
    one, other = issue(), issue()
    assert one.access_key_id != other.access_key_id
    assert one.secret_access_key != other.secret_access_key


def test_nothing_that_is_kept_or_shown_again_holds_its_secret() -> None:
    made = issue()
    kept = Token.objects.values().get()
    assert made.secret_access_key not in repr((kept, entries(), made, tokens.current()))
    [entry] = entries(Action.TOKEN_ISSUE)
    assert isinstance(entry.after, dict)
    assert entry.after["access_key_id"] == made.access_key_id


def test_a_token_without_one_is_found_by_none() -> None:
    tokens.issue(by=SHELL, now=NOW, environment=DEV, role=Role.VIEWER, name="ci")
    tokens.load()
    assert tokens.find_access_key("", NOW) is None
    assert "access_key_id" not in repr(entries(Action.TOKEN_ISSUE)[0].after)


def test_it_ends_with_its_token() -> None:
    made = issue()
    ends = Token.objects.get().expires_at
    assert tokens.find_access_key(made.access_key_id, ends) is None


def test_a_revocation_of_this_process_is_seen_with_its_commit() -> None:
    made = issue()
    with TestCase.captureOnCommitCallbacks(execute=True):
        tokens.revoke(by=SHELL, now=NOW, token_id=made.id)
    assert tokens.find_access_key(made.access_key_id, NOW) is None


def test_a_revocation_of_another_process_is_seen_with_its_version() -> None:
    """The version row is what flags go by too: see `Engine._read_what_changed`."""
    made = issue()
    Token.objects.update(revoked_at=NOW)
    tokens.refresh_if_changed()
    assert tokens.find_access_key(made.access_key_id, NOW) is not None
    TokenSet.objects.update(version=TokenSet.objects.get().version + 1)
    tokens.refresh_if_changed()
    assert tokens.find_access_key(made.access_key_id, NOW) is None


def test_one_made_under_another_server_key_says_what_to_do(tmp_path: Path, settings: Any) -> None:
    made = issue()
    settings.HYBRIDOPS_HOME = tmp_path / "other"
    with pytest.raises(NotSignedIn, match="copy HYBRIDOPS_HOME/keys/access_key"):
        tokens.find_access_key(made.access_key_id, NOW)
    (tmp_path / "third").mkdir()
    settings.HYBRIDOPS_HOME = tmp_path / "third"
    (tmp_path / "third" / "keys").symlink_to(tmp_path / "keys")
    keys._kept.cache_clear()
    assert tokens.find_access_key(made.access_key_id, NOW) is not None


def test_the_command_prints_the_pair_once() -> None:
    made, said = run(
        *("create_token", "--environment", "development", "--role", "viewer", "--access-key")
    )
    tokens.load()
    found = tokens.find_access_key(made["access_key_id"], Token.objects.get().created_at)
    assert found is not None
    assert found[1] == made["secret_access_key"]
    assert made["secret_access_key"] not in said
    plain, _ = run("create_token", "--environment", "development", "--role", "viewer")
    assert "secret_access_key" not in plain
