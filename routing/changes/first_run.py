"""What an empty database needs before the first request: environments and their flags."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.changes import around
from routing.core import rights
from routing.core.booked import as_json
from routing.core.flags import State
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName, Residency
from routing.flags import snapshot, store
from routing.fleet import store as fleet
from routing.fleet.store import PathSettings

# The stand-ins answer for any model and stand in no region; the names say so.
EMBEDDED = PathSettings(
    residency=Residency.LOCAL,
    bedrock_target="local:bedrock",
    bedrock_region="local",
    bedrock_model="local-model",
    mcp_target="local:mcp",
)
UNSET = PathSettings()


def lay(
    *, by: Actor, now: datetime, environments: Iterable[EnvironmentName], embedded: bool
) -> None:
    """Create what is missing of `environments` and of their flags, booked; leave the rest alone.

    With `embedded` their paths lead to the local stand-ins, else to nothing: an admin sets them.
    A flag that a later version of the product declares is laid at its declared default. Raises
    Forbidden unless `by` is an admin of each.
    """
    for environment in environments:
        rights.check(by, Right.SETTINGS, environment)
        with transaction.atomic():
            _lay_environment(by, now, environment, EMBEDDED if embedded else UNSET)
            _lay_flags(by, now, environment)


def _lay_environment(
    by: Actor, now: datetime, environment: EnvironmentName, settings: PathSettings
) -> None:
    if not fleet.create(environment, settings):
        return
    ledger.record(
        by=by,
        now=now,
        action=Action.ENVIRONMENT_CREATE,
        environment=environment,
        object_type="environment",
        object_id=str(environment),
        after={
            "residency": str(settings.residency),
            "bedrock_target": settings.bedrock_target,
            "bedrock_region": settings.bedrock_region,
            "bedrock_model": settings.bedrock_model,
            "mcp_target": settings.mcp_target,
            "mcp_tool": settings.mcp_tool,
            "mcp_idempotent": settings.mcp_idempotent,
            "version": 1,
        },
    )


def _lay_flags(by: Actor, now: datetime, environment: EnvironmentName) -> None:
    held = around.begin(environment, now=now, deep=True)
    if held.is_drifted:
        return  # what is missing may have been taken away; an admin adopts or reverts first
    wanted = {
        flag: State(on=state.on, version=1)
        for flag, state in snapshot.declared(environment).states.items()
    }
    laid = store.lay(environment, wanted, by=by.id, now=now)
    if not laid:
        return
    version = store.bump(environment)
    entry = ledger.record(
        by=by,
        now=now,
        action=Action.FLAG_CREATE,
        environment=environment,
        object_type="flags",
        object_id=str(environment),
        after={str(flag): as_json(state) for flag, state in laid.items()},
        facts={"flags_version": version},
    )
    store.seal(environment, laid, entry_seq=entry.seq)
    store.explain(environment, held)
    transaction.on_commit(snapshot.refresh, robust=True)
    stream.announce("flags", environment)
