"""Versions of the decision matrix; the newest of an environment is in force."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class MatrixVersion(models.Model):
    """One published matrix, whole and never edited. `rows` is `codec.encode` of it."""

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    version = models.PositiveBigIntegerField()
    rows = models.JSONField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=300)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["environment", "version"], name="one_matrix_version"),
        ]

    def __str__(self) -> str:
        return f"matrix of {self.environment_id} at {self.version}"
