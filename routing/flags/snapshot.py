"""The per-process versioned snapshot of all flags; evaluation never touches the database."""

from __future__ import annotations

from django.http import HttpRequest


def is_on_for_request(name: str, request: HttpRequest) -> bool:
    raise NotImplementedError
