"""What was accepted of an environment's MCP server, and what was seen of it last."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from routing.core.pinning import Drift


class ToolPin(models.Model):
    """One configured tool of one server. `digest` is over all tools of the server.

    `tools` maps each tool to a short digest, `contract` is what the configured one says of
    itself. `seen_*` are the same as last seen; `drift` is the gravest since the pin was accepted.
    All four are JSON as text: PostgreSQL's own type refuses a NUL, which a server may send.
    """

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    target = models.CharField(max_length=400)
    tool = models.CharField(max_length=128)
    digest = models.CharField(max_length=64)
    tools = models.TextField()
    contract = models.TextField()
    pinned_at = models.DateTimeField()
    pinned_by = models.CharField(max_length=300)
    reason = models.CharField(max_length=500, blank=True, default="")
    seen_digest = models.CharField(max_length=64)
    seen_tools = models.TextField()
    seen_contract = models.TextField()
    seen_count = models.PositiveIntegerField(default=1)
    seen_at = models.DateTimeField()
    drift = models.CharField(max_length=8, default=str(Drift.NONE))
    version = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "target", "tool"], name="one_pin_a_tool"
            ),
            models.CheckConstraint(
                name="tool_pin_drift_known",
                condition=models.Q(drift__in=[str(word) for word in Drift]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool} of {self.target} in {self.environment_id}"
