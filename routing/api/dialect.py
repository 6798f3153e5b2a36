"""What differs between the doors: their addresses, their words for an ask, an answer, a refusal.

Who asks, whether it may and how much, is the same behind all of them (`visit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from routing.api.wire import Reply
from routing.core.errors import HybridOpsError, NotFound
from routing.decisions.record import Caller
from routing.flow import Opening
from routing.router import Ask, Routed

ONE_MODEL = "hybridops"  # the name that stands for whatever the environment has chosen


class Purpose(StrEnum):
    ROUTE = "route"
    EXPLAIN = "explain"
    REPORT = "report"
    MODELS = "models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One address of a door; `model` and `streams` are said by the address in some."""

    purpose: Purpose
    method: str
    model: str = ""
    streams: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An ask as a door's words made it, with what its answer must be worded by."""

    ask: Ask
    model: str = ""
    streams: bool = False
    counts_usage: bool = False


class Wording(Protocol):
    """How one answer in pieces is told; every method returns bytes that go out at once."""

    @property
    def content_type(self) -> str: ...

    @property
    def still_there(self) -> bytes:
        """What tells a caller in a silence that it goes on; empty for nothing."""
        ...

    def opened(self, opening: Opening) -> bytes:
        """Return what stands before the first piece."""
        ...

    def piece(self, text: str) -> bytes:
        """Return one piece."""
        ...

    def end(self, done: Routed) -> bytes:
        """Return the end, or the error that took its place."""
        ...

    def failed(self, error: HybridOpsError) -> bytes:
        """Return the error of ours that took the place of the end."""
        ...


class Dialect(Protocol):
    """One door's words. `signs` says that a request may be signed instead of bearing a token."""

    prefix: ClassVar[str]
    signs: ClassVar[bool]

    def place(self, path: str) -> Place:
        """Return what stands at `path`; raises NotFound."""
        ...

    def read(
        self, data: bytes, place: Place, *, said: Mapping[str, str | None], caller: Caller
    ) -> Asked:
        """Return what a body and the headers `said` ask for; raises Invalid and the like."""
        ...

    def models(self, place: Place) -> Reply:
        """Return which models may be named here."""
        ...

    def answered(self, done: Routed, request_id: str) -> Reply:
        """Return the whole answer, or what is said without one."""
        ...

    def refused(self, error: HybridOpsError, request_id: str) -> Reply:
        """Return the words for an error of ours."""
        ...

    def wording(self, asked: Asked, request_id: str) -> Wording:
        """Return how the pieces of an answer are told."""
        ...


def check_model(named: str, known: tuple[str, ...]) -> None:
    """Raise NotFound unless `named` is a name that callers may send for the model."""
    if named not in known:
        raise NotFound(
            f"There is no model {named[:80]!r} here; send one of: {', '.join(known)}. The "
            "environment of the token decides which model answers, and the answer names it.",
            known=list(known),
        )
