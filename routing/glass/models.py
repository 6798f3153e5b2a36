"""The table of broken glass: times in which an admin acted without waiting for others."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class BrokenGlass(models.Model):
    """One time of break-glass in one environment; open until `ended_at`, at most one a time.

    It holds until `ends_at` at the latest. The task to review it is open until `reviewed_at`.
    """

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    broken_at = models.DateTimeField()
    broken_by = models.CharField(max_length=300)
    reason = models.CharField(max_length=500)
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=300, blank=True, default="")
    reviewed_at = models.DateTimeField(null=True)
    reviewed_by = models.CharField(max_length=300, blank=True, default="")
    review = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="one_broken_glass",
                fields=["environment"],
                condition=models.Q(ended_at__isnull=True),
            ),
            models.CheckConstraint(
                name="broken_glass_ends_later",
                condition=models.Q(ends_at__gt=models.F("broken_at")),
            ),
            models.CheckConstraint(
                name="broken_glass_reviewed_by_another",
                condition=~models.Q(reviewed_by=models.F("broken_by")),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment", "-broken_at"], name="broken_glass_newest"),
        ]

    def __str__(self) -> str:
        return f"broken glass {self.pk} in {self.environment_id}"
