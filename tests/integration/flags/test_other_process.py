"""A command beside the server: its change is seen by the next look at the versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from routing.core.flags import FlagName
from routing.flags import snapshot
from tests.integration.changes.ground import DEV, entries, lay

pytestmark = pytest.mark.django_db(transaction=True)


def manage(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator would, in a process of its own on the same database."""
    environment = os.environ | {"HYBRIDOPS_HOME": str(home)}
    if connection.vendor == "postgresql":
        base, _, _ = environment["DATABASE_URL"].rpartition("/")
        environment["DATABASE_URL"] = f"{base}/{connection.settings_dict['NAME']}"
    else:
        link = home / "hybridops.sqlite3"
        if not link.is_symlink():
            link.symlink_to(connection.settings_dict["NAME"])
    return subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_commands_change_is_in_force_after_the_next_look(tmp_path: Path) -> None:
    lay()
    assert snapshot.is_on(FlagName.CACHING, DEV)
    ended = manage(
        tmp_path, "set_flag", "--environment", "development", "--off", "--json",
        "--flag", "ai.caching.enabled", "--reason", "seen from afar",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    assert (said["on"], said["was_on"], said["version"]) == (False, True, 2)
    assert snapshot.is_on(FlagName.CACHING, DEV)  # nobody told this process
    assert snapshot.refresh_if_changed() is True
    assert not snapshot.is_on(FlagName.CACHING, DEV)
    assert snapshot.refresh_if_changed() is False
    entry = entries()[0]
    assert (entry.seq, entry.actor_kind, entry.reason) == (
        said["entry"],
        "shell",
        "seen from afar",
    )


def test_a_refused_command_changes_nothing_and_is_booked(tmp_path: Path) -> None:
    lay()
    ended = manage(
        tmp_path, "set_flag", "--environment", "development", "--off", "--json",
        "--flag", "ENABLE_INTELLIGENT_ROUTING", "--confirm",
    )  # fmt: skip
    assert ended.returncode == 1
    said = json.loads(ended.stdout)
    assert (said["error"], said["rule"]) == ("rule_broken", "mcp_only_unproven")
    assert said["message"] in ended.stderr
    assert snapshot.refresh_if_changed() is False
    assert (entries()[0].outcome, entries()[0].actor_kind) == ("refused", "shell")
