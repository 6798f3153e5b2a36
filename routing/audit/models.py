"""Tables of the audit trail. Append-only: see `guards` for the triggers that hold them so."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Stream(models.Model):
    """One chain of entries. `log_id` is random: no two logs share a prefix."""

    name = models.CharField(primary_key=True, max_length=120)
    log_id = models.BinaryField(max_length=32)
    opened_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Entry(models.Model):
    """One entry. `body` holds the canonical bytes that are hashed; all other columns are derived
    from them for queries, and verification derives them again."""

    pk = models.CompositePrimaryKey("stream", "seq")
    stream = models.CharField(max_length=120)
    seq = models.PositiveBigIntegerField()
    body = models.BinaryField()
    prev = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32, unique=True)
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=8)
    actor = models.CharField(max_length=300)
    action = models.CharField(max_length=48)
    environment = models.CharField(max_length=16, blank=True)
    object_type = models.CharField(max_length=32)
    object_id = models.CharField(max_length=200)
    outcome = models.CharField(max_length=8)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["stream", "prev"], name="entry_no_fork"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["stream", "environment", "-seq"], name="entry_by_environment"),
            models.Index(fields=["stream", "actor", "-seq"], name="entry_by_actor"),
            models.Index(fields=["stream", "action", "-seq"], name="entry_by_action"),
            models.Index(
                fields=["stream", "object_type", "object_id", "-seq"], name="entry_by_object"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stream} #{self.seq}"


class DenialCount(models.Model):
    """What one actor was refused in one minute; kept only until the minute is booked."""

    actor = models.CharField(max_length=300)
    minute = models.DateTimeField()
    booked = models.PositiveIntegerField(default=0)
    suppressed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["actor", "minute"], name="one_count_per_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} at {self.minute}"
