"""The copy of the decision streams in the database, for queries; the segments are the record."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Decision(models.Model):
    """One record of one decision stream. `body` holds the bytes that were chained; the other
    columns are derived from them. Records that are no decision (`opened`, `closed`, `gap`) keep
    theirs empty. An answer in pieces has a `begun` before its `decision`, under the same id."""

    pk = models.CompositePrimaryKey("stream", "seq")
    stream = models.CharField(max_length=120)
    seq = models.PositiveBigIntegerField()
    body = models.BinaryField()
    prev = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32, unique=True)
    kind = models.CharField(max_length=12)
    at = models.DateTimeField(null=True)
    decision_id = models.CharField(max_length=40, blank=True)
    environment = models.CharField(max_length=16, blank=True)
    operation = models.CharField(max_length=24, blank=True)
    intended = models.CharField(max_length=16, blank=True)
    effective = models.CharField(max_length=16, blank=True)
    reason = models.CharField(max_length=24, blank=True)
    synthetic = models.BooleanField(default=False)
    within_budget = models.BooleanField(null=True)
    duration_us = models.PositiveBigIntegerField(null=True)

    objects: ClassVar[models.Manager[Decision]] = models.Manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["stream", "prev"], name="decision_no_fork"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment", "-at"], name="decision_by_environment"),
            models.Index(fields=["decision_id"], name="decision_by_id"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} #{self.seq}"
