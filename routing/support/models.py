"""Tables of the support manager: its sessions, and what its audits of the installation found."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from routing.core.findings import Overall, Severity


class SupportSession(models.Model):
    """One time of support mode in one environment; open until `closed_at`, at most one a time."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    opened_at = models.DateTimeField()
    opened_by = models.CharField(max_length=300)
    reason = models.CharField(max_length=500)
    ends_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=300, blank=True, default="")
    closed_because = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="one_open_support_session",
                fields=["environment"],
                condition=models.Q(closed_at__isnull=True),
            ),
            models.CheckConstraint(
                name="support_session_closed_by_somebody",
                condition=models.Q(closed_at__isnull=True, closed_by="")
                | (models.Q(closed_at__isnull=False) & ~models.Q(closed_by="")),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment", "-opened_at"], name="support_session_newest"),
        ]

    def __str__(self) -> str:
        return f"support session {self.pk} in {self.environment_id}"


class AuditRun(models.Model):
    """One audit of the installation as seen from one environment. `counts` is by severity."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    by = models.CharField(max_length=300)
    checks = models.PositiveSmallIntegerField()
    counts = models.JSONField(default=dict)
    overall = models.CharField(max_length=8)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="audit_run_overall_known",
                condition=models.Q(overall__in=[str(word) for word in Overall]),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment", "-started_at"], name="audit_run_newest"),
        ]

    def __str__(self) -> str:
        return f"audit {self.pk} of {self.environment_id}: {self.overall}"


class Finding(models.Model):
    """One finding of one audit; `unchecked` where the check itself could not look."""

    run = models.ForeignKey(AuditRun, on_delete=models.PROTECT, related_name="findings")
    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    check_code = models.CharField(max_length=48)
    severity = models.CharField(max_length=8)
    title = models.CharField(max_length=300)
    evidence = models.JSONField(default=dict)
    remediation = models.CharField(max_length=500)
    unchecked = models.BooleanField(default=False)
    found_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="finding_severity_known",
                condition=models.Q(severity__in=[str(word) for word in Severity]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.check_code} ({self.severity}): {self.title}"
