"""The kill files, `HYBRIDOPS_HOME/kill/<environment>`: read each second, obeyed from memory.

They need no database, no Redis and no browser: whoever can write in the home can take an
environment's traffic to one path or to a stop, and removing the file gives it back.
"""

from __future__ import annotations

import contextlib
import logging
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as Folder

from routing.core import killing
from routing.core.decision import Kill
from routing.core.killing import Order, Said
from routing.core.values import EnvironmentName

log = logging.getLogger(__name__)
FOLDER = "kill"
EVERY_S = 1.0
LONGEST_BYTES = 4096
# A shell empties a file before it writes it: what says nothing known is looked at once more.
AGAIN_S = 0.05
Mark = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A kill file that came, changed or went: what was obeyed before and is from now on."""

    environment: EnvironmentName
    at: datetime
    before: Said | None
    after: Said | None


_orders: Mapping[EnvironmentName, Order] = {}
_strangers: tuple[str, ...] = ()


def current(environment: EnvironmentName) -> Order | None:
    """Return the kill file that this process obeys in `environment`, None without one."""
    return _orders.get(environment)


def word(environment: EnvironmentName) -> Kill | None:
    """Return what decisions in `environment` obey now, None without a kill file."""
    order = _orders.get(environment)
    return order.said.kill if order else None


def strangers() -> tuple[str, ...]:
    """Return the files among the kill files that name no environment: nobody obeys them."""
    return _strangers


def peek(home: Folder, environment: EnvironmentName) -> Said | None:
    """Return what the kill file of `environment` says at this moment, read from the disk.

    For a process that does not watch them, such as a command.
    """
    file = home / FOLDER / environment
    return _read(file, time.sleep) if _mark(file) is not None else None


class Watch:
    """Looks after the kill files of one home; one instance a process, one thread at a time."""

    def __init__(
        self,
        home: Folder,
        environments: Sequence[EnvironmentName],
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = home / FOLDER
        self._environments = tuple(environments)
        self._pause = pause
        self._marks: dict[EnvironmentName, Mark | None] = {}

    def look(self, now: datetime) -> tuple[Turn, ...]:
        """Read the files that changed, put in force what they say, return what is new.

        Never raises. A file that cannot be looked for leaves in force what was; one that is there
        and cannot be read is taken for `stop`.
        """
        turns = [turn for e in self._environments if (turn := self._look_at(e, now)) is not None]
        self._look_for_strangers()
        return tuple(turns)

    def _look_at(self, environment: EnvironmentName, now: datetime) -> Turn | None:
        global _orders  # noqa: PLW0603 - one reference, swapped whole
        file = self.folder / environment
        try:
            mark = _mark(file)
        except OSError as error:
            log.error("The kill file %s cannot be looked for: %s", file, error)
            return None
        if environment in self._marks and self._marks[environment] == mark:
            return None
        after = None if mark is None else _read(file, self._pause)
        # What was written while it was read has another mark, and is read in the next look.
        self._marks[environment] = mark
        order = _orders.get(environment)
        before = order.said if order else None
        if after == before:
            return None
        others = {name: kept for name, kept in _orders.items() if name is not environment}
        fresh = Order(environment=environment, said=after, since=now) if after else None
        _orders = others | ({environment: fresh} if fresh else {})
        _tell(environment, before, after)
        return Turn(environment=environment, at=now, before=before, after=after)

    def _look_for_strangers(self) -> None:
        global _strangers  # noqa: PLW0603 - one reference, swapped whole
        known = {str(name) for name in EnvironmentName}
        found: tuple[str, ...] = ()
        with contextlib.suppress(OSError):
            names = sorted(entry.name for entry in self.folder.iterdir())
            found = tuple(n[:80] for n in names if n not in known and not n.startswith("."))[:5]
        if found != _strangers and found:
            log.critical(
                "%s in %s: no environment is called so, and nobody obeys it. Known: %s.",
                ", ".join(map(repr, found)), self.folder, ", ".join(sorted(known)),
            )  # fmt: skip
        _strangers = found


def _mark(file: Folder) -> Mark | None:
    """Return what tells one content of `file` from the next, None where it is not there."""
    try:
        seen = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size


def _read(file: Folder, pause: Callable[[float], None]) -> Said | None:
    said = _read_once(file)
    if said is not None and (said.problem or said.kill is Kill.MCP_ONLY):
        pause(AGAIN_S)
        said = _read_once(file)
    return said


def _read_once(file: Folder) -> Said | None:
    """Return what `file` says, None where it went while it was looked at."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return killing.unreadable("it is no plain file")
        with file.open("rb") as open_one:
            content = open_one.read(LONGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return killing.unreadable(f"it cannot be read ({error.strerror})")
    if len(content) > LONGEST_BYTES:
        return killing.unreadable(f"it holds more than {LONGEST_BYTES} bytes")
    return killing.read(content.decode("utf-8", "replace"))


def _tell(environment: EnvironmentName, before: Said | None, after: Said | None) -> None:
    if after is None:
        log.warning(
            "The kill file of %s is gone (it said %s).", environment, before and before.kill
        )
        return
    log.critical(
        "The kill file of %s is obeyed: %s (%s).%s",
        environment,
        after.kill,
        killing.EFFECTS[after.kill],
        f" Mind: {after.problem}." if after.problem else "",
    )
