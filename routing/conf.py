"""Django's settings turned into ours, once; nothing below reads Django's for figures."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.db import connection

from routing.core.settings import BedrockTransport, Settings
from routing.core.values import EnvironmentName


@cache
def current() -> Settings:
    """Return the settings of this process."""
    return Settings(
        environments=tuple(EnvironmentName(e) for e in settings.HYBRIDOPS_ENVIRONMENTS),
        embedded=settings.HYBRIDOPS_EMBEDDED,
        synthetic=settings.HYBRIDOPS_SYNTHETIC,
        at_once=settings.HYBRIDOPS_AT_ONCE,
        first_deployment=settings.HYBRIDOPS_FIRST_DEPLOYMENT,
        bedrock_transport=BedrockTransport(settings.HYBRIDOPS_BEDROCK_TRANSPORT),
        sqlite=connection.vendor == "sqlite",
    )
