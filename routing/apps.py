from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate

from routing.audit import guards


class RoutingConfig(AppConfig):
    name = "routing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(reinstall_guards, sender=self)


def reinstall_guards(using: str, **_: Any) -> None:
    """Put the guards back: SQLite loses a table's triggers whenever Django remakes it."""
    guards.install(connections[using])
