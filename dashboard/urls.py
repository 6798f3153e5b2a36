"""Addresses of the dashboard: pages are nouns, actions are verbs by POST beneath them."""

from __future__ import annotations

from typing import Any, cast

from django.urls import URLPattern, path, register_converter

from dashboard import consumers
from dashboard.views import (
    actions,
    approval_policy,
    approvals,
    breakers,
    cost,
    deployments,
    drafts,
    drift,
    flags,
    glass,
    operations,
    overview,
    pages,
    rollback,
    routes,
    schedule,
    sets,
    settings,
    support,
    tokens,
)
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, Path


class EnvironmentConverter:
    """Matches known environments only: another word is no address of ours."""

    regex = "|".join(EnvironmentName)

    def to_python(self, value: str) -> EnvironmentName:
        return EnvironmentName(value)

    def to_url(self, value: str) -> str:
        return str(EnvironmentName(value))


class FlagConverter:
    """Matches known flags only."""

    regex = "|".join(name.replace(".", r"\.") for name in FlagName)

    def to_python(self, value: str) -> FlagName:
        return FlagName(value)

    def to_url(self, value: str) -> str:
        return str(FlagName(value))


class PathConverter:
    """Matches known paths only."""

    regex = "|".join(Path)

    def to_python(self, value: str) -> Path:
        return Path(value)

    def to_url(self, value: str) -> str:
        return str(Path(value))


class DeploymentConverter:
    """Matches what a deployment may be called."""

    regex = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return str(value)


register_converter(EnvironmentConverter, "environment")
register_converter(DeploymentConverter, "deployment")
register_converter(FlagConverter, "flag")
register_converter(PathConverter, "route_path")

urlpatterns: list[URLPattern] = [
    path("", pages.home, name="home"),
    path("favicon.ico", pages.favicon, name="favicon"),
    path("sign-in/", actions.sign_in, name="sign-in"),
    path("sign-out/", actions.sign_out, name="sign-out"),
    path("password/", actions.password, name="password"),
    path("e/<environment:environment>/", overview.page, name="overview"),
    path("e/<environment:environment>/flags/", flags.page, name="flags"),
    path("e/<environment:environment>/flags/<flag:name>/", flags.flag, name="flag"),
    path("e/<environment:environment>/flags/<flag:name>/set/", actions.set_flag, name="flag-set"),
    path("e/<environment:environment>/flags/set/", sets.page, name="flags-set"),
    path(
        "e/<environment:environment>/flags/undo/<int:seq>/", actions.undo_flags, name="flags-undo"
    ),
    path("e/<environment:environment>/schedule/", schedule.page, name="schedule"),
    path(
        "e/<environment:environment>/schedule/<int:number>/cancel/",
        schedule.cancel,
        name="schedule-cancel",
    ),
    path(
        "e/<environment:environment>/schedule/<int:number>/see/",
        schedule.see,
        name="schedule-see",
    ),
    path("e/<environment:environment>/break-glass/", glass.page, name="glass"),
    path("e/<environment:environment>/break-glass/begin/", glass.begin, name="glass-begin"),
    path("e/<environment:environment>/break-glass/<int:number>/end/", glass.end, name="glass-end"),
    path(
        "e/<environment:environment>/break-glass/<int:number>/review/",
        glass.review,
        name="glass-review",
    ),
    path("e/<environment:environment>/flags/drift/", drift.settle, name="flag-drift"),
    path("e/<environment:environment>/routing/", routes.page, name="routing"),
    path("e/<environment:environment>/routing/explain/", routes.explain, name="routing-explain"),
    path(
        "e/<environment:environment>/routing/overrides/set/",
        routes.set_override,
        name="override-set",
    ),
    path(
        "e/<environment:environment>/routing/overrides/<int:number>/end/",
        routes.end_override,
        name="override-end",
    ),
    path("e/<environment:environment>/routing/draft/", drafts.page, name="draft"),
    path("e/<environment:environment>/routing/draft/begin/", drafts.begin, name="draft-begin"),
    path("e/<environment:environment>/routing/draft/save/", drafts.save, name="draft-save"),
    path(
        "e/<environment:environment>/routing/draft/discard/", drafts.discard, name="draft-discard"
    ),
    path(
        "e/<environment:environment>/routing/draft/publish/", drafts.publish, name="draft-publish"
    ),
    path("e/<environment:environment>/breakers/", breakers.page, name="breakers"),
    path(
        "e/<environment:environment>/breakers/<route_path:path>/force/",
        breakers.force,
        name="breaker-force",
    ),
    path(
        "e/<environment:environment>/breakers/<route_path:path>/release/",
        breakers.release,
        name="breaker-release",
    ),
    path("e/<environment:environment>/cost/", cost.page, name="cost"),
    path("e/<environment:environment>/cost/price/", cost.price, name="cost-price"),
    path("e/<environment:environment>/cost/limit/", cost.limit, name="cost-limit"),
    path("e/<environment:environment>/deployments/", deployments.page, name="deployments"),
    path(
        "e/<environment:environment>/deployments/import/",
        deployments.take,
        name="deployments-import",
    ),
    path(
        "e/<environment:environment>/deployments/compare/",
        deployments.compare,
        name="deployments-compare",
    ),
    path(
        "e/<environment:environment>/deployments/<deployment:deployment_id>/",
        deployments.detail,
        name="deployment",
    ),
    path("e/<environment:environment>/rollback/", rollback.page, name="rollback"),
    path("e/<environment:environment>/rollback/start/", rollback.start, name="rollback-start"),
    path("e/<environment:environment>/operations/", operations.page, name="operations"),
    path(
        "e/<environment:environment>/operations/deploy/", operations.start, name="operation-deploy"
    ),
    path(
        "e/<environment:environment>/operations/<deployment:operation_id>/",
        operations.detail,
        name="operation",
    ),
    path("e/<environment:environment>/approvals/", approvals.page, name="approvals"),
    path(
        "e/<environment:environment>/approvals/propose/",
        approvals.propose,
        name="approval-propose",
    ),
    path("e/<environment:environment>/approvals/<int:number>/", approvals.detail, name="approval"),
    *(
        path(
            f"e/<environment:environment>/approvals/<int:number>/{verb}/",
            view,
            name=f"approval-{verb}",
        )
        for verb, view in (
            ("approve", approvals.approve),
            ("reject", approvals.reject),
            ("withdraw", approvals.withdraw),
            ("apply", approvals.apply),
        )
    ),
    path("e/<environment:environment>/audit/", pages.audit, name="audit"),
    path("e/<environment:environment>/audit/<int:seq>/", pages.audit_entry, name="audit-entry"),
    path("e/<environment:environment>/audit/verify/", actions.verify_audit, name="audit-verify"),
    path("e/<environment:environment>/settings/", settings.people, name="settings"),
    path("e/<environment:environment>/settings/create/", settings.create, name="person-create"),
    path("e/<environment:environment>/settings/admit/", settings.admit, name="person-admit"),
    path("e/<environment:environment>/settings/<int:user_id>/", settings.person, name="person"),
    *(
        path(
            f"e/<environment:environment>/settings/<int:user_id>/{verb}/",
            view,
            name=f"person-{verb}",
        )
        for verb, view in (
            ("grant", settings.grant),
            ("revoke", settings.revoke),
            ("reset", settings.reset),
            ("close", settings.close),
            ("reopen", settings.reopen),
        )
    ),
    path("e/<environment:environment>/settings/tokens/", tokens.page, name="settings-tokens"),
    path("e/<environment:environment>/settings/tokens/issue/", tokens.issue, name="token-issue"),
    path(
        "e/<environment:environment>/settings/tokens/<slug:token_id>/revoke/",
        tokens.revoke,
        name="token-revoke",
    ),
    path(
        "e/<environment:environment>/settings/approval/",
        approval_policy.page,
        name="settings-approval",
    ),
    path(
        "e/<environment:environment>/settings/approval/set/",
        approval_policy.put,
        name="approval-policy",
    ),
    path("e/<environment:environment>/support/", support.page, name="support"),
    path(
        "e/<environment:environment>/support/activate/", support.activate, name="support-activate"
    ),
    path(
        "e/<environment:environment>/support/deactivate/",
        support.deactivate,
        name="support-deactivate",
    ),
    path("e/<environment:environment>/support/audit/", support.audit, name="support-audit"),
    path("e/<environment:environment>/partials/<slug:name>/", pages.partial, name="partial"),
]
websocket_urlpatterns: list[Any] = [
    path("ws/e/<environment:environment>/", cast("Any", consumers.live)),
]
