"""Tables of deployments: what ran or was imported, its tests, documents and findings."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from django.db import models

from routing.core.lifecycle import Stage
from routing.core.values import Evidence, TestStatus, Verdict
from routing.core.verdict import Mismatch, Suite
from routing.deployments.origins import Origin
from routing.deployments.parsed import Format

__all__ = [
    "Deployment",
    "DeploymentDocument",
    "DeploymentFinding",
    "DeploymentTest",
    "Origin",
]


def _known(name: str, column: str, words: type[StrEnum], *, blank: bool) -> models.CheckConstraint:
    spelled = [str(word) for word in words]
    condition = models.Q(**{f"{column}__in": ["", *spelled] if blank else spelled})
    return models.CheckConstraint(name=name, condition=condition)


class Deployment(models.Model):
    """One deployment. What a document recorded stands beside what is derived from its facts.

    `derived_verdict` is what the evidence adds up to, whatever the origin; `verdict` is set once,
    at the stage `judged`, and only for what ran here. `created_at` is when the run took place: our
    clock for what ran, the document's own claim for what was imported. `flags` maps names to
    what the document lists or the release wants; nothing in it is ever applied from here.
    """

    id = models.CharField(primary_key=True, max_length=100)
    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    origin = models.CharField(max_length=8)
    recorded_status = models.CharField(max_length=16, blank=True, default="")
    recorded_success = models.BooleanField(null=True)
    derived_verdict = models.CharField(max_length=12, blank=True, default="")
    verdict = models.CharField(max_length=12, blank=True, default="")
    stage = models.CharField(max_length=12, blank=True, default="")
    release = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    by = models.CharField(max_length=300)
    components = models.JSONField(default=list)
    flags = models.JSONField(default=dict)
    errors = models.JSONField(default=list)
    warnings = models.JSONField(default=list)
    process = models.TextField(blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            _known("deployment_origin_known", "origin", Origin, blank=False),
            _known("deployment_derived_known", "derived_verdict", Verdict, blank=True),
            _known("deployment_verdict_known", "verdict", Verdict, blank=True),
            _known("deployment_stage_known", "stage", Stage, blank=True),
            models.CheckConstraint(
                name="deployment_only_a_run_is_judged",
                condition=models.Q(verdict="") | models.Q(origin=str(Origin.RAN)),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment", "-created_at", "-id"], name="deployment_newest"),
        ]

    def __str__(self) -> str:
        return self.id


class DeploymentDocument(models.Model):
    """One document as it came in or went out: its text to the byte, and where it is booked."""

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="documents")
    format = models.CharField(max_length=4)
    file_name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveIntegerField()
    text = models.TextField()
    imported_at = models.DateTimeField()
    by = models.CharField(max_length=300)
    entry_seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="one_document_of_a_format", fields=["deployment", "format"]
            ),
            _known("deployment_document_format_known", "format", Format, blank=False),
        ]

    def __str__(self) -> str:
        return f"{self.deployment_id} ({self.format})"


class DeploymentTest(models.Model):
    """One check's result. Only what ran here can be proven; the runner sets it."""

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="tests")
    position = models.PositiveSmallIntegerField()
    suite = models.CharField(max_length=12)
    name = models.CharField(max_length=120)
    status = models.CharField(max_length=4)
    evidence = models.CharField(max_length=8, default=str(Evidence.UNPROVEN))
    duration_ms = models.PositiveIntegerField(default=0)
    expected = models.TextField(blank=True, default="")
    actual = models.TextField(blank=True, default="")
    kind = models.CharField(max_length=16, blank=True, default="")
    error = models.TextField(blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="one_result_of_a_test", fields=["deployment", "suite", "name"]
            ),
            _known("deployment_test_suite_known", "suite", Suite, blank=False),
            _known("deployment_test_status_known", "status", TestStatus, blank=False),
            _known("deployment_test_evidence_known", "evidence", Evidence, blank=False),
            _known("deployment_test_kind_known", "kind", Mismatch, blank=True),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.status} ({self.evidence})"


class DeploymentFinding(models.Model):
    """Something that a reader should know before believing a deployment's record."""

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="findings")
    position = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=48)
    message = models.TextField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="one_finding_at_a_position", fields=["deployment", "position"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
