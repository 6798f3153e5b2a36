"""Tables of access: users, their roles per environment, delays of sign-ins, machine tokens."""

from __future__ import annotations

import secrets
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from routing.core.allowance import Limits
from routing.core.values import Role

_USUAL = Limits()
USERNAME = RegexValidator(
    r"\A[a-z0-9][a-z0-9._-]{1,62}[a-z0-9]\Z",
    "Use 3 to 64 characters: a-z, 0-9, dot, dash, underscore; begin and end with a letter "
    "or digit.",
)


def is_username(text: str) -> bool:
    """Tell whether `text` could be the name of a user."""
    try:
        USERNAME(text)
    except ValidationError:
        return False
    return True


def new_pseudonym() -> str:
    """Return a random name for the audit trail that says nothing about the person."""
    return f"user:{secrets.token_hex(8)}"


class UserManager(BaseUserManager["User"]):
    """Django's look-ups only; people are made by `access.people`."""


class User(AbstractBaseUser):
    """A person. No superuser and no staff: rights come from RoleGrant alone."""

    username = models.CharField(max_length=64, unique=True, validators=[USERNAME])
    pseudonym = models.CharField(max_length=32, unique=True, default=new_pseudonym, editable=False)
    is_active = models.BooleanField(default=True)
    # Somebody else knows the password: it opens one page, on which it is replaced.
    one_time_password = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=300)

    objects = UserManager()
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []


class RoleGrant(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    role = models.CharField(max_length=8, choices=[(str(r), str(r)) for r in Role])
    granted_at = models.DateTimeField()
    granted_by = models.CharField(max_length=300)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "environment"], name="one_role_per_env"),
            models.CheckConstraint(
                name="grant_role_known", condition=models.Q(role__in=[str(r) for r in Role])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.role} in {self.environment_id}"


class SignInDelay(models.Model):
    """Failed sign-ins without a success since; see `delays`. No name and no address is kept."""

    key = models.CharField(primary_key=True, max_length=100)
    failures = models.PositiveIntegerField()
    last_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key


class Token(models.Model):
    """A machine's credential for one environment; only a digest of its secret is kept.

    `kind` `run` is minted by ourselves for one run and may pin a path; `machine` is a caller's.
    `operations` is the allow-list; `emergency` is its own scope beside it. With an access key it
    may sign requests too; the secret of that follows from `generation` (`keys`), 0 without one.
    The limits hold in each process.
    """

    id = models.CharField(primary_key=True, max_length=32)  # shown, never secret
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=8, choices=[("machine", "machine"), ("run", "run")])
    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    role = models.CharField(max_length=8, choices=[(str(r), str(r)) for r in Role])
    tenant = models.CharField(max_length=64)
    operations = models.JSONField(default=list)
    emergency = models.BooleanField(default=False)
    at_once = models.PositiveIntegerField(default=_USUAL.at_once, db_default=_USUAL.at_once)
    per_second = models.PositiveIntegerField(
        default=_USUAL.per_second, db_default=_USUAL.per_second
    )
    tokens_per_minute = models.PositiveIntegerField(
        default=_USUAL.tokens_per_minute, db_default=_USUAL.tokens_per_minute
    )
    secret_sha256 = models.CharField(max_length=64, unique=True)
    access_key_id = models.CharField(max_length=32, null=True, unique=True)
    generation = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=300)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.id


class TokenSet(models.Model):
    """The version of all tokens together: one row, bumped by every issue and revocation."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="token_set_is_one_row", condition=models.Q(id=1))
        ]

    def __str__(self) -> str:
        return f"tokens at {self.version}"
