"""How far a token reaches, and the table of rights that it leans on."""

from __future__ import annotations

import pytest

from routing.access import scope
from routing.core import rights
from routing.core.rights import RIGHTS, Actor, Right, shell_actor
from routing.core.values import ActorKind, EnvironmentName, Operation, Role

DEV, STG, PROD = EnvironmentName
V, R, O, A = Role.VIEWER, Role.REVIEWER, Role.OPERATOR, Role.ADMIN  # noqa: E741

# Written down a second time, from product.md section 2, so that a slip in the table shows.
MATRIX = {
    Right.READ: {V, R, O, A},
    Right.ROUTE: {V, R, O, A},
    Right.AUDIT_READ: {R, O, A},
    Right.AUDIT_VERIFY: {R, A},
    Right.APPROVE: {R, A},
    Right.CHANGE: {O, A},
    Right.SUPPORT: {O, A},
    Right.IMPORT: {O, A},
    Right.DEPLOY: {O, A},
    Right.DEPLOY_PRODUCTION: {A},
    Right.ROLL_BACK: {A},
    Right.SETTINGS: {A},
    Right.SETTLE: {A},
    Right.BREAK_GLASS: {A},
}


def person(**roles: Role) -> Actor:
    grants = {EnvironmentName(name): role for name, role in roles.items()}
    return Actor(kind=ActorKind.USER, id="user:1", name="ada", grants=grants)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("right", Right)
def test_a_role_gives_what_the_written_table_says(role: Role, right: Right) -> None:
    assert set(MATRIX) == set(Right)
    assert rights.can(person(development=role), right, DEV) == (role in MATRIX[right])


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("right", Right)
def test_a_role_gives_nothing_elsewhere(role: Role, right: Right) -> None:
    assert not rights.can(person(development=role), right, PROD)


@pytest.mark.parametrize(
    ("role", "where", "may"), [(O, DEV, True), (O, STG, True), (O, PROD, False), (A, PROD, True)]
)
def test_only_an_admin_deploys_to_production(
    role: Role, where: EnvironmentName, may: bool
) -> None:
    by = person(development=role, staging=role, production=role)
    assert rights.can(by, Right.DEPLOY, where) == may


def test_the_shell_is_admin_everywhere() -> None:
    by = shell_actor(user="ada", host="ops1")
    assert all(rights.can(by, right, where) for right in Right for where in EnvironmentName)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("limit", [*Role, None])
def test_is_within_a_role_that_gives_all_of_its_rights(role: Role, limit: Role | None) -> None:
    """Reviewer and operator are not above one another: each has what the other has not."""
    below = {
        V: {V, R, O, A},
        R: {R, A},
        O: {O, A},
        A: {A},
    }
    assert scope.within(role, limit) == (limit in below[role])
    assert RIGHTS[A] == frozenset(Right)


def test_the_allow_list_is_in_the_order_of_the_vocabulary_without_repeats() -> None:
    asked = ["standard", Operation.INFRASTRUCTURE, "standard"]
    assert scope.operations(asked) == (Operation.INFRASTRUCTURE, Operation.STANDARD)
