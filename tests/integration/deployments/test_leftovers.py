"""A killed runner leaves its token; whoever ends the run revokes it, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing.access import tokens
from routing.access.scope import TokenKind
from routing.core.rights import system_actor
from routing.core.values import Role
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)


def mint(name: str) -> str:
    issued = tokens.issue(
        by=system_actor("deployments"),
        now=bed.now(),
        environment=bed.DEV,
        role=Role.VIEWER,
        name=name,
        emergency=True,
        kind=TokenKind.RUN,
    )
    return issued.secret


def is_in_force(secret: str) -> bool:
    tokens.load()
    return tokens.find(secret, bed.now()) is not None


def test_the_end_of_a_run_takes_its_tokens_along(tmp_path: Path) -> None:
    bed.lay()
    operation = bed.start()
    left, others = mint(f"{operation.id} smoke"), mint("hybridops-development-1 smoke")
    assert is_in_force(left)
    assert bed.run(operation, tmp_path, bed.plan()).is_over
    assert not is_in_force(left) and is_in_force(others)
