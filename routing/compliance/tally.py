"""How often this process refused or found personal data since its start, without any text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from routing.compliance.policy import Broken
from routing.core.values import EnvironmentName


class Tally:
    """Counts per environment: the rules that were broken, the classes that were found."""

    def __init__(self) -> None:
        self._refused: dict[EnvironmentName, Counter[str]] = {}
        self._found: dict[EnvironmentName, Counter[str]] = {}

    def count(
        self, environment: EnvironmentName, broken: Broken | None, classes: Iterable[str]
    ) -> None:
        """Count one judged request."""
        if broken is not None:
            self._refused.setdefault(environment, Counter())[str(broken)] += 1
        if classes:
            self._found.setdefault(environment, Counter()).update(classes)

    def refused(self, environment: EnvironmentName) -> dict[str, int]:
        """Return how many requests broke each rule."""
        return dict(self._refused.get(environment, {}))

    def found(self, environment: EnvironmentName) -> dict[str, int]:
        """Return in how many requests each class was found, whatever became of it."""
        return dict(self._found.get(environment, {}))
