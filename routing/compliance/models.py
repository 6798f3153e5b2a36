"""Versions of the compliance policy; the newest of an environment is in force."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class CompliancePolicy(models.Model):
    """One policy, whole and never edited. `document` is `policy.encode` of it."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    version = models.PositiveBigIntegerField()
    document = models.JSONField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=300)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "version"], name="one_compliance_version"
            ),
        ]

    def __str__(self) -> str:
        return f"compliance policy of {self.environment_id} at {self.version}"
