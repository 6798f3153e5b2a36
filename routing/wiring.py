"""The only place that knows every part: it puts them together and holds the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from routing import conf, loops, patience, stream
from routing.access import people, tokens
from routing.access.tokens import TokenFacts
from routing.approvals import queries as approvals
from routing.audit import guards
from routing.changes import first_run as ground
from routing.compliance import queries as compliance
from routing.core import audience, matrix, vocabulary
from routing.core import propagation as spread
from routing.core.decision import Decision, Kill, PathFacts, State, Versions
from routing.core.errors import Broken, Unavailable
from routing.core.flags import FlagName, Subject
from routing.core.killing import Order, Said
from routing.core.propagation import Propagation, Runner
from routing.core.rights import Actor
from routing.core.standing import Standing
from routing.core.values import EnvironmentName, Health, Operation, Path, Priority, Role
from routing.cost import snapshot as costs
from routing.decisions.record import Caller
from routing.deployments import first, history
from routing.engine import Engine
from routing.flags import kill, lastgood, uses
from routing.flags import queries as flag_rows
from routing.flags import snapshot as flags
from routing.fleet import clock
from routing.fleet import queries as fleet
from routing.health import queries as judgements
from routing.health import snapshot as health
from routing.loops import Loop
from routing.matrix import queries as matrices
from routing.paths.base import Message
from routing.router import Ask
from routing.schedule import queries as schedule

if TYPE_CHECKING:
    from routing.cache.shared import Shared

_engine: Engine | None = None
_starter: Actor | None = None  # who ran `serve`; the first deployment is theirs
_has_database = True  # as whoever started this process found it


def now() -> datetime:
    """Return the wall clock in UTC; everything below gets time as an argument."""
    return datetime.now(UTC)


def prepare_database() -> None:
    """Put SQLite into WAL once, before anything else opens it; PostgreSQL needs nothing."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")


def may_start_without_database() -> bool:
    """Tell whether this home has served before, so that it knows what was in force."""
    return (Folder(settings.HYBRIDOPS_HOME) / lastgood.FOLDER).is_dir()


def start_without_database() -> None:
    """Let `start` begin with what was last known, since the database was found away."""
    global _has_database  # noqa: PLW0603 - told once, by the command that starts the server
    _has_database = False


def start_checks() -> None:
    """Raise Broken when the installation cannot be trusted to work.

    What asks the database waits until it is back, where a start without it is under way.
    """
    matrix.check(matrix.DEFAULT)
    vocabulary.check()
    if _has_database:
        _check_guards()


def _check_guards() -> None:
    vocabulary.check(tables=(*approvals.stored(), *schedule.stored()))
    missing = guards.missing(connection)
    if missing:
        raise Broken(
            f"The database lacks the audit guards {', '.join(missing)}; run "
            "`manage.py migrate`, which puts them back, then `manage.py verify_audit`."
        )


def catch_up() -> None:
    """Do to a database that came back what a start would have done; raises Broken as that does."""
    prepare_database()
    with patience.within(patience.MIGRATE_S):
        call_command("migrate", verbosity=0, interactive=False)
    _check_guards()
    guards.canary()


def first_run(*, by: Actor, now: datetime) -> list[people.Created]:
    """Lay environments and flags where they are missing; make one account a role if none is.

    Returns the accounts just made, with their passwords: nothing else ever shows them again.
    """
    global _starter  # noqa: PLW0603 - told once, by the command that starts the server
    _starter = by
    served = conf.current().environments
    ground.lay(by=by, now=now, environments=served, embedded=conf.current().embedded)
    guards.canary()
    if conf.current().embedded and history.ENVIRONMENT in served:
        history.lay(by=by, now=now)
    if people.any_exists():
        return []
    return [
        people.create_user(
            by=by,
            now=now,
            username=str(role),
            grants=dict.fromkeys(served, role),
            reason="the first accounts of this installation",
        )
        for role in Role
    ]


def refresh() -> None:
    """Read everything that decisions are made from into memory."""
    flags.refresh()
    tokens.load()
    matrices.refresh()
    compliance.refresh()
    costs.refresh()


def versions() -> dict[str, int]:
    """Return what this process runs: each snapshot's version by name."""
    seen = {f"flags:{e}": state.version for e, state in flags.current().environments.items()}
    served, kept = conf.current().environments, matrices.current()
    seen |= {f"matrix:{e}": kept.of(e).version for e in served}
    seen |= {f"overrides:{e}": kept.overrides_of(e).version for e in served}
    if _engine is not None:
        seen |= {f"breakers:{e}": moves for e, moves in _engine.sharing.versions().items()}
    seen |= {f"compliance:{e}": compliance.current().of(e).version for e in served}
    seen |= {f"cost:{e}": costs.current().of(e).version for e in served}
    return seen | {"tokens": tokens.current().version}


def find_token(secret: str, at: datetime) -> TokenFacts | None:
    """Return what the token of `secret` may do, from this process's memory.

    Raises Unavailable where this process knows no tokens at all: nobody's is wrong then.
    """
    _check_tokens()
    return tokens.find(secret, at)


def find_access_key(access_key_id: str, at: datetime) -> tuple[TokenFacts, str] | None:
    """Return the token of an access key with the secret that it signs with; raises as above."""
    _check_tokens()
    return tokens.find_access_key(access_key_id, at)


def _check_tokens() -> None:
    if tokens.current().version < 0:
        raise Unavailable(
            "The database is away and no tokens are known here, so nobody can be let in. Nothing "
            "was routed; try again when it is back.",
            retry_after_s=5,
        )


def flags_in_force(environment: EnvironmentName) -> Mapping[FlagName, bool]:
    """Return the flags that this process runs in `environment`, for nobody in particular."""
    return flags.current().evaluate(environment)


def path_health(environment: EnvironmentName) -> Mapping[Path, Health]:
    """Return the measured health of both paths: from this server's memory, else as stored.

    A judgement older than 15 s counts as unknown, wherever it comes from.
    """
    at = now()
    now_us = int(at.timestamp() * 1_000_000)
    if _engine is None:
        for row in judgements.rows(environment):
            observed_us = int(row.observed_at.timestamp() * 1_000_000)
            health.put(environment, row.path, row.status, observed_us)
    return health.of(environment, now_us)


def situation(environment: EnvironmentName, subject: Subject) -> State:
    """Return what is in force in `environment` now, from memory alone."""
    found = path_health(environment)
    kept, switched = matrices.current(), flags.current()
    overrides = kept.overrides_of(environment)
    paths, lives = _facts(environment, found)
    return State(
        matrix=kept.of(environment),
        flags=switched.evaluate(environment, subject),
        kill=_kill(environment),
        paths=paths,
        overrides=overrides.words,
        versions=Versions(
            flags=switched.environments[environment].version,
            overrides=overrides.version,
            settings=_engine.settings_version(environment) if _engine else 0,
            breakers=lives,
        ),
    )


def _decided_by(environment: EnvironmentName, subject: Subject) -> State:
    """Return `situation` for a decision, which counts as asking for its flags."""
    uses.note(environment, uses.DECISION)
    return situation(environment, subject)


def _kill(environment: EnvironmentName) -> Kill | None:
    """Return what the kill file says: as this server obeys it, else as it stands on the disk."""
    if _engine is not None:
        return kill.word(environment)
    said = kill.peek(Folder(settings.HYBRIDOPS_HOME), environment)
    return said.kill if said else None


def kill_order(environment: EnvironmentName) -> Order | None:
    """Return the kill file that this process obeys in `environment`, None without one."""
    return kill.current(environment)


def kill_files() -> Mapping[EnvironmentName, Said]:
    """Return what the kill files of this home say at this moment, read from the disk."""
    found = {e: kill.peek(Folder(settings.HYBRIDOPS_HOME), e) for e in EnvironmentName}
    return {environment: said for environment, said in found.items() if said is not None}


def kill_strangers() -> tuple[str, ...]:
    """Return the files beside the kill files that name no environment, so that nobody obeys."""
    return kill.strangers()


def standing() -> Standing | None:
    """Return how sure this server is of what it runs, None in a process that serves nothing."""
    return _engine.reading.standing() if _engine else None


def stale_s() -> int | None:
    """Return for how many seconds this server has not seen the database, None while it does.

    -1 where it never has, and nothing tells how old what it runs is.
    """
    return _engine.reading.stale_s() if _engine else None


def moves() -> dict[str, int]:
    """Return numbers that change when something in this process's memory does, by name."""
    seen = versions()
    for environment in conf.current().environments:
        found = standing()
        seen[f"kill:{environment}"] = hash((kill.current(environment), kill.strangers()))
        seen[f"standing:{environment}"] = hash((stale_s() is None, found and found.ended_at))
    return seen


def propagation(environment: EnvironmentName) -> Propagation:
    """Return which processes run the newest flags of `environment`, as they reported it."""
    at = clock.read(now())
    version, changed_at = flag_rows.changed(environment)
    name = f"flags:{environment}"
    runners = [
        Runner(
            process=row.id,
            name=row.name,
            version=row.versions.get(name, 0),
            since=row.since.get(name),
            started_at=row.started_at,
            silent_s=row.silent_s,
            ended=row.stopped_at is not None,
        )
        for row in fleet.processes(now=at)
        if environment in row.environments
    ]
    return spread.judge(version, changed_at, runners, at)


def explain(
    environment: EnvironmentName,
    operation: Operation,
    *,
    priority: Priority | None = None,
    subject: str = "",
    prompt: str = "",
) -> tuple[Decision, State]:
    """Return what the router of this process would promise now; nothing is called or booked.

    `subject` is a tenant, or a tenant and its subject after a slash. Raises Unavailable in a
    process that routes nothing.
    """
    if _engine is None:
        raise Unavailable("This process routes nothing; ask a running server.", retry_after_s=1)
    tenant = subject.partition("/")[0]
    caller = Caller(
        environment=environment, token="", tenant=subject, groups=audience.of_tenant(tenant)
    )
    words = (Message(role="user", text=prompt),)
    asked = Ask(caller=caller, operation=operation, messages=words, priority=priority)
    return _engine.router.explain(asked)


def _facts(
    environment: EnvironmentName, found: Mapping[Path, Health]
) -> tuple[Mapping[Path, PathFacts], Mapping[Path, int]]:
    """Return what is known of each path, and which life of its breaker that is."""
    if _engine is None:
        return dict.fromkeys(Path, PathFacts(configured=False, health=Health.NOT_CONFIGURED)), {}
    paths: dict[Path, PathFacts] = {}
    lives: dict[Path, int] = {}
    for path, seen in found.items():
        paths[path], lives[path] = _engine.facts(environment, path, seen)
    return paths, lives


def hand(name: str) -> AbstractAsyncContextManager[loops.Hand]:
    """Lend a thread with a database connection of its own for the length of a loop."""
    return loops.hand(name)


def engine() -> Engine | None:
    """Return the running parts of this server process, None in a command."""
    return _engine


async def start() -> Sequence[tuple[str, Loop]]:
    """Build the engine of this server process and return the loops that keep it going."""
    global _engine  # noqa: PLW0603 - one a process, made by its lifespan
    _engine = Engine(
        home=Folder(settings.HYBRIDOPS_HOME),
        door_url=settings.HYBRIDOPS_URL,
        code_version=settings.HYBRIDOPS_VERSION,
        settings=conf.current(),
        clock=now,
        situation=_decided_by,
        refresh=refresh,
        prepare=catch_up,
        versions=versions,
        shared=_shared_answers(),
    )
    stream.bind(_engine.loop)
    await _engine.open(database=_has_database)
    if _starter is None or not conf.current().first_deployment:
        return _engine.loops()
    return (*_engine.loops(), ("first-deployment", _deploy_first))


def _shared_answers() -> Shared | None:
    """Return the store of answers in Redis; its client is loaded only where there is one."""
    if not settings.REDIS_URL:
        return None
    from routing.cache.shared import Shared

    return Shared.at(settings.REDIS_URL, settings.SECRET_KEY)


async def _deploy_first() -> None:
    """Deploy to development once, for real, in the name of whoever started the server first."""
    async with loops.hand("first-deployment") as one:
        if _starter is None or not await one.do(first.is_due):
            return
        await first.healthy(lambda: path_health(first.ENVIRONMENT))
        version = settings.HYBRIDOPS_VERSION
        await one.do(first.start, by=_starter, now=now(), code_version=version)


async def stop() -> None:
    """Close what `start` opened."""
    stream.bind(None)
    if _engine is not None:
        await _engine.close()
    loops.let_pool_go()
