"""Breakers as processes share them: one row each that is compared and set, and its history."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from routing.core.circuit_state import Why
from routing.core.values import Breaker, Path


class SharedBreaker(models.Model):
    """One breaker for all processes; no row means closed and never moved.

    `version` grows by one with every write. `circuit` holds what the rules need beside the state,
    in µs of the clock that judges. `wanted` is the generation in which a process found no free
    trial slot. `by`, `reason` and `entry_seq` say who forces the state that it is in, if a person
    does.
    """

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    path = models.CharField(max_length=16)
    target = models.CharField(max_length=400, blank=True)
    version = models.PositiveBigIntegerField(default=1)
    generation = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=16)
    why = models.CharField(max_length=24, blank=True, default="")
    since = models.DateTimeField()
    circuit = models.JSONField(default=dict)
    wanted = models.BigIntegerField(default=-1)
    by = models.CharField(max_length=300, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    entry_seq = models.PositiveBigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "path", "target"], name="one_breaker_per_target"
            ),
            models.CheckConstraint(
                name="breaker_path_known", condition=models.Q(path__in=[str(p) for p in Path])
            ),
            models.CheckConstraint(
                name="breaker_state_known", condition=models.Q(state__in=[str(b) for b in Breaker])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} to {self.target} in {self.environment_id}: {self.state}"


class BreakerMove(models.Model):
    """One change of state; `alone` where a process that had lost the store made it for itself."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    path = models.CharField(max_length=16)
    target = models.CharField(max_length=400, blank=True)
    generation = models.PositiveBigIntegerField()
    source = models.CharField(max_length=16)
    state = models.CharField(max_length=16)
    why = models.CharField(max_length=24)
    at = models.DateTimeField()
    process = models.CharField(max_length=64, blank=True, default="")
    alone = models.BooleanField(default=False)
    by = models.CharField(max_length=300, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["environment", "path", "target", "-id"], name="breaker_moves"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="breaker_move_known",
                condition=models.Q(path__in=[str(p) for p in Path])
                & models.Q(source__in=[str(b) for b in Breaker])
                & models.Q(state__in=[str(b) for b in Breaker])
                & models.Q(why__in=[str(w) for w in Why]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} to {self.target} in {self.environment_id}: {self.state} ({self.why})"
