"""The residency of this process's paths: judged once for each setting, asked at each call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from routing.compliance import residency
from routing.compliance.residency import Residence
from routing.core.values import EnvironmentName, Path
from routing.fleet.queries import EnvironmentRow

log = logging.getLogger(__name__)
Client = TypeVar("Client")
Where = tuple[EnvironmentName, Path]
_UNSET = Residence(allowed=False, sentence="The environment has no settings.")


class Borders(Generic[Client]):
    """`row` and `client` return the settings in use and the client that was made from them."""

    def __init__(
        self,
        *,
        row: Callable[[EnvironmentName], EnvironmentRow | None],
        client: Callable[[EnvironmentName, Path], Client | None],
    ) -> None:
        self._row = row
        self._client = client
        self._judged: dict[Where, tuple[EnvironmentRow, Residence]] = {}
        self._told: Mapping[Where, str] = {}

    def residence(self, environment: EnvironmentName, path: Path) -> Residence:
        """Judge where the client of `path` sends data."""
        row = self._row(environment)
        if row is None:
            return _UNSET
        judged = self._judged.get((environment, path))
        if judged is None or judged[0] is not row:
            judged = self._judged[(environment, path)] = (row, residency.of(row, path))
        return judged[1]

    def client(self, environment: EnvironmentName, path: Path) -> Client | None:
        """Return the client of `path`, None where there is none or it may not be used.

        A request that was decided before a change of settings asks here again before each call,
        so nothing leaves for a place that is not allowed by now.
        """
        client = self._client(environment, path)
        return client if client and self.residence(environment, path).allowed else None

    def breach(self, environment: EnvironmentName, path: Path) -> str:
        """Return why `path` may not be used although it is configured, empty where it may."""
        if self._client(environment, path) is None:
            return ""
        judged = self.residence(environment, path)
        return "" if judged.allowed else judged.sentence

    def tell(self, environments: Iterable[EnvironmentName]) -> None:
        """Log each path that breaks the residency since the last time."""
        found = {(name, path): self.breach(name, path) for name in environments for path in Path}
        for (name, path), sentence in found.items():
            if sentence and self._told.get((name, path)) != sentence:
                log.error("%s is off in %s. %s", path, name, sentence)
        self._told = found
