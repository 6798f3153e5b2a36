"""Addresses of the pages; machines come in at the ASGI root, before Django."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
