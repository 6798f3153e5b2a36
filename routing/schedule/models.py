"""The table of planned changes: scheduled ones, and the ends of those that hold for a while."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from routing.core.values import PlanKind, PlanState


class PlannedChange(models.Model):
    """One change of flags planned for `due_at`; `waiting` until it is closed, once.

    `sets` names each flag with its state and the version that it has to be at. `asked_entry` is
    the audit entry that planned it (of an end: the change that it ends), `entry_seq` the one that
    closed it. `local` and `zone` are the time as the person said it.
    """

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    kind = models.CharField(max_length=8)
    state = models.CharField(max_length=12, default=str(PlanState.WAITING))
    sets = models.JSONField()
    due_at = models.DateTimeField()
    grace_s = models.PositiveIntegerField()
    lasts_s = models.PositiveIntegerField(null=True)
    local = models.CharField(max_length=32, blank=True, default="")
    zone = models.CharField(max_length=64, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True)
    cause = models.CharField(max_length=16, blank=True, default="")
    agreed = models.JSONField(default=list)
    asked_at = models.DateTimeField()
    asked_by = models.CharField(max_length=300)
    asked_kind = models.CharField(max_length=8)
    asked_entry = models.PositiveBigIntegerField(default=0)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=300, blank=True, default="")
    closed_because = models.CharField(max_length=1000, blank=True, default="")
    entry_seq = models.PositiveBigIntegerField(null=True)
    seen_at = models.DateTimeField(null=True)
    seen_by = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="planned_change_kind_known",
                condition=models.Q(kind__in=[str(word) for word in PlanKind]),
            ),
            models.CheckConstraint(
                name="planned_change_state_known",
                condition=models.Q(state__in=[str(word) for word in PlanState]),
            ),
            models.CheckConstraint(
                name="planned_change_waits_or_is_closed",
                condition=models.Q(state=str(PlanState.WAITING), closed_at__isnull=True)
                | (~models.Q(state=str(PlanState.WAITING)) & models.Q(closed_at__isnull=False)),
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"],
                name="planned_change_waiting",
                condition=models.Q(state=str(PlanState.WAITING)),
            ),
            models.Index(fields=["environment", "-id"], name="planned_change_newest"),
        ]

    def __str__(self) -> str:
        return f"planned {self.kind} {self.pk} in {self.environment_id}: {self.state}"
