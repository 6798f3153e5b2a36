"""`manage.py matrix`: the decision matrix of one environment, and the draft of its next one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from routing.changes import draft
from routing.core.errors import Invalid, NotFound
from routing.core.matrix import Matrix, named_rows
from routing.core.matrix_words import differences, summary
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.management import base
from routing.matrix import codec, queries, store
from routing.matrix.drafts import Draft

VERBS = ("show", "history", "draft", "diff", "publish", "discard")


class Command(base.OperatorCommand):
    help = (
        "Show the matrix in force or an older version, list the versions, begin or change a "
        "draft, say in what it differs, publish it as the next version, or discard it."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=VERBS)
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument(
            "--number",
            type=int,
            metavar="N",
            help="show, draft: this version, not the one in force",
        )
        parser.add_argument(
            "--rows",
            metavar="FILE",
            help="draft: put the rows of this file into it, a list as `show --json` prints it; - "
            "reads standard input",
        )
        parser.add_argument(
            "--revision", type=int, metavar="N", help="the draft looked at; any if left out"
        )
        parser.add_argument("--reason", default="", help="why; required outside development")
        parser.add_argument(
            "--confirm", action="store_true", help="publish although something stops"
        )
        parser.add_argument("--typed-environment", default="", metavar="NAME")

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        return _DO[options["verb"]](options, by, now)

    def show(self, result: base.Result) -> str:
        if "differences" in result:
            return (
                "\n".join([*result["differences"], *result.get("problems", ())]) or "no difference"
            )
        if "rows" not in result:
            return super().show(result)
        whole = codec.decode_as_is(result["rows"], version=0)
        lines = [f"{name:<32} {summary(row)}" for name, row in named_rows(whole)]
        return "\n".join([*lines, *result.get("problems", ())])


def _show(options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
    environment = EnvironmentName(options["environment"])
    number = options["number"]
    found = store.read(environment) if number is None else store.version(environment, number)
    return {
        "environment": str(environment),
        "version": found.version,
        "in_force": store.read(environment).version,
        "rows": codec.encode(found),
    }


def _history(options: Mapping[str, Any], by: Actor, now: datetime) -> Iterable[base.Result]:
    environment = EnvironmentName(options["environment"])
    for one in queries.history(environment):
        yield {
            "environment": str(environment),
            "version": one.version,
            "made_at": one.made_at.isoformat(),
            "made_by": one.made_by,
            "reason": one.reason,
        }


def _draft(options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
    environment = EnvironmentName(options["environment"])
    rows = _rows(options["rows"])
    kept = queries.draft(environment)
    if kept is None or options["number"] is not None:
        kept = draft.begin(
            by=by,
            now=now,
            environment=environment,
            reason=options["reason"],
            version=options["number"],
        )
    if rows is not None:
        revision = options["revision"] or kept.revision
        kept = draft.save(by=by, now=now, environment=environment, revision=revision, rows=rows)
    return {
        "environment": str(environment),
        "revision": kept.revision,
        "base_version": kept.base_version,
        "rows": codec.encode(kept.matrix),
        "problems": list(kept.problems),
        "owner": kept.owner,
        "reason": kept.reason,
        "changed_at": kept.changed_at.isoformat(),
        "changed_by": kept.changed_by,
    }


def _diff(options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
    kept, inforce = _kept(options)
    return {
        "environment": str(kept.environment),
        "revision": kept.revision,
        "in_force": inforce.version,
        "differences": list(differences(inforce, kept.matrix)),
        "problems": list(kept.problems),
    }


def _publish(options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
    kept, inforce = _kept(options)
    done = draft.publish(
        by=by,
        now=now,
        environment=kept.environment,
        revision=options["revision"] or kept.revision,
        base_version=inforce.version,
        reason=options["reason"] or kept.reason,
        confirmed=options["confirm"],
        typed_environment=options["typed_environment"],
    )
    return {
        "environment": str(kept.environment),
        "version": done.version,
        "differences": list(differences(done.before, kept.matrix)),
        "entry": done.entry_seq,
    }


def _discard(options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
    kept, _ = _kept(options)
    revision = options["revision"] or kept.revision
    draft.discard(
        by=by, now=now, environment=kept.environment, revision=revision, reason=options["reason"]
    )
    return {"environment": str(kept.environment), "discarded": revision}


_DO: Mapping[str, Callable[..., base.Result | Iterable[base.Result]]] = {
    "show": _show,
    "history": _history,
    "draft": _draft,
    "diff": _diff,
    "publish": _publish,
    "discard": _discard,
}


def _kept(options: Mapping[str, Any]) -> tuple[Draft, Matrix]:
    environment = EnvironmentName(options["environment"])
    kept = queries.draft(environment)
    if kept is None:
        raise NotFound(
            f"{environment} has no draft; begin one with `manage.py matrix draft --environment "
            f"{environment}`."
        )
    return kept, store.read(environment)


def _rows(said: str | None) -> list[dict[str, Any]] | None:
    """Return the rows of a file; what `show` and `draft` print as a whole will do, too."""
    if said is None:
        return None
    try:
        found = json.loads(sys.stdin.read() if said == "-" else Path(said).read_text())
    except (OSError, ValueError) as error:
        raise Invalid(f"The rows cannot be read ({error}); give a file of JSON.") from None
    rows: list[dict[str, Any]] = found.get("rows", found) if isinstance(found, dict) else found
    return rows
