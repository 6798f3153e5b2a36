"""What each command prints with `--json`: docs/commands.md shows it, a test holds it to a server.

`ask` is a command line that prints it against a fresh server; the lines run in the order in which
they stand here, each on what the ones before it left.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.house.contract_flags import SETTING, SUPPORT_FLAG
from tests.house.contract_people import PEOPLE
from tests.house.contract_routing import ROUTING
from tests.house.contract_times import TIMES
from tests.house.printed import (
    DEV,
    FLAG_SET,
    REFUSED,
    SPREAD,
    STG,
    WHY,
    Printed,
)

DECIDED = {
    "operation": "what was asked for",
    "matrix_path": "the path that the matrix names",
    "intended": "the first candidate under the mode in force",
    "candidates": "pairs of path and why it was passed over (null where it was not)",
    "reason": "why it went, or would go, where it went",
}
ASKED = {"ok": "whether the door answered 200", "status": "HTTP", "ms": "as the command saw it"}
ROUTED = {
    **ASKED,
    "decision_id": "the record's id in the decision stream",
    **DECIDED,
    "intended": f"{DECIDED['intended']}; null for who was sent away before a decision",
    "effective": "the path that answered, or null",
    "attempts": "the calls made: path, ms, failure, detail",
    "repeats": "the decision whose answer is given again, null for a new answer",
    "text": "the answer, or null",
    "usage": "input_tokens and output_tokens; null where the path tells none",
    "stop_reason": "as the path said it",
    "model": "the model or tool that answered",
    "pii": "the classes of personal data found in the request",
    "duration_ms": "as the router saw it",
}
PASSWORD = {
    "user_id": "the account's number",
    "username": "the name to sign in with",
    "password": "shown now and never again",
    "grants": "role by environment",
}
SESSION = {
    "environment": "where",
    "active": "whether support mode is active",
    "flag_on": "whether its flag is on",
    "sentence": "the state in words",
    "obstacle": "what stands in the way of activating, empty if nothing",
    "session": "the last session, or null",
    "last_audit": "id, overall and start of the last audit, or null",
}
STANDIN = {
    "which": "bedrock or mcp",
    "state": "running, stopped, died or never_started",
    "port": "on the loopback address",
}
RUNNING = {
    **STANDIN,
    "pid": "its process",
    "runs_s": "since when, in seconds",
    "faults": "the faults in force",
}
PLANNED = {
    "ok": "whether it ended verified; of a plan: whether it may be confirmed",
    "plan": "digest, steps with before and after, effects",
    "steps": "name, state and result of each step",
    "end": "verified, unverified, compensated or needs_human; null while it goes on",
    "reasons": "why it ended so",
    "timings": "in milliseconds, from the decision on",
    "refused": "the rule that refuses the target, or null",
    "alternatives": "what else could be rolled back to",
}
IMPORTED = {
    "file": "as it was named",
    "deployment_id": "as the document says",
    "environment": "as the document says",
    "recorded_status": "what the document says became of it",
    "derived_verdict": "what follows from its details",
    "components": "those that it lists",
    "flags": "as the document says; they are never applied",
    "tests": "suite, name, status, duration_ms, evidence; always unproven",
    "errors": "as the document says",
    "findings": "code and message of what does not fit together",
    "stored": "created, unchanged or refused",
}

CONTRACT: Mapping[str, tuple[Printed, ...]] = {
    "deploy": (
        Printed(
            when="one object, when it is over",
            ask=DEV,
            keys={
                "ok": "whether it is a proven success",
                "deployment_id": "its name",
                "environment": "where",
                "release": "the digest that it brought the environment to",
                "verdict": "succeeded, failed or inconclusive",
                "stage": "where it stands; see docs/stages.md",
                "tests": "suite, name, status, evidence, duration_ms, expected, actual, kind, "
                "error",
                "errors": "in words",
                "document": "the file that was written, or null",
                "findings": "code and message",
            },
        ),
    ),
    "roll_back": (
        Printed(
            when="--plan-only: one object",
            ask=(*STG, "--target", "mcp_only", "--plan-only"),
            keys=PLANNED,
        ),
        Printed(
            when="one object, when it is over",
            ask=(*STG, "--target", "mcp_only", "--yes", "--reason", "an example"),
            keys={
                **PLANNED,
                "rollback_id": "its name",
                "environment": "where",
                "level": "1: flags",
                "target": "mcp_only or direct_only",
            },
        ),
    ),
    "import_deployments": (
        Printed(when="one object for each file", ask=("deployment.md",), keys=IMPORTED),
        Printed(
            when="one object for each file; a refused one also has `error`",
            ask=("missing.md",),
            keys={**IMPORTED, "error": "why it was refused"},
            status=1,
        ),
    ),
    "create_token": (
        Printed(
            when="one object",
            ask=(*DEV, "--role", "viewer", "--name", "batch jobs"),
            keys={
                "id": "the token's id, which may be shown",
                "secret": "shown now and never again",
                "environment": "the only one it works in",
                "role": "viewer, reviewer, operator or admin",
                "expires_at": "UTC",
            },
        ),
        Printed(
            when="one object, with `--access-key`",
            ask=(*DEV, "--role", "viewer", "--name", "aws client", "--access-key"),
            keys={
                "access_key_id": "what an AWS client takes as such",
                "secret_access_key": "shown now and never again",
                "id": "the token's id, which may be shown",
                "secret": "shown now and never again",
                "environment": "the only one it works in",
                "role": "viewer, reviewer, operator or admin",
                "expires_at": "UTC",
            },
        ),
    ),
    "create_user": (
        Printed(
            when="one object",
            ask=("--username", "ada", "--role", "operator", "--environment", "all", *WHY),
            keys=PASSWORD,
        ),
    ),
    "flags": (
        Printed(
            when="one object for each flag and environment",
            ask=DEV,
            keys={
                "flag": "its name",
                "environment": "where",
                "on": "whether it is on",
                "percentage": "for which share of subjects",
                "groups": "for which groups of callers beside that",
                "version": "the flag's version",
                "flags_version": "the version of all flags of the environment",
                "default": "whether the product declares it on there",
                "changed_at": "UTC",
                "changed_by": "by whom, as the trail names them",
                "entry": "the number of the audit entry",
                "purpose": "what it is for",
                "when_off": "what happens while it is off",
                "owner": "who answers for it",
            },
        ),
        Printed(
            when="propagation: one object for each environment",
            ask=("propagation", *DEV, "--wait", "5"),
            keys={
                "ok": "the same as `complete`",
                **SPREAD,
            },
        ),
    ),
    "flag_drift": (
        Printed(
            when="show: one object for each environment",
            ask=("show", *DEV),
            keys={
                "ok": "whether nothing was changed around us",
                "environment": "where",
                "touches": "how often the flags were written there, by whatever means",
                "unexplained": "how many of those writes nobody booked",
                "noted": "whether that is booked as found",
                "applied": "whether what they left is in force",
                "release": "the digest of the last deployment's release; null: as declared",
                "flags": "of each flag: flag, desired and in_force (percent), groups, differs "
                "(from desired), entry",
                "differences": "each flag that is not as booked: flag, booked, found",
            },
        ),
        Printed(
            when="adopt, revert refused, such as where nothing is open: one object",
            ask=("revert", *DEV, *WHY),
            keys=REFUSED,
            status=1,
        ),
    ),
    **SETTING,
    "set_route": (
        Printed(
            when="one object",
            ask=("standard", *DEV, "--primary", "direct_bedrock"),
            keys={
                "environment": "where",
                "operation": "which row of the matrix",
                "version": "the matrix that is now in force",
                "before": "the row before",
                "after": "the row now",
                "entry": "the number of the audit entry",
            },
        ),
    ),
    **ROUTING,
    **PEOPLE,
    **TIMES,
    "support": (
        Printed(
            when="status, activate, deactivate: one object",
            ask=("activate", *DEV, *WHY),
            keys=SESSION,
        ),
        Printed(
            when="audit: one object",
            ask=("audit", *DEV),
            keys={
                "ok": "whether nothing critical was found and all could be looked at",
                "id": "the stored audit, null where the database is away",
                "environment": "where",
                "overall": "healthy, warning, critical or unknown",
                "checks": "how many looked",
                "started_at": "UTC",
                "ended_at": "UTC",
                "findings": "severity, title, remediation, evidence, unchecked, check",
            },
        ),
    ),
    "route": (
        Printed(when="answered: one object", ask=(*DEV, "Say hello"), keys=ROUTED),
        Printed(
            when="not answered: the same, and why",
            ask=(*DEV, "--path", "mcp", "--token", "hyo_nobody", "Say hello"),
            keys={**ASKED, "error": "code, message, request_id"},
            status=1,
        ),
    ),
    "explain": (
        Printed(
            when="one object",
            ask=(*DEV, "Say hello"),
            keys={
                **ASKED,
                **DECIDED,
                "priority": "as asked, or the operation's own",
                "last_resort": "what is tried when everything looks down",
                "row": "budget_ms, primary, fallback, when_down, split",
                "state": "all that the promise was made from",
            },
        ),
    ),
    "mcp": (
        Printed(
            when="tools, with --accept or without: one object",
            ask=("tools", *DEV),
            keys={
                "environment": "where",
                "target": "the MCP server",
                "tool": "the configured tool",
                "drift": "none, others (another tool changed) or tool (ours did: not called)",
                "pinned": "what was accepted: digest, at, by, reason, contract",
                "there": "what was seen last: digest, at, contract, refusal",
                "parts": "what of the configured tool differs",
                "added": "other tools that are new",
                "removed": "other tools that are gone",
                "changed": "other tools that differ",
                "tools": "all tools that were seen last",
            },
        ),
    ),
    "upstream": (
        Printed(when="status, start: one object", ask=("mcp", "status"), keys=RUNNING),
        Printed(
            when="fault: one object",
            ask=("mcp", "fault", "--kind", "latency", "--ms", "5", "--seconds", "5", *WHY),
            keys={"fault": "the fault in force, with `ends_in_s`"},
        ),
        Printed(
            when="fault --clear: one object",
            ask=("mcp", "fault", "--clear", *WHY),
            keys={"cleared": "how many were ended"},
        ),
        Printed(
            when="stop, and the status of one that is down: one object",
            ask=("mcp", "stop", *WHY),
            keys={**STANDIN, "exit": "its exit status"},
        ),
    ),
    "status": (
        Printed(
            when="ready: one object",
            ask=DEV,
            keys={
                "ok": "the same as `ready`",
                "ready": "whether a server takes requests",
                "server": "url, pid, ready and stale_s of this home's server, or null",
                "processes": "every process that reported within 15 s",
                "kill": "what the kill files of this home say, by environment",
                "environments": "for each, what the serving process says it runs",
            },
        ),
    ),
    "verify_audit": (
        Printed(
            when="one object",
            ask=(),
            keys={
                "ok": "whether all is as it was written and the guards stand",
                "entries": "how many are good",
                "head": "stream, seq and hash of the last good entry: the newest, if all are",
                "first_bad": "the number of the first entry that is wrong or missing, or null",
                "problem": "in words, empty if there is none",
                "unguarded": "the triggers that the database lacks",
                "decisions": "the same for the decisions: ok, streams, records, bad_stream, "
                "first_bad, problem",
                "flags": "each flag that does not come out of the fold of the entries, in words",
            },
        ),
    ),
    "waffle_flag": (
        Printed(
            when="as `set_flag`",
            ask=(SUPPORT_FLAG[1], "--deactivate", *DEV),
            keys=FLAG_SET,
        ),
        Printed(
            when="--list: one object for each flag", ask=("--list",), keys={"flag": "its name"}
        ),
    ),
    "serve": (
        Printed(
            when="refused, such as where another server uses the same home: one object",
            ask=(),
            keys=REFUSED,
            status=1,
        ),
    ),
    "waffle_delete": (Printed(when="refused", ask=(), keys=REFUSED, status=1),),
    "waffle_sample": (Printed(when="refused", ask=(), keys=REFUSED, status=1),),
    "waffle_switch": (Printed(when="refused", ask=(), keys=REFUSED, status=1),),
}
# It prints nothing while all is well: it serves until it is told to end.
SILENT = {"serve"}
