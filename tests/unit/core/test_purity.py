from __future__ import annotations

import ast
from pathlib import Path

import pytest

from routing import core

FORBIDDEN = {
    "django",
    "channels",
    "waffle",
    "boto3",
    "botocore",
    "mcp",
    "logging",
    "random",
    "secrets",
    "threading",
    "asyncio",
    "time",
    "os",
    "socket",
}
MODULES = sorted(Path(core.__path__[0]).glob("*.py"))


def imported(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_core_imports_itself_and_nothing_that_acts(module: Path) -> None:
    names = imported(module.read_text())
    assert not {name for name in names if name.split(".")[0] in FORBIDDEN}
    ours = {name for name in names if name.split(".")[0] in {"routing", "dashboard", "hybridops"}}
    assert not {n for n in ours if n != "routing.core" and not n.startswith("routing.core.")}
    assert not {name for name in names if name.startswith(".")}


def test_an_import_inside_a_function_is_seen_too() -> None:
    """The control: what the law looks for is found wherever it hides."""
    hidden = "def f():\n    import time\n    from random import random\n    from . import values\n"
    assert imported(hidden) == {"time", "random", "."}
