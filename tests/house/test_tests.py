"""Tests live where a newcomer looks for them."""

from __future__ import annotations

from tests.house import tree


def strays(tests: set[str], product: set[str]) -> set[str]:
    """Return the folders of unit tests that mirror no package.

    Both are relative paths; `core` and `routing/core` both mirror `routing/core`.
    """
    mirrored = product | {path.removeprefix("routing/") for path in product}
    return tests - mirrored


def _product() -> set[str]:
    found = set(tree.PRODUCT)
    for top in tree.PRODUCT:
        found |= {f"{top}/{path}" for path in tree.packages_below(top)}
    return found


def test_unit_tests_mirror_packages() -> None:
    assert strays(tree.packages_below("tests/unit"), _product()) == set()


def test_a_folder_that_mirrors_nothing_is_a_stray() -> None:
    assert strays({"core", "dashboard", "corn"}, {"routing/core", "dashboard"}) == {"corn"}


def test_every_test_file_has_a_test() -> None:
    files = {p: t for p, t in tree.texts().items() if p.rsplit("/", 1)[-1].startswith("test_")}
    assert files
    empty = [path for path, text in files.items() if "def test_" not in text]
    assert [path for path in empty if "RuleBasedStateMachine" not in files[path]] == []
