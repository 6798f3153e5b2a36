"""Tables of a run: releases, operations, and the ledger of their steps."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from routing.core.lifecycle import Kind, Stage, StepState
from routing.core.values import Verdict


class Release(models.Model):
    """What travels between environments, never edited. `content` is canonical JSON."""

    digest = models.CharField(primary_key=True, max_length=64)
    content = models.BinaryField()
    created_at = models.DateTimeField()
    by = models.CharField(max_length=300)

    def __str__(self) -> str:
        return self.digest


class Operation(models.Model):
    """One deployment or rollback under way or over; at most one a time in an environment.

    `by` holds the actor's facts, `request` says what was asked (equal ones join), `request_key`
    names one sending of a form. `begun_by` is `server` or `command`, empty before the start.
    `wake_at` is set while it waits.
    """

    id = models.CharField(primary_key=True, max_length=64)
    kind = models.CharField(max_length=8, choices=[(str(k), str(k)) for k in Kind])
    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    stage = models.CharField(max_length=16, default=str(Stage.PENDING))
    release = models.ForeignKey(Release, null=True, on_delete=models.PROTECT)
    params = models.JSONField(default=dict)
    by = models.JSONField(default=dict)
    reason = models.CharField(max_length=500, blank=True, default="")
    request = models.CharField(max_length=64)
    request_key = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)
    begun_by = models.CharField(max_length=8, blank=True, default="")
    lease = models.CharField(max_length=64)
    fence = models.PositiveBigIntegerField(default=0)
    cancel = models.BooleanField(default=False)
    verdict = models.CharField(max_length=16, blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="one_active_operation",
                fields=["environment"],
                condition=models.Q(ended_at__isnull=True),
            ),
            models.CheckConstraint(
                name="operation_stage_known",
                condition=models.Q(stage__in=[str(stage) for stage in Stage]),
            ),
            models.CheckConstraint(
                name="operation_verdict_known",
                condition=models.Q(verdict__in=["", *(str(v) for v in Verdict)]),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment", "-created_at"], name="operation_newest"),
        ]

    def __str__(self) -> str:
        return self.id


class Step(models.Model):
    """One step of an operation. `fence` is that of the runner that wrote it last."""

    operation = models.ForeignKey(Operation, on_delete=models.PROTECT, related_name="steps")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=80)
    stage = models.CharField(max_length=16)
    state = models.CharField(max_length=8, default=str(StepState.PENDING))
    fence = models.PositiveBigIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["operation", "position"], name="one_step_a_position"),
            models.UniqueConstraint(fields=["operation", "name"], name="one_step_a_name"),
            models.CheckConstraint(
                name="step_state_known",
                condition=models.Q(state__in=[str(state) for state in StepState]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.operation_id}: {self.name}"
