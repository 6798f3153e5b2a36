"""A laid database, one person per role, and a browser-like client for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from routing import wiring
from routing.access import people
from routing.changes import first_run
from routing.core.rights import Actor, shell_actor
from routing.core.values import EnvironmentName, Role

SHELL = shell_actor(user="tests", host="here")
ALL = tuple(EnvironmentName)
DEV = EnvironmentName.DEVELOPMENT


@pytest.fixture
def shell() -> Actor:
    return SHELL


@pytest.fixture
def laid(db: None) -> None:
    """All environments with their flags."""
    first_run.lay(by=SHELL, now=wiring.now(), environments=ALL, embedded=True)


ClientOf = Callable[..., Client]


@pytest.fixture
def client_of(laid: None) -> ClientOf:
    """A function that returns a client, signed in through the form as a role; '' for nobody.

    `only` restricts the grant to one environment.
    """

    def of(role: str, *, only: EnvironmentName | None = None, **more: Any) -> Client:
        client = Client(**more)
        if role:
            places = ALL if only is None else (only,)
            name = f"{role}-{only or 'all'}"
            made = people.create_user(
                reason="for a test",
                by=SHELL,
                now=wiring.now(),
                username=name,
                grants=dict.fromkeys(places, Role(role)),
            )
            answer = client.post("/sign-in/", {"username": name, "password": made.password})
            assert answer.status_code == 302, answer.content.decode()
        return client

    return of


@pytest.fixture
def version_of() -> Callable[[str, EnvironmentName], int]:
    """A function that returns the version of a flag as it stands."""
    from routing.core.flags import FlagName
    from routing.flags import queries

    def of(flag: str, environment: EnvironmentName = DEV) -> int:
        row = queries.flag_row(FlagName(flag), [environment])
        return row.cells[environment].state.version

    return of
