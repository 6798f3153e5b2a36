"""Where each operation must go, written out by hand and never read from the matrix under test.

Who changes the product's default matrix changes these literals too, on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from routing.core.values import Operation, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The paths of one operation in order: the first is the one that must serve it."""

    order: tuple[str, ...]

    @property
    def primary(self) -> str:
        return self.order[0]


BY_MATRIX: Mapping[str, Expected] = {
    "emergency": Expected(order=("direct_bedrock",)),
    "infrastructure": Expected(order=("direct_bedrock", "mcp")),
    "meta_monitor": Expected(order=("direct_bedrock", "mcp")),
    "implementation": Expected(order=("direct_bedrock", "mcp")),
    "kiro_communication": Expected(order=("mcp", "direct_bedrock")),
    "standard": Expected(order=("mcp", "direct_bedrock")),
    "background_tasks": Expected(order=("mcp", "direct_bedrock")),
}


def expected(operation: Operation, *, intelligent: bool, only: Path | None = None) -> Expected:
    """Return where `operation` must go; everything goes to mcp without intelligent routing.

    `only` is the one path that a plan leaves open, such as a rollback's target.
    """
    if only is not None:
        return Expected(order=(str(only),))
    if not intelligent:
        return Expected(order=("mcp",))
    return BY_MATRIX[str(operation)]
