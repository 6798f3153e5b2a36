"""A deployment: its steps in order and how it is judged (product.md section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from routing import runs
from routing.access import tokens
from routing.core import verdict
from routing.core.errors import Unavailable
from routing.core.flags import FlagName
from routing.core.lifecycle import Stage
from routing.core.rights import system_actor
from routing.core.values import Action, Component, EnvironmentName, Path, TestStatus, Verdict
from routing.core.verdict import Suite, TestResult
from routing.deployments import configure, crash, record, release, writing
from routing.deployments.checks import runner
from routing.deployments.checks.runner import Bench
from routing.deployments.engine import Done, Plan, Run, Spec, Wait
from routing.deployments.ledger import OperationRow
from routing.health import queries as health
from routing.runs import Reply

COMPONENTS, BAKE, JUDGE, DOCUMENT, CLOSE = "components", "bake", "judge", "document", "close"
BAKES = {
    EnvironmentName.DEVELOPMENT: timedelta(0),
    EnvironmentName.STAGING: timedelta(minutes=10),
    EnvironmentName.PRODUCTION: timedelta(minutes=30),
}
NO_SERVER = "No server serves this environment; start one and deploy again for a proof."


def components_step(run: Run) -> Done:
    """Ask the serving process which components it shows, and what no deployment can change."""
    content = release.read(run.operation.release)
    environment = run.operation.environment
    if not run.tools.process:
        findings = [["no_server", NO_SERVER]]
        return _found(run, None, [], findings, "")
    errors = release.differences(content, environment, run.tools.code_version)
    digest = run.tools.tools_digest(environment)
    findings = [] if digest else [["mcp_tools_unknown", "The MCP server's tools were not listed."]]
    try:
        found = runs.wait(partial(_components, run))
    except Unavailable as error:
        findings.append(["door_closed", error.message])
        return _found(run, None, errors, findings, digest)
    return _found(run, found, errors, findings, digest)


def _found(
    run: Run,
    found: Sequence[Component] | None,
    errors: list[str],
    findings: list[list[str]],
    digest: str,
) -> Done:
    missing = found is not None and len(found) < len(Component)
    return Done(
        failed=bool(errors) or missing,
        result={
            "components": None if found is None else [str(one) for one in found],
            "errors": errors,
            "findings": findings,
            "mcp_tools_digest": digest or None,
            "process": run.tools.process or None,
        },
        then=partial(record.components, run.operation.id, found or (), now=run.now()),
    )


async def _components(run: Run) -> list[Component]:
    environment = run.operation.environment
    async with runs.open(
        environment=environment,
        by=system_actor("deployments"),
        now=run.now(),
        purpose=f"{run.operation.id} components",
        process=run.tools.process,
    ) as asked:
        report = await asked.report(f"{run.operation.id}-components")
        promise = await asked.explain("Deployment: which paths are there?")
    judged = await sync_to_async(health.rows)(environment)
    return _present(environment, report, promise, watched=bool(judged))


def _present(
    environment: EnvironmentName, report: Reply, promise: Reply, *, watched: bool
) -> list[Component]:
    """Return the components that the serving process showed, each by something only it says."""
    body: dict[str, Any] = dict(report.body)
    paths = promise.body["state"]["paths"] if promise.ok else {}
    shown = {
        Component.BEDROCK_SUPPORT_MANAGER: body.get("support_mode") is not None,
        Component.INTELLIGENT_ROUTER: promise.ok
        and f"matrix:{environment}" in body.get("versions", {}),
        Component.DIRECT_BEDROCK_CLIENT: _configured(paths, Path.DIRECT_BEDROCK),
        Component.MCP_ROUTER: _configured(paths, Path.MCP),
        Component.HYBRID_HEALTH_MONITOR: bool(body.get("health")) or watched,
    }
    return [component for component, there in shown.items() if there]


def _configured(paths: dict[str, Any], path: Path) -> bool:
    return bool(paths.get(str(path), {}).get("configured"))


def suite_step(which: Suite, run: Run) -> Done:
    """Run the checks of one suite and keep their results."""
    bench = Bench(
        hold=run,
        content=release.read(run.operation.release),
        conflicts=run.result(configure.FLAGS).get("conflicts", {}),
    )
    results = runner.suite(which, bench)
    return Done(
        failed=any(one.status is TestStatus.FAIL for one in results),
        result={"tests": [record.as_json(one) for one in results]},
        then=partial(record.tests, run.operation.id, which, results),
    )


def bake_step(run: Run) -> Done | Wait:
    """Wait as long as the environment bakes, over restarts."""
    until = run.step.result.get("until")
    if until is None:
        lasts = BAKES[run.operation.environment]
        if not lasts:
            return Done(result={"skipped": f"{run.operation.environment} does not bake."})
        if not run.tools.process:
            return Done(result={"skipped": NO_SERVER})
        end = run.now() + lasts
    else:
        end = datetime.fromisoformat(until)
    result = {"until": end.isoformat()}
    return Done(result=result) if run.now() >= end else Wait(until=end, result=result)


def judge_step(run: Run) -> Done:
    """Set the verdict over the evidence, once, with the result of this step."""
    tests = results(run.operation)
    components = run.result(COMPONENTS).get("components")
    judgement = verdict.explain(
        tests,
        None if components is None else [Component(one) for one in components],
        _told(run.operation),
    )
    failed = judgement.verdict is Verdict.FAILED
    findings: list[list[str]] = []
    if failed and run.operation.environment is EnvironmentName.DEVELOPMENT:
        said = {s.name: s.result for s in run.operation.steps}
        commands = configure.commands(said, run.operation.environment)
        if commands:
            findings.append(["undo_offered", f"What this run wrote stays. To undo it: {commands}"])
    with transaction.atomic():
        run.pen.check()
        run.pen.judge(judgement.verdict, now=run.now(), reasons=judgement.reasons)
        crash.point(f"inside:{JUDGE}")
        run.pen.settle(
            JUDGE,
            now=run.now(),
            result={
                "verdict": str(judgement.verdict),
                "reasons": list(judgement.reasons),
                "findings": findings,
            },
            failed=failed,
            then=partial(
                record.judged,
                run.operation.id,
                errors=errors(run.operation),
                warnings=[] if failed else _unproven(tests),
            ),
        )
    return Done(kept=True)


def undo_step(undo: Any, run: Run) -> Done:
    """Undo a failed run's own writes where that is done without asking."""
    if run.operation.verdict is not Verdict.FAILED:
        return Done(result={"skipped": "Only a failed run is undone."})
    if run.operation.environment is EnvironmentName.DEVELOPMENT:
        return Done(result={"skipped": "In development the undo is offered, not done."})
    done: Done = undo(run)
    return done


def document_step(run: Run) -> Done:
    """Render the documents from the verdict; what goes wrong with them is a finding."""
    operation = run.operation
    shares = release.read(operation.release).shares(operation.environment)
    assert operation.verdict is not None  # judged comes before
    tests = results(run.operation)
    found = [(str(code), str(message)) for code, message in findings(run)]
    written = writing.write(
        writing.Facts(
            id=operation.id,
            environment=operation.environment,
            at=operation.created_at,
            release=operation.release,
            verdict=operation.verdict,
            components=[Component(c) for c in run.result(COMPONENTS).get("components") or ()],
            flags={flag: shares[flag] > 0 for flag in FlagName},
            tests=tests,
            errors=errors(operation),
            warnings=[
                *([] if operation.verdict is Verdict.FAILED else _unproven(tests)),
                *(message for _, message in found),
            ],
        ),
        run.tools.home / "documents",
    )
    if written.problem:
        found.append(("document", written.problem))
    return Done(
        failed=bool(written.problem),
        result={
            "document": None
            if written.problem
            else str(writing.path(run.tools.home / "documents", operation.id)),
            "findings": [["document", written.problem]] if written.problem else [],
        },
        then=partial(
            record.documented,
            operation.id,
            texts=written.texts,
            findings=found,
            by=operation.by.id,
            now=run.now(),
        ),
    )


def close_step(run: Run) -> Done:
    """Close the deployment: its environment is free for the next one.

    A runner that was killed could not revoke its token; whoever ends the run does it.
    """
    tokens.revoke_runs(
        by=system_actor("deployments"),
        now=run.now(),
        environment=run.operation.environment,
        name=run.operation.id,
    )
    with transaction.atomic():
        run.pen.check()
        run.pen.settle(CLOSE, now=run.now(), result={})
        run.pen.end(now=run.now(), stage=Stage.CLOSED, action=Action.DEPLOYMENT_CLOSED)
    return Done(kept=True)


def results(operation: OperationRow) -> list[TestResult]:
    """Return every result so far, suite by suite."""
    return [
        record.from_json(said)
        for which in (Suite.SMOKE, Suite.VALIDATION, Suite.INTEGRATION)
        for said in operation.result(str(which)).get("tests", [])
    ]


def errors(operation: OperationRow) -> list[str]:
    """Return what went wrong so far: what the steps say, then each failed check in words."""
    return [*_told(operation), *_mismatches(results(operation))]


def findings(run: Run) -> list[list[str]]:
    """Return what the steps found, in order."""
    return [pair for step in run.operation.steps for pair in step.result.get("findings", [])]


def _told(operation: OperationRow) -> list[str]:
    return [text for step in operation.steps for text in step.result.get("errors", [])]


def _mismatches(tests: Sequence[TestResult]) -> list[str]:
    """Return each failed check in words, with what was expected and what was."""
    return [
        f"{test.name} failed: {test.error}"
        if test.error
        else f"{test.name} failed: expected {test.expected}, got {test.actual}"
        for test in tests
        if test.status is TestStatus.FAIL
    ]


def _unproven(tests: Sequence[TestResult]) -> list[str]:
    names = [test.name for test in tests if not test.proves]
    return [f"Unproven: {', '.join(names)}."] if names else []


PLAN: Plan = (
    Spec(name=COMPONENTS, stage=Stage.DEPLOYING, do=components_step),
    Spec(name=configure.FLAGS, stage=Stage.DEPLOYING, do=configure.flags_step),
    Spec(name=configure.MATRIX, stage=Stage.DEPLOYING, do=configure.matrix_step),
    Spec(name=str(Suite.SMOKE), stage=Stage.SMOKE, do=partial(suite_step, Suite.SMOKE)),
    Spec(
        name=str(Suite.VALIDATION),
        stage=Stage.VALIDATING,
        do=partial(suite_step, Suite.VALIDATION),
    ),
    Spec(
        name=str(Suite.INTEGRATION),
        stage=Stage.INTEGRATION,
        do=partial(suite_step, Suite.INTEGRATION),
    ),
    Spec(name=BAKE, stage=Stage.BAKING, do=bake_step),
    Spec(name=JUDGE, stage=Stage.JUDGED, do=judge_step),
    Spec(
        name=configure.UNDO_FLAGS,
        stage=Stage.JUDGED,
        do=partial(undo_step, configure.undo_flags),
    ),
    Spec(
        name=configure.UNDO_MATRIX,
        stage=Stage.JUDGED,
        do=partial(undo_step, configure.undo_matrix),
    ),
    Spec(name=DOCUMENT, stage=Stage.DOCUMENTING, do=document_step),
    Spec(name=CLOSE, stage=Stage.CLOSED, do=close_step),
)
