"""Tables of the flags: Waffle's own, held neutral, and ours, the only state.

Waffle keeps one row per name. What is on where stands in FlagState; `Flag.is_active` asks the
per-process snapshot of it and nothing else.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.http import HttpRequest
from waffle.models import AbstractBaseSample, AbstractBaseSwitch, AbstractUserFlag

from routing.flags import snapshot


class Flag(AbstractUserFlag):
    # Waffle's default True would turn every flag on for superusers.
    superusers = models.BooleanField(default=False)

    class Meta(AbstractUserFlag.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="flag_waffle_state_neutral",
                condition=models.Q(
                    everyone__isnull=True,
                    percent__isnull=True,
                    testing=False,
                    superusers=False,
                    staff=False,
                    authenticated=False,
                    rollout=False,
                    languages="",
                ),
            )
        ]

    @classmethod
    def get(cls, name: str) -> Flag:
        """Return the flag of that name for Waffle to ask, without reading its neutral row.

        So `flag_is_active` works in a coroutine and while the database is away.
        """
        return cls(name=name)

    def is_active(self, request: HttpRequest, read_only: bool = False) -> bool | None:
        """Return the flag's state in the request's environment, from the snapshot."""
        return snapshot.is_on_for_request(self.name, request)

    def is_active_for_user(self, user: object) -> bool | None:
        """Return None: a flag of ours is never on for one person."""
        return None


class Switch(AbstractBaseSwitch):
    """Unused; swapped in so that Waffle's own table can never hold state."""


class Sample(AbstractBaseSample):
    """Unused; swapped in so that Waffle's own table can never hold state."""


class FlagState(models.Model):
    """One flag in one environment. `version` counts its booked changes."""

    flag = models.ForeignKey(Flag, to_field="name", on_delete=models.PROTECT)
    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    on = models.BooleanField()
    percentage = models.PositiveSmallIntegerField(default=100)
    groups = models.JSONField(default=list)
    version = models.PositiveBigIntegerField(default=1)
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=300)
    entry_seq = models.PositiveBigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["flag", "environment"], name="one_state_per_env"),
            models.CheckConstraint(
                name="flag_percentage_in_range", condition=models.Q(percentage__lte=100)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.flag_id} in {self.environment_id}"


class FlagSet(models.Model):
    """The version of all flags of one environment together; a change set bumps it once.

    `changed_at` is by the database's own clock, the one that also judges heartbeats.
    `explained` is how many of the touches that the database counts booked changes made; `noted`
    says that those of somebody else are booked as found.
    """

    environment = models.OneToOneField(
        "routing.Environment", primary_key=True, on_delete=models.PROTECT
    )
    version = models.PositiveBigIntegerField(default=0)
    changed_at = models.DateTimeField(null=True)
    explained = models.PositiveBigIntegerField(default=0)
    noted = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"flags of {self.environment_id} at {self.version}"


class FlagTouch(models.Model):
    """How often rows of FlagState of one environment were written, by whatever means.

    Triggers of the database count, nobody else. Never alter this table: SQLite cannot remake one
    that a trigger of another names.
    """

    environment = models.OneToOneField(
        "routing.Environment", primary_key=True, on_delete=models.CASCADE
    )
    touched = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"flags of {self.environment_id}, touched {self.touched} times"


class FlagUse(models.Model):
    """When a flag of one environment was last asked for, as the processes tell now and then."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.CASCADE)
    flag = models.CharField(max_length=100)
    evaluated_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["environment", "flag"], name="one_use_per_env"),
        ]

    def __str__(self) -> str:
        return f"{self.flag} in {self.environment_id}, last asked {self.evaluated_at}"
