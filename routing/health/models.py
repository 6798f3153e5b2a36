"""Health as stored: one row per path is the single truth, minutes are the history."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class PathHealth(models.Model):
    """The last judgement of one path. `seq` grows by one with every judgement."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    path = models.CharField(max_length=16)
    target = models.CharField(max_length=400, blank=True)
    status = models.CharField(max_length=16)
    score = models.PositiveSmallIntegerField(null=True)
    why = models.JSONField(default=list)
    breaker = models.CharField(max_length=16)
    stages = models.JSONField(default=list)
    figures = models.JSONField(default=dict)
    since = models.DateTimeField()
    observed_at = models.DateTimeField()
    seq = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["environment", "path"], name="one_health_per_path"),
        ]

    def __str__(self) -> str:
        return f"{self.path} in {self.environment_id}: {self.status}"


class HealthMinute(models.Model):
    """What one minute of one path was like; `worst` is the worst status seen in it."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    path = models.CharField(max_length=16)
    minute = models.DateTimeField()
    worst = models.CharField(max_length=16)
    probes = models.PositiveIntegerField(default=0)
    probes_ok = models.PositiveIntegerField(default=0)
    calls = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    p50_us = models.PositiveBigIntegerField(null=True)
    p95_us = models.PositiveBigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "path", "minute"], name="one_row_per_minute"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} in {self.environment_id} at {self.minute}"
