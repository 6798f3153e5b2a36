"""A release: what travels from environment to environment, known by the digest of its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing.core import chain
from routing.core.chain import Json
from routing.core.errors import Broken, NotFound
from routing.core.flags import FlagName, State, defaults
from routing.core.matrix import Matrix
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.deployments import ledger
from routing.deployments.ledger_models import Release
from routing.flags import store as flags
from routing.fleet import queries as fleet
from routing.fleet.queries import EnvironmentRow
from routing.matrix import codec
from routing.matrix import store as matrices

# Declared places belong to an environment's paths, not to what travels.
_PLACES = frozenset({"bedrock.endpoint_region", "mcp.region"})
_TYPES: Mapping[str, Json] = {
    "operation": {"type": "string"},
    "messages": {"type": "array"},
    "system": {"type": "string"},
    "max_tokens": {"type": "integer"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A release as it is read; the version of a flag's state says nothing here."""

    digest: str
    matrix: Matrix
    flags: Mapping[EnvironmentName, Mapping[FlagName, State]]
    thresholds: Mapping[str, Any]
    mcp_tool: Mapping[str, Any]
    code_version: str

    def shares(self, environment: EnvironmentName) -> Mapping[FlagName, int]:
        """Return what each flag is for everyone: percent, 0 is off."""
        return {flag: state.share for flag, state in self.flags[environment].items()}


def build(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    code_version: str,
    adopt_flags: bool = False,
) -> str:
    """Keep a release of what is in force in `environment` and return its digest.

    Flags are those that the last release desires (first: as declared); with `adopt_flags` the
    column of `environment` takes today's values. Equal content is one release, kept once.
    """
    row = fleet.environment(environment)
    columns = {name: dict(column) for name, column in _desired().items()}
    if adopt_flags:
        columns[environment] |= flags.read(environment)
    body: Json = {
        "v": 1,
        "matrix": codec.encode(matrices.read(environment)),
        "flags": {str(e): {str(f): _said(s) for f, s in c.items()} for e, c in columns.items()},
        "thresholds": _thresholds(row),
        "mcp_tool": {"name": row.mcp_tool, "input_schema": _schema(row)},
        "code_version": code_version,
    }
    content = chain.canonical(body)
    digest = hashlib.sha256(content).hexdigest()
    Release.objects.get_or_create(
        digest=digest, defaults={"content": content, "created_at": now, "by": by.id}
    )
    return digest


def read(digest: str) -> Content:
    """Return a release; raises NotFound, and Broken where its bytes are not what was digested."""
    kept = Release.objects.filter(pk=digest).first()
    if kept is None:
        raise NotFound(
            f"There is no release {digest[:64]!r} here. Leave --release out to build one from "
            "what is in force, or copy the whole digest from an earlier deployment."
        )
    content = bytes(kept.content)
    if hashlib.sha256(content).hexdigest() != digest:
        raise Broken(f"The release {digest} was altered: its content has another digest.")
    return _content(digest, chain.read(content))


def _content(digest: str, body: Any) -> Content:
    return Content(
        digest=digest,
        matrix=codec.decode(body["matrix"], version=1),
        flags={
            EnvironmentName(e): {FlagName(f): _flag(said) for f, said in column.items()}
            for e, column in body["flags"].items()
        },
        thresholds=body["thresholds"],
        mcp_tool=body["mcp_tool"],
        code_version=body["code_version"],
    )


def _said(state: State) -> Json:
    """Return a state as a release says it: percent alone, where it is on for no group."""
    percentage = state.percentage if state.on else 0
    if not state.favoured:
        return percentage
    return {"percentage": percentage, "groups": list(state.favoured)}


def _flag(said: Any) -> State:
    if isinstance(said, Mapping):
        groups = tuple(map(str, said["groups"]))
        return State(on=True, percentage=int(said["percentage"]), groups=groups)
    return State(on=int(said) > 0, percentage=int(said) or 100)


def declared(environment: EnvironmentName) -> dict[FlagName, State]:
    """Return the flags as the product declares them."""
    return {flag: State(on=on) for flag, on in defaults(environment).items()}


def _desired() -> Mapping[EnvironmentName, Mapping[FlagName, State]]:
    last = ledger.last()
    if last is None:
        return {e: declared(e) for e in EnvironmentName}
    kept = read(last.release).flags
    return {e: {**declared(e), **kept.get(e, {})} for e in EnvironmentName}


def _thresholds(row: EnvironmentRow) -> dict[str, Json]:
    """Return the thresholds as canonical JSON can hold them: a fraction as its text."""
    kept = {name: value for name, value in row.thresholds.items() if name not in _PLACES}
    return {name: _canonical(value) for name, value in kept.items()}


def _canonical(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _canonical(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    plain: Json = repr(value) if isinstance(value, float) else value
    return plain


def _schema(row: EnvironmentRow) -> Json:
    """Return what we send to the tool: its arguments by name, as this environment fills them."""
    names = list(_TYPES) if row.mcp_arguments is None else sorted(row.mcp_arguments)
    properties: dict[str, Json] = {name: _TYPES.get(name, {}) for name in names}
    return {"type": "object", "properties": properties, "required": list(names)}


def differences(content: Content, environment: EnvironmentName, code_version: str) -> list[str]:
    """Return, in words, what of the release no deployment can bring about by itself."""
    row = fleet.environment(environment)
    found = []
    if content.code_version != code_version:
        found.append(
            f"The release is of code {content.code_version} and {code_version} runs; start that "
            "version first, or deploy without --release."
        )
    if dict(content.thresholds) != _thresholds(row):
        found.append(f"The thresholds of {environment} are not those of the release.")
    if content.mcp_tool != {"name": row.mcp_tool, "input_schema": _schema(row)}:
        found.append(
            f"The release expects the MCP tool {content.mcp_tool['name']}; {environment} calls "
            f"{row.mcp_tool} or fills it otherwise."
        )
    return found
