"""Versions of prices and limits, what was spent a day, and which alerts were given."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class CostPolicy(models.Model):
    """Prices and limits of an environment, whole and never edited. `document` is
    `policy.encode` of them; the newest version is in force."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    version = models.PositiveBigIntegerField()
    document = models.JSONField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=300)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["environment", "version"], name="one_cost_version"),
        ]

    def __str__(self) -> str:
        return f"prices and limits of {self.environment_id} at {self.version}"


class Spend(models.Model):
    """What a day (UTC) of one kind of request cost, added up as its decisions are stored.

    `currency` is empty where nothing is priced. Of `requests`, `cached` were answered again at no
    cost, `untold` told no tokens, and `unpriced` cost more than `nanos` says.
    """

    environment = models.CharField(max_length=16)
    day = models.DateField()
    operation = models.CharField(max_length=24)
    tenant = models.CharField(max_length=64)
    model = models.CharField(max_length=200, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    synthetic = models.BooleanField()
    requests = models.PositiveBigIntegerField(default=0)
    cached = models.PositiveBigIntegerField(default=0)
    untold = models.PositiveBigIntegerField(default=0)
    unpriced = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    nanos = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=[
                    "environment",
                    "day",
                    "operation",
                    "tenant",
                    "model",
                    "currency",
                    "synthetic",
                ],
                name="one_spend_a_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.environment} on {self.day}: {self.operation} of {self.tenant}"


class BudgetAlert(models.Model):
    """One level of one limit that was reached in one period, told once.

    A limit that was given another amount is another one: its levels are told anew.
    """

    environment = models.CharField(max_length=16)
    limit = models.CharField(max_length=100)
    amount = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3, blank=True)
    since = models.DateField()
    level = models.PositiveSmallIntegerField()
    spent = models.PositiveBigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "limit", "amount", "currency", "since", "level"],
                name="one_budget_alert",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.limit} of {self.environment} at {self.level} %"
