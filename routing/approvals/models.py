"""Tables of approvals: proposals with what exactly is agreed to, and which flags need one."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from routing.core.values import ProposalState


class Proposal(models.Model):
    """One proposal. `content` is its canonical text, never edited; `digest` is of that text.

    Who approved it stays when it ends otherwise; `entry_seq` is the audit entry of the change.
    """

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    content = models.TextField()
    digest = models.CharField(max_length=64)
    state = models.CharField(max_length=12, default=str(ProposalState.PROPOSED))
    proposed_at = models.DateTimeField()
    proposed_by = models.CharField(max_length=300)
    expires_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=300, blank=True, default="")
    approved_note = models.CharField(max_length=500, blank=True, default="")
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=300, blank=True, default="")
    ended_because = models.CharField(max_length=500, blank=True, default="")
    entry_seq = models.PositiveBigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="proposal_state_known",
                condition=models.Q(state__in=[str(s) for s in ProposalState]),
            ),
            models.CheckConstraint(
                name="proposal_expires_later",
                condition=models.Q(expires_at__gt=models.F("proposed_at")),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment", "state", "-id"], name="proposal_by_state"),
        ]

    def __str__(self) -> str:
        return f"proposal {self.pk} in {self.environment_id}: {self.state}"


class ApprovalPolicy(models.Model):
    """Which flags need approval in an environment; the newest version is in force."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    version = models.PositiveBigIntegerField()
    flags = models.JSONField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=300)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "version"], name="one_approval_policy_version"
            ),
        ]

    def __str__(self) -> str:
        return f"approval policy of {self.environment_id} at {self.version}"
