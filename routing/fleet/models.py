"""Tables of the fleet: environments, server processes, leases of singleton loops."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from routing.core.values import EnvironmentName, Residency


class Environment(models.Model):
    """One environment as data. `version` counts its booked settings changes."""

    name = models.CharField(
        primary_key=True, max_length=16, choices=[(str(e), str(e)) for e in EnvironmentName]
    )
    residency = models.CharField(
        max_length=8, choices=[(str(r), str(r)) for r in Residency], default=str(Residency.EU)
    )
    # Path settings; an empty target means that path is `not_configured`. `local:bedrock` and
    # `local:mcp` are the built-in stand-ins, resolved at every connect.
    bedrock_target = models.CharField(max_length=200, blank=True, default="")
    bedrock_region = models.CharField(max_length=32, blank=True, default="")
    bedrock_model = models.CharField(max_length=200, blank=True, default="")
    mcp_target = models.CharField(max_length=400, blank=True, default="")
    mcp_tool = models.CharField(max_length=128, default="route_request")
    mcp_arguments = models.JSONField(null=True, blank=True, default=None)
    mcp_idempotent = models.BooleanField(default=False)
    thresholds = models.JSONField(default=dict)
    version = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="environment_name_known",
                condition=models.Q(name__in=[str(e) for e in EnvironmentName]),
            ),
            models.CheckConstraint(
                name="environment_residency_known",
                condition=models.Q(residency__in=[str(r) for r in Residency]),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Process(models.Model):
    """One life of one server or worker process, as it last reported itself.

    `versions` maps a version's name (`flags:development`, `tokens`, ...) to the number that the
    process runs, `since` some of them to when it began to (ISO 8601, by the clock that judges
    heartbeats); `door_url` is the base address of its machine door.
    """

    id = models.CharField(primary_key=True, max_length=64)  # <name>:<boot>
    name = models.CharField(max_length=40)
    boot = models.CharField(max_length=32)
    pid = models.PositiveIntegerField()
    host = models.CharField(max_length=255)
    kind = models.CharField(max_length=8, choices=[("server", "server"), ("worker", "worker")])
    environments = models.JSONField(default=list)
    code_version = models.CharField(max_length=64)
    door_url = models.CharField(max_length=400, blank=True, default="")
    versions = models.JSONField(default=dict)
    since = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(db_index=True)
    stopped_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.id


class LoopLease(models.Model):
    """Who runs a singleton loop. `fence` grows by one with every new holder."""

    name = models.CharField(primary_key=True, max_length=64)
    holder = models.CharField(max_length=64, blank=True, default="")
    fence = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
