"""Kill files on a real disk: seen, obeyed, and gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path as Folder

import pytest

from routing.core.decision import Kill
from routing.core.values import EnvironmentName
from routing.flags import kill
from routing.flags.kill import Turn, Watch

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DEV, STG, PROD = EnvironmentName


@pytest.fixture(autouse=True)
def _none_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kill, "_orders", {})
    monkeypatch.setattr(kill, "_strangers", ())
    yield


@pytest.fixture
def folder(tmp_path: Folder) -> Folder:
    (tmp_path / "kill").mkdir()
    return tmp_path / "kill"


def watch(folder: Folder, pause: Callable[[float], None] = lambda _: None) -> Watch:
    return Watch(folder.parent, tuple(EnvironmentName), pause=pause)


def words(turns: tuple[Turn, ...]) -> list[tuple[str, str | None, str | None]]:
    return [
        (
            str(t.environment),
            str(t.before.kill) if t.before else None,
            str(t.after.kill) if t.after else None,
        )
        for t in turns
    ]


def test_without_files_and_without_the_folder_nothing_is_obeyed(tmp_path: Folder) -> None:
    assert Watch(tmp_path, tuple(EnvironmentName)).look(NOW) == ()
    assert kill.word(PROD) is None and kill.current(PROD) is None


def test_a_file_is_obeyed_in_its_environment_alone_until_it_goes(folder: Folder) -> None:
    eye = watch(folder)
    eye.look(NOW)
    (folder / "production").write_text("direct_only\n")
    assert words(eye.look(NOW)) == [("production", None, "direct_only")]
    assert (kill.word(PROD), kill.word(STG), kill.word(DEV)) == (Kill.DIRECT_ONLY, None, None)
    order = kill.current(PROD)
    assert order is not None and order.since == NOW
    assert eye.look(NOW) == ()
    (folder / "production").write_text("stop")
    assert words(eye.look(NOW)) == [("production", "direct_only", "stop")]
    (folder / "production").unlink()
    assert words(eye.look(NOW)) == [("production", "stop", None)]
    assert kill.word(PROD) is None


def test_an_empty_file_is_mcp_only(folder: Folder) -> None:
    (folder / "staging").touch()
    assert words(watch(folder).look(NOW)) == [("staging", None, "mcp_only")]


def test_what_a_shell_has_emptied_and_not_yet_written_is_not_taken_at_its_word(
    folder: Folder,
) -> None:
    file = folder / "production"
    file.touch()

    def writes(_: float) -> None:
        file.write_text("direct_only")

    eye = watch(folder, pause=writes)
    assert words(eye.look(NOW)) == [("production", None, "direct_only")]
    # What came after the first look is read once more, and is no news.
    assert eye.look(NOW) == ()


def test_a_file_that_goes_while_it_is_read_is_gone(folder: Folder) -> None:
    file = folder / "production"
    file.touch()
    assert watch(folder, pause=lambda _: file.unlink()).look(NOW) == ()
    assert kill.word(PROD) is None


@pytest.mark.parametrize("content", [b"mcp-only", b"\xff\xfe\x00", b"x" * 10_000])
def test_what_nobody_understands_stops(folder: Folder, content: bytes) -> None:
    (folder / "production").write_bytes(content)
    watch(folder).look(NOW)
    order = kill.current(PROD)
    assert order is not None and order.kill is Kill.STOP and order.said.problem


def test_a_folder_in_its_place_stops(folder: Folder) -> None:
    (folder / "production").mkdir()
    watch(folder).look(NOW)
    assert kill.word(PROD) is Kill.STOP


def test_what_cannot_be_looked_for_leaves_in_force_what_was(folder: Folder) -> None:
    file, eye = folder / "production", watch(folder)
    file.write_text("direct_only")
    eye.look(NOW)
    file.unlink()
    file.symlink_to("production")  # leads to itself: not even its absence can be told
    assert eye.look(NOW) == ()
    assert kill.word(PROD) is Kill.DIRECT_ONLY


def test_a_file_that_names_no_environment_is_told_of(folder: Folder) -> None:
    (folder / "prod").write_text("stop")
    (folder / ".swp").touch()
    eye = watch(folder)
    assert eye.look(NOW) == ()
    assert kill.strangers() == ("prod",)
    (folder / "prod").unlink()
    eye.look(NOW)
    assert kill.strangers() == ()


def test_a_command_reads_the_file_itself(folder: Folder) -> None:
    assert kill.peek(folder.parent, PROD) is None
    (folder / "production").write_text("stop")
    said = kill.peek(folder.parent, PROD)
    assert said is not None and said.kill is Kill.STOP
