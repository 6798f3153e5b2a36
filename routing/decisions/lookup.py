"""One record of a decision stream as its bytes tell it, for whoever holds its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing.core import chain
from routing.decisions.models import Decision


def decision(id: str) -> Mapping[str, Any] | None:
    """Return the decision's own record, that of its end, once it is in the database."""
    found = Decision.objects.filter(decision_id=id, kind="decision").first() if id else None
    return _said(found)


def record(stream: str, seq: int) -> Mapping[str, Any] | None:
    """Return record `seq` of `stream` once it is in the database, else None."""
    return _said(Decision.objects.filter(stream=stream, seq=seq).first())


def _said(found: Decision | None) -> Mapping[str, Any] | None:
    said = chain.read(bytes(found.body)) if found is not None else None
    return said if isinstance(said, dict) else None
