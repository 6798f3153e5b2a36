"""The decision matrix of each environment: its versions, a draft of the next, overrides."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from routing.core.values import Operation, Path


class MatrixVersion(models.Model):
    """One published matrix, whole and never edited; the newest of an environment is in force.

    `rows` is `codec.encode` of it; `reason` is empty for those from before reasons were kept.
    """

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    version = models.PositiveBigIntegerField()
    rows = models.JSONField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=300)
    reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["environment", "version"], name="one_matrix_version"),
        ]

    def __str__(self) -> str:
        return f"matrix of {self.environment_id} at {self.version}"


class MatrixDraft(models.Model):
    """What the next version of one environment's matrix shall be; at most one a time.

    `base_version` is the version that it was begun from. The row outlives its draft: `revision`
    grows with every edit, over all drafts, so that nobody takes another draft for theirs.
    """

    environment = models.OneToOneField(
        "routing.Environment", on_delete=models.PROTECT, primary_key=True
    )
    base_version = models.PositiveBigIntegerField()
    revision = models.PositiveBigIntegerField(default=1)
    is_open = models.BooleanField(default=True)
    rows = models.JSONField()
    owner = models.CharField(max_length=300)
    reason = models.CharField(max_length=500, blank=True, default="")
    begun_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=300)

    objects: ClassVar[models.Manager[MatrixDraft]] = models.Manager()

    def __str__(self) -> str:
        return f"draft of the matrix of {self.environment_id}, revision {self.revision}"


class Override(models.Model):
    """A person's word for one operation until `ends_at`; open until `ended_at` is booked.

    Whether it holds is a question of its end alone: nobody waits for the booking.
    """

    environment = models.ForeignKey("routing.Environment", on_delete=models.PROTECT)
    operation = models.CharField(max_length=24)
    path = models.CharField(max_length=16)
    reason = models.CharField(max_length=500)
    set_at = models.DateTimeField()
    set_by = models.CharField(max_length=300)
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=300, blank=True, default="")
    ended_because = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="one_open_override",
                fields=["environment", "operation"],
                condition=models.Q(ended_at__isnull=True),
            ),
            models.CheckConstraint(
                name="override_operation_known",
                condition=models.Q(operation__in=[str(word) for word in Operation]),
            ),
            models.CheckConstraint(
                name="override_path_known",
                condition=models.Q(path__in=[str(word) for word in Path]),
            ),
            models.CheckConstraint(
                name="override_ends_later", condition=models.Q(ends_at__gt=models.F("set_at"))
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["environment", "-set_at"], name="override_newest"),
        ]

    def __str__(self) -> str:
        return f"override {self.pk}: {self.operation} to {self.path} in {self.environment_id}"
