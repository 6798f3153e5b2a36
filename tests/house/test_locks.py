"""What is imported is declared; what is declared is locked, with hashes."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement

from tests.house import tree

PIN = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)


def imported(source: str) -> set[str]:
    """Return the top-level names that `source` imports when it runs, not for the types alone."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo += node.orelse
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def undeclared(
    names: Iterable[str], declared: set[str], homes: Mapping[str, list[str]]
) -> set[str]:
    """Return the imported names that come from no declared package.

    `homes` says which packages a name may come from; both are normalized to a-z, 0-9 and dashes.
    """
    ours = {*sys.stdlib_module_names, *tree.PRODUCT}
    return {n for n in names if n not in ours and not declared & set(homes.get(n, []))}


def unpinned(wanted: Iterable[str], lock: str) -> list[str]:
    """Return the requirements that `lock` does not meet with exactly one release and a hash."""
    pins = dict(PIN.findall(lock))
    found = []
    for line in wanted:
        need = Requirement(line)
        if not need.specifier.contains(pins.get(_normal(need.name), "0"), prereleases=True):
            found.append(line)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(group: str = "") -> list[str]:
    config = tomllib.loads(tree.texts()["pyproject.toml"])
    return list(config["dependency-groups"][group] if group else config["project"]["dependencies"])


def test_what_the_product_imports_is_declared() -> None:
    names: set[str] = set()
    for path, text in tree.texts().items():
        if path.endswith(".py") and path.split("/")[0] in tree.PRODUCT:
            names |= imported(text)
    homes = {k: [_normal(d) for d in v] for k, v in packages_distributions().items()}
    declared = {_normal(Requirement(line).name) for line in _declared()}
    assert undeclared(names, declared, homes) == set()


SOURCE = """
import os
from requests.adapters import HTTPAdapter
import django.db
from . import neighbour
if TYPE_CHECKING:
    from a_stub import Shape
"""


def test_an_import_of_something_undeclared_is_found() -> None:
    homes = {"requests": ["requests"], "django": ["django"]}
    assert undeclared(imported(SOURCE), {"django"}, homes) == {"requests"}


def test_locks_meet_what_is_declared() -> None:
    locks = tree.texts()
    assert unpinned(_declared(), locks["requirements.txt"]) == []
    assert unpinned([*_declared(), *_declared("dev")], locks["requirements-dev.txt"]) == []


@pytest.mark.parametrize("lock", ["", "django==5.1.0 \\\n", "django-htmx==5.2.20 \\\n"])
def test_a_stale_lock_is_found(lock: str) -> None:
    assert unpinned(["django>=5.2.19,<5.3"], lock) == ["django>=5.2.19,<5.3"]


def test_both_locks_agree() -> None:
    locks = tree.texts()
    run = set(PIN.findall(locks["requirements.txt"]))
    assert run
    assert run <= set(PIN.findall(locks["requirements-dev.txt"]))


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_has_a_hash(name: str) -> None:
    entries = re.split(r"\n(?=[a-z])", tree.texts()[name])
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
