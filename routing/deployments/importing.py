"""The import of deployment documents: claims, kept to the byte, judged, and never applied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.core import rights
from routing.core.errors import Invalid, Refused, Stale
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName, Verdict
from routing.deployments import claims, document, findings, parsed, queries, store
from routing.deployments.findings import Finding
from routing.deployments.models import Deployment, DeploymentDocument
from routing.deployments.origins import Origin
from routing.deployments.parsed import Format, Parsed
from routing.fleet import queries as fleet

LONGEST_NAME = 255
_NAMES = {Format.MARKDOWN: "Markdown", Format.JSON: "JSON"}


class Stored(StrEnum):
    CREATED = "created"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A file to import. `problem` says why its data could not be had, empty where it could."""

    name: str
    data: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one file. A refused one has a `problem` and its HTTP `status`, no facts.

    `derived` and `findings` are the deployment's, both of its documents considered. `entry_seq`
    is where a created document is booked.
    """

    file: str
    stored: Stored
    said: Parsed | None = None
    derived: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    entry_seq: int | None = None
    problem: str = ""
    status: int = 200


def import_batch(
    *,
    by: Actor,
    now: datetime,
    files: Iterable[Incoming],
    environment: EnvironmentName | None = None,
) -> tuple[Imported, ...]:
    """Import each file on its own; one that is refused leaves the others alone.

    `environment` is where a page is asked from: without the right there, nothing is read at all
    and Forbidden is raised, booked.
    """
    if environment is not None:
        with _booked(by, now, environment, "environment", str(environment)):
            rights.check(by, Right.IMPORT, environment)
    done = [_tried(by, now, file) for file in files]
    # Of two twins the second one tells more of the first, so findings are read at the end.
    return tuple(_fresh(one) for one in done)


def import_document(*, by: Actor, now: datetime, file_name: str, data: bytes) -> Imported:
    """Import one document.

    Raises Invalid (line and place), Forbidden, NotFound (the environment), Stale (another
    document of that form was imported, or the id ran here); each is booked, nothing is stored.
    """
    return _import(by, now, Incoming(name=file_name, data=data))


def _tried(by: Actor, now: datetime, file: Incoming) -> Imported:
    try:
        return _import(by, now, file)
    except Refused as refusal:
        return Imported(
            file=file.name,
            stored=Stored.REFUSED,
            problem=refusal.message,
            status=refusal.status,
        )


def _import(by: Actor, now: datetime, file: Incoming) -> Imported:
    name = re.split(r"[/\\]", file.name)[-1]
    with _booked(by, now, None, "document", name):
        _check_name(name)
        if file.problem:
            raise Invalid(f"{name}: {file.problem}", file=name)
        form, said = document.read(name, file.data)
    with _booked(by, now, said.environment, "deployment", said.deployment_id):
        rights.check(by, Right.IMPORT, said.environment)
        fleet.environment(said.environment)
        with transaction.atomic(durable=True):
            done = _store(by, now, name=name, form=form, said=said, data=file.data)
    return replace(done, file=file.name)


def _booked(
    by: Actor, now: datetime, environment: EnvironmentName | None, kind: str, name: str
) -> AbstractContextManager[None]:
    return ledger.denied(
        by=by,
        now=now,
        action=Action.DEPLOYMENT_IMPORT,
        environment=environment,
        object_type=kind,
        object_id=name,
    )


def _check_name(name: str) -> None:
    fit = name.isprintable() and not parsed.unfit(name)
    if not fit or not 0 < len(name) <= LONGEST_NAME:
        raise Invalid(
            f"A file's name has 1 to {LONGEST_NAME} printable characters; {parsed.shown(name)} "
            "does not do. Rename it."
        )


def _store(
    by: Actor, now: datetime, *, name: str, form: Format, said: Parsed, data: bytes
) -> Imported:
    kept, created = store.take(
        said.deployment_id,
        environment=said.environment,
        origin=Origin.IMPORTED,
        at=said.timestamp,
        by=by.id,
    )
    documents = {Format(one.format): one for one in kept.documents.all()}
    if form in documents and documents[form].sha256 == store.digest(data):
        return Imported(file=name, stored=Stored.UNCHANGED, said=said)
    _check_place(kept, said)
    _check_other(documents.get(form), form, said)
    before = None if created else store.as_json(kept)
    read = {one: _read(found) for one, found in documents.items()} | {form: said}
    added = store.add_document(kept, form=form, file_name=name, data=data, by=by.id, now=now)
    files = {one: found.file_name for one, found in documents.items()} | {form: name}
    found = _judge(kept, read, summary_file=files.get(Format.JSON, ""), now=now)
    entry = ledger.record(
        by=by,
        now=now,
        action=Action.DEPLOYMENT_IMPORT,
        environment=said.environment,
        object_type="deployment",
        object_id=said.deployment_id,
        before=before,
        after=store.as_json(kept),
        facts={
            "file_name": name,
            "format": str(form),
            "sha256": added.sha256,
            "bytes": added.bytes,
            "findings": [one.code for one in found],
        },
    )
    store.seal(added, entry_seq=entry.seq)
    stream.announce("deployments", said.environment)
    return Imported(file=name, stored=Stored.CREATED, said=said, entry_seq=entry.seq)


def _judge(
    kept: Deployment, read: dict[Format, Parsed], *, summary_file: str, now: datetime
) -> Sequence[Finding]:
    """Write what all documents of a deployment say together, and what is to be known of it."""
    markdown, summary = read.get(Format.MARKDOWN), read.get(Format.JSON)
    together = claims.merged(markdown, summary)
    store.put_claims(kept, together, derived=claims.derived(markdown, summary).verdict)
    store.put_tests(kept, together.tests)
    found = findings.find(markdown=markdown, summary=summary, summary_file=summary_file, now=now)
    store.put_findings(kept, found)
    return found


def _check_place(kept: Deployment, said: Parsed) -> None:
    if kept.origin != Origin.IMPORTED:
        raise Stale(
            f"{kept.pk} is a deployment that ran here, so a document from elsewhere cannot speak "
            "for it. Nothing was stored.",
            current={"origin": kept.origin},
        )
    if kept.environment_id != said.environment:
        raise Stale(
            f"{kept.pk} was imported for {kept.environment_id}; this document says "
            f"{said.environment}. Nothing was stored.",
            current={"environment": kept.environment_id},
        )


def _check_other(kept: DeploymentDocument | None, form: Format, said: Parsed) -> None:
    if kept is None:
        return
    raise Stale(
        f"{said.deployment_id} was imported as {_NAMES[form]} already, from {kept.file_name} "
        f"(entry #{kept.entry_seq}), and this is another text. "
        f"{claims.against(_read(kept), said)} Nothing was stored.",
        current={"sha256": kept.sha256, "file_name": kept.file_name, "entry": kept.entry_seq},
    )


def _read(kept: DeploymentDocument) -> Parsed:
    return document.read(kept.file_name, kept.text.encode())[1]


def _fresh(one: Imported) -> Imported:
    if one.said is None:
        return one
    row = queries.verdict_of(one.said.deployment_id)
    return replace(one, derived=row.derived, findings=row.findings)
