"""What this process needs of the database, kept on disk, and put in force where that is away.

Three kinds of files (`flags.lastgood`): the flags of an environment, everything else that its
requests are decided by, sent with and priced by, and the tokens of all. Without usable flags the
coded defaults hold. An environment whose other file is unusable calls nobody: its policy, its pins
and its addresses are not to be guessed. Without usable tokens nobody is let in. A file from before
prices and limits were kept is usable: nothing is priced there and no budget stops anybody.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path as Folder
from typing import Any

from pydantic import TypeAdapter, ValidationError

from routing.access import tokens
from routing.access.tokens import TokenFacts
from routing.breakers.board import Board, Key
from routing.breakers.held import Copy
from routing.compliance import policy
from routing.compliance import queries as policies
from routing.core import circuit
from routing.core.circuit import Circuit
from routing.core.errors import HybridOpsError
from routing.core.standing import ALL, Problem
from routing.core.values import Breaker, EnvironmentName, Path
from routing.cost import policy as prices
from routing.cost import snapshot as costs
from routing.flags import lastgood, snapshot
from routing.flags.lastgood import Kept, Unusable
from routing.flags.snapshot import EnvironmentFlags
from routing.fleet.queries import EnvironmentRow
from routing.matrix import codec
from routing.matrix import queries as matrices
from routing.matrix.queries import Overrides
from routing.pins.queries import PinRow

log = logging.getLogger(__name__)
FLAGS, ROUTING, TOKENS = "flags", "routing", "tokens"
CONFIRM_S = 5.0
# A token that was revoked meanwhile is accepted again by who starts from the file: not for longer.
TOKENS_LAST = timedelta(hours=24)
_FORCED = {Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was read from the database beside the snapshots: the settings and the pins."""

    rows: Sequence[EnvironmentRow]
    pins: Sequence[PinRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Force:
    """A breaker that a person holds; `ends_at` is by the wall clock."""

    path: Path
    target: str
    state: Breaker
    generation: int
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a start without the database found; `known_at` is when the oldest part was known."""

    loaded: Loaded
    problems: tuple[Problem, ...]
    known_at: datetime | None


class Standby:
    """The files of one home; one instance a process, used by one thread at a time."""

    def __init__(
        self, home: Folder, environments: Sequence[EnvironmentName], board: Board
    ) -> None:
        self._folder = home / lastgood.FOLDER
        self._environments = tuple(environments)
        self._board = board
        self._bodies: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._confirmed_s = float("-inf")
        self._last: tuple[Any, ...] = ()

    def save(self, loaded: Loaded, now: datetime) -> int:
        """Keep what is in force, as just read from the database; return how many files changed.

        Never raises: a disk that takes nothing must not end what reads the database.
        """
        forced = {e: self._forced(e, now) for e in self._environments}
        seen: tuple[Any, ...] = (
            snapshot.current(), tokens.current(), matrices.current(), policies.current(),
            costs.current(), tuple(loaded.rows), tuple(loaded.pins), forced,
        )  # fmt: skip
        if seen == self._last:
            self._confirm(now)
            return 0
        written = 0
        wanted = [(TOKENS, ALL, _tokens()), *self._wanted(loaded, forced)]
        for part, environment, (version, body) in wanted:
            try:
                written += self._keep(part, environment, version, body, now)
            except (OSError, ValueError):
                log.exception("The %s of %s could not be kept for an outage.", part, environment)
                seen = ()
        self._last = seen
        return written

    def _confirm(self, now: datetime) -> None:
        """Note now and then that the database still holds what was kept."""
        at = time.monotonic()
        if at - self._confirmed_s >= CONFIRM_S:
            self._confirmed_s = at
            try:
                for place in self._bodies:
                    lastgood.confirm(self._folder, *place, now=now)
            except OSError:
                log.exception("What was kept for an outage could not be confirmed.")

    def _wanted(
        self, loaded: Loaded, forced: Mapping[EnvironmentName, tuple[Force, ...]]
    ) -> list[tuple[str, str, tuple[int, Mapping[str, Any]]]]:
        rows = {row.name: row for row in loaded.rows}
        found = []
        for environment in self._environments:
            row = rows.get(environment)
            if row is not None:
                found.append((FLAGS, str(environment), _flags(environment)))
                found.append(
                    (ROUTING, str(environment), _routing(row, loaded, forced[environment]))
                )
        return found

    def _keep(
        self, part: str, environment: str, version: int, body: Mapping[str, Any], now: datetime
    ) -> bool:
        place = (part, environment)
        if place not in self._bodies:
            try:
                self._bodies[place] = lastgood.read(self._folder, *place, now=now).body
            except Unusable:
                self._bodies[place] = {}
        if self._bodies[place] == body and lastgood.path(self._folder, *place).exists():
            return False
        lastgood.write(self._folder, *place, version=version, body=body, now=now)
        self._bodies[place] = body
        return True

    def _forced(self, environment: EnvironmentName, now: datetime) -> tuple[Force, ...]:
        return tuple(
            Force(
                path=view.key.path,
                target=view.key.target,
                state=view.state,
                generation=view.history[-1].generation if view.history else 0,
                # To the second: how much of a term is left is measured anew each time.
                ends_at=(now + timedelta(microseconds=view.wait_us)).replace(microsecond=0),
            )
            for view in self._board.views()
            if view.state in _FORCED
            and not view.key.private
            and view.key.environment is environment
        )

    def exists(self) -> bool:
        """Tell whether a server ever kept something here: then it may start without a database."""
        return self._folder.is_dir()

    def recall(self, now: datetime) -> None:
        """Put the kept flags in force before the first reading, which may not tell them all.

        Where flags were changed around us and the trail does not tell what was booked, the last
        ones known stay: those are better than none.
        """
        known: dict[EnvironmentName, EnvironmentFlags] = {}
        for environment in self._environments:
            with contextlib.suppress(Unusable):
                kept = lastgood.read(self._folder, FLAGS, environment, now=now)
                known[environment] = _parsed(EnvironmentFlags, kept.body)
        if known:
            snapshot.adopt(known)

    def restore(self, now: datetime) -> Restored:
        """Put in force what was kept; what cannot be used is named, logged and set aside."""
        rows: list[EnvironmentRow] = []
        pins: list[PinRow] = []
        problems: list[Problem] = []
        seen: list[datetime] = []
        inforce: dict[EnvironmentName, EnvironmentFlags] = {}
        found = _Found()
        for environment in self._environments:
            try:
                kept = lastgood.read(self._folder, FLAGS, environment, now=now)
                inforce[environment] = _parsed(EnvironmentFlags, kept.body)
                seen.append(kept.known_at)
            except Unusable as why:
                problems.append(_problem(FLAGS, environment, why, "the coded defaults hold"))
            try:
                kept = lastgood.read(self._folder, ROUTING, environment, now=now)
                row, own = self._read_routing(environment, kept, found)
                rows.append(row)
                pins += own
                seen.append(kept.known_at)
            except Unusable as why:
                problems.append(_problem(ROUTING, environment, why, "no path is called there"))
        problems += self._read_tokens(now, seen)
        snapshot.adopt(inforce)
        matrices.adopt(matrices.Snapshot(matrices=found.matrices, overrides=found.overrides))
        policies.adopt(policies.Snapshot(policies=found.policies))
        costs.adopt(costs.Snapshot(policies=found.costs))
        self._force(found.forces, now)
        for one in problems:
            self._tell(one)
        return Restored(
            loaded=Loaded(rows=tuple(rows), pins=tuple(pins)),
            problems=tuple(problems),
            known_at=min(seen, default=None),
        )

    def _read_routing(
        self, environment: EnvironmentName, kept: Kept, found: _Found
    ) -> tuple[EnvironmentRow, Sequence[PinRow]]:
        body = kept.body
        try:
            row = _parsed(EnvironmentRow, body["settings"])
            matrix = codec.decode_as_is(body["matrix"]["rows"], version=body["matrix"]["version"])
            overrides = _parsed(Overrides, body["overrides"])
            inforce = policy.decode(
                body["compliance"]["policy"], version=body["compliance"]["version"]
            )
            pins = _parsed(tuple[PinRow, ...], body["pins"])
            forces = _parsed(tuple[Force, ...], body["breakers"])
        except (KeyError, TypeError, ValueError, HybridOpsError) as error:
            raise Unusable(f"its content makes no sense ({type(error).__name__})") from error
        if row.name is not environment:
            raise Unusable(f"its settings are of {row.name}")
        found.matrices[environment] = matrix
        found.overrides[environment] = overrides
        found.policies[environment] = inforce
        priced = _priced(environment, body.get("cost"))
        if priced is not None:
            found.costs[environment] = priced
        found.forces += [(environment, force) for force in forces]
        return row, pins

    def _read_tokens(self, now: datetime, seen: list[datetime]) -> list[Problem]:
        try:
            kept = lastgood.read(self._folder, TOKENS, ALL, now=now)
            if now - kept.known_at > TOKENS_LAST:
                raise Unusable("it is older than a day, and who was revoked since is not known")
            known = _parsed(dict[str, TokenFacts], kept.body)
        except Unusable as why:
            return [_problem(TOKENS, ALL, why, "nobody is let in")]
        seen.append(kept.known_at)
        tokens.adopt(known, version=kept.version)
        return []

    def _force(self, forces: Sequence[tuple[EnvironmentName, Force]], now: datetime) -> None:
        """Hold the breakers that people hold, alone until the store is back."""
        now_us, copies = self._board.now_us(), {}
        for environment, force in forces:
            left_us = int((force.ends_at - now).total_seconds() * 1_000_000)
            if left_us > 0:
                held = circuit.force(Circuit(), force.state, now_us + left_us, now_us)  # type: ignore[arg-type]
                key = Key(environment=environment, path=force.path, target=force.target)
                copies[key] = Copy(circuit=replace(held, generation=force.generation))
        if copies:
            self._board.take(copies, now_us)
            self._board.part()

    def _tell(self, problem: Problem) -> None:
        log.critical(
            "What was last known of the %s of %s cannot be used: %s; %s.",
            problem.part, problem.environment, problem.why, problem.instead,
        )  # fmt: skip
        if not problem.missing:
            lastgood.set_aside(self._folder, problem.part, problem.environment)


def _priced(environment: EnvironmentName, cost: Any) -> prices.Policy | None:
    """Return the kept prices and limits, None without usable ones: no price stops routing."""
    try:
        return prices.decode(cost["policy"], version=cost["version"]) if cost else None
    except (KeyError, TypeError, ValueError, HybridOpsError):
        log.exception("The kept prices of %s make no sense; nothing is priced there.", environment)
        return None


class _Found:
    """What the files of all environments said, until it is put in force at once."""

    def __init__(self) -> None:
        self.matrices: dict[EnvironmentName, Any] = {}
        self.overrides: dict[EnvironmentName, Overrides] = {}
        self.policies: dict[EnvironmentName, policy.Policy] = {}
        self.costs: dict[EnvironmentName, prices.Policy] = {}
        self.forces: list[tuple[EnvironmentName, Force]] = []


def _flags(environment: EnvironmentName) -> tuple[int, Mapping[str, Any]]:
    inforce = snapshot.current().environments[environment]
    return inforce.version, _adapter(EnvironmentFlags).dump_python(inforce, mode="json")


def _routing(
    row: EnvironmentRow, loaded: Loaded, forced: tuple[Force, ...]
) -> tuple[int, Mapping[str, Any]]:
    environment, kept = row.name, matrices.current()
    matrix, inforce = kept.of(environment), policies.current().of(environment)
    priced = costs.current().of(environment)
    pins = tuple(pin for pin in loaded.pins if pin.environment is environment)
    overrides = kept.overrides_of(environment)
    return row.version, {
        "settings": _adapter(EnvironmentRow).dump_python(row, mode="json"),
        "matrix": {"version": matrix.version, "rows": codec.encode(matrix)},
        "overrides": _adapter(Overrides).dump_python(overrides, mode="json"),
        "compliance": {"version": inforce.version, "policy": policy.encode(inforce)},
        "cost": {"version": priced.version, "policy": prices.encode(priced)},
        "pins": _adapter(tuple[PinRow, ...]).dump_python(pins, mode="json"),
        "breakers": _adapter(tuple[Force, ...]).dump_python(forced, mode="json"),
    }


def _tokens() -> tuple[int, Mapping[str, Any]]:
    """Return what every token may do, by the digest of its secret; no secret is in it."""
    known = tokens.current()
    return known.version, _adapter(dict[str, TokenFacts]).dump_python(
        dict(known.by_digest), mode="json"
    )


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _parsed(kind: Any, body: Any) -> Any:
    try:
        return _adapter(kind).validate_python(body)
    except ValidationError as error:
        raise Unusable(f"its content makes no sense ({error.error_count()} errors)") from error


def _problem(part: str, environment: str, why: Unusable, instead: str) -> Problem:
    return Problem(
        part=part,
        environment=str(environment),
        why=str(why),
        instead=instead,
        missing=why.missing,
    )
