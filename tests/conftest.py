"""What every test stands on: seeds, closed sockets, missing services, guarded tables."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings

from tests import needs

# Child processes of a test run the product as it is shipped, in the tests' HYBRIDOPS_HOME.
os.environ["DJANGO_SETTINGS_MODULE"] = "hybridops.settings"

SEED = "HYBRIDOPS_SEED"


def _examples(usual: int) -> int:
    return int(os.environ.get("HYBRIDOPS_EXAMPLES") or usual)


def _register_profiles() -> None:
    # The machine is shared: a slow example says nothing about the code, so there is no deadline.
    shared: dict[str, Any] = {
        "deadline": None,
        "print_blob": True,
        "suppress_health_check": [HealthCheck.too_slow],
    }
    settings.register_profile("default", max_examples=_examples(100), **shared)
    settings.register_profile("ci", max_examples=_examples(150), **shared)
    settings.load_profile("ci" if os.environ.get("CI") else "default")


_register_profiles()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give every run a seed before Hypothesis looks for one."""
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = os.environ.get(SEED) or str(secrets.randbelow(2**32))


def pytest_report_header(config: pytest.Config) -> list[str]:
    said = config.getoption("--hypothesis-seed")
    database = "PostgreSQL" if "postgresql" in _engine() else "SQLite"
    layer = "Redis" if django_settings.REDIS_URL else "in memory"
    return [
        f"seed: {said} (the same again: --hypothesis-seed={said}), "
        f"{settings().max_examples} examples a law",
        f"database: {database}; channel layer: {layer}",
    ]


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """The run's seed, for a test that draws on its own."""
    return int(pytestconfig.getoption("--hypothesis-seed"))


def _engine() -> str:
    return str(django_settings.DATABASES["default"]["ENGINE"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the other database; keep unit tests off any."""
    vendor = "postgresql" if "postgresql" in _engine() else "sqlite"
    elsewhere = [item for item in items if _belongs_elsewhere(item, vendor)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def _belongs_elsewhere(item: pytest.Item, vendor: str) -> bool:
    mark = item.get_closest_marker("only_on")
    return mark is not None and vendor not in mark.args


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            missing = needs.CHECKS[name]()
            if missing and needs.required():
                pytest.fail(f"HYBRIDOPS_REQUIRE_ALL is set and there is {missing}", pytrace=False)
            if missing:
                pytest.skip(missing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leave the counts where tests/run.py adds them up."""
    path = os.environ.get("HYBRIDOPS_TALLY")
    if not path:
        return
    stats = terminalreporter.stats
    counts = [len(stats.get(name, ())) for name in ("passed", "failed", "error", "skipped")]
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(" ".join(map(str, counts)) + "\n")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Put a SQLite test database into the journal mode that the product runs in."""
    if connection.vendor != "sqlite":
        return
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_guards() -> Iterator[None]:
    """Let the emptying of tables after a transactional test past the audit trail's guards.

    They are put back at once, so that every test meets them.
    """
    from routing.audit import guards

    def teardown(case: TransactionTestCase) -> None:
        guards.lift(connection)
        try:
            # Django leaves the tables of swapped models out, and PostgreSQL then wants CASCADE.
            call_command(
                "flush",
                verbosity=0,
                interactive=False,
                reset_sequences=False,
                allow_cascade=True,
                inhibit_post_migrate=True,  # nothing of ours asks for Django's permissions
            )
        finally:
            guards.install(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
        yield
