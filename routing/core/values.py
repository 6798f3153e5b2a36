"""The words of the product, one enum per concept; nothing else is ever stored.

The normative list is product.md section 2. Other spellings live in `aliases`, for imports only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from routing.core.errors import UnknownWord

Word = TypeVar("Word", bound=StrEnum)


class Path(StrEnum):
    DIRECT_BEDROCK = "direct_bedrock"
    MCP = "mcp"


class Operation(StrEnum):
    EMERGENCY = "emergency"
    INFRASTRUCTURE = "infrastructure"
    META_MONITOR = "meta_monitor"
    IMPLEMENTATION = "implementation"
    KIRO_COMMUNICATION = "kiro_communication"
    STANDARD = "standard"
    BACKGROUND_TASKS = "background_tasks"


class Priority(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class EnvironmentName(StrEnum):
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class Component(StrEnum):
    BEDROCK_SUPPORT_MANAGER = "BedrockSupportManager"
    INTELLIGENT_ROUTER = "IntelligentRouter"
    DIRECT_BEDROCK_CLIENT = "DirectBedrockClient"
    MCP_ROUTER = "MCPRouter"
    HYBRID_HEALTH_MONITOR = "HybridHealthMonitor"


class Health(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"
    MAINTENANCE = "maintenance"
    OFF = "off"
    NOT_CONFIGURED = "not_configured"


class TestStatus(StrEnum):
    __test__ = False  # a word of the product, not a test class

    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"


class Evidence(StrEnum):
    PROVEN = "proven"
    UNPROVEN = "unproven"


class Verdict(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class RollbackEnd(StrEnum):
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    COMPENSATED = "compensated"
    NEEDS_HUMAN = "needs_human"


class Reason(StrEnum):
    """Why a decision ended as it did."""

    RULE = "rule"
    SPLIT = "split"
    OVERRIDE = "override"
    FLAG_OFF = "flag_off"
    MCP_ONLY = "mcp_only"
    DIRECT_ONLY = "direct_only"
    FORCED_EMERGENCY = "forced_emergency"
    MAINTENANCE = "maintenance"
    FALLBACK_UNHEALTHY = "fallback_unhealthy"
    FALLBACK_BREAKER_OPEN = "fallback_breaker_open"
    FALLBACK_ERROR = "fallback_error"
    LAST_RESORT = "last_resort"
    CACHE_HIT = "cache_hit"
    REFUSED_COMPLIANCE = "refused_compliance"
    REFUSED_BUDGET = "refused_budget"
    SHED = "shed"
    NO_PATH = "no_path"


class Skip(StrEnum):
    """Why a candidate path was passed over."""

    NOT_CONFIGURED = "not_configured"
    NOT_ALLOWED_REGION = "not_allowed_region"
    FLAG_OFF = "flag_off"
    FORCED_OPEN = "forced_open"
    BREAKER_OPEN = "breaker_open"
    UNHEALTHY = "unhealthy"
    MAINTENANCE = "maintenance"
    UNSUPPORTED = "unsupported"
    THROTTLED = "throttled"
    SLOW = "slow"
    NO_TIME_LEFT = "no_time_left"
    TRIED = "tried"


class Failure(StrEnum):
    """How a call to a path failed."""

    DISABLED = "disabled"
    BREAKER_OPEN = "breaker_open"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    REFUSED_CREDENTIALS = "refused_credentials"
    VALIDATION = "validation"
    COMPLIANCE = "compliance"
    QUEUE_FULL = "queue_full"
    TOOL_ERROR = "tool_error"
    PROTOCOL = "protocol"
    TRUNCATED = "truncated"
    OUTCOME_UNKNOWN = "outcome_unknown"
    PROVIDER = "provider"


class StreamEnd(StrEnum):
    """How an answer ended that had begun to reach its caller piece by piece."""

    COMPLETE = "complete"
    BROKEN_OFF = "broken_off"  # by the path, or by our own limits for it
    GIVEN_UP = "given_up"  # the caller left, or this server was told to end
    LOST = "lost"  # the process died; its successor says so


class PlanKind(StrEnum):
    """What is planned for a time: a change that was scheduled, or the end of one that was made."""

    CHANGE = "change"
    END = "end"


class PlanState(StrEnum):
    """How a planned change stands, or what became of it."""

    WAITING = "waiting"
    DONE = "done"
    CANCELLED = "cancelled"
    REFUSED = "refused"  # a guard, a right or a rule said no when it was due
    DRIFTED = "drifted"  # somebody changed a flag of it meanwhile
    MISSED = "missed"  # nobody was there to make it, for too long
    DROPPED = "dropped"  # an end whose flags were all changed meanwhile


class Role(StrEnum):
    VIEWER = "viewer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class WhenDown(StrEnum):
    """What an operation does when every candidate looks down."""

    LAST_RESORT = "last_resort"
    FAIL_CLOSED = "fail_closed"


class Breaker(StrEnum):
    """State of a circuit breaker; `forced_*` are set by a person, with an end."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


class ProposalState(StrEnum):
    """Where a proposal stands; only `proposed` and `approved` go on."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    VOIDED = "voided"
    APPLIED = "applied"


class ActorKind(StrEnum):
    USER = "user"
    TOKEN = "token"
    SHELL = "shell"
    SYSTEM = "system"


class Action(StrEnum):
    """What an audit entry books, as `<object>.<verb>`."""

    STREAM_OPEN = "stream.open"
    SIGNIN = "signin.done"
    SIGNIN_FAILURES = "signin.failures"
    SIGNOUT = "signout.done"
    PAGE_OPEN = "page.open"
    USER_CREATE = "user.create"
    USER_RESET = "user.reset"
    USER_CLOSE = "user.close"
    USER_REOPEN = "user.reopen"
    PASSWORD_CHANGE = "password.change"
    ROLE_GRANT = "role.grant"
    ROLE_REVOKE = "role.revoke"
    TOKEN_ISSUE = "token.issue"
    TOKEN_REVOKE = "token.revoke"
    ENVIRONMENT_CREATE = "environment.create"
    FLAG_CREATE = "flag.create"
    FLAG_CHANGE = "flag.change"
    PROPOSAL_MAKE = "proposal.make"
    PROPOSAL_APPROVE = "proposal.approve"
    PROPOSAL_REJECT = "proposal.reject"
    PROPOSAL_WITHDRAW = "proposal.withdraw"
    PROPOSAL_APPLY = "proposal.apply"
    PROPOSAL_END = "proposal.end"
    APPROVAL_POLICY = "approval.policy"
    SCHEDULE_SET = "schedule.set"
    SCHEDULE_CANCEL = "schedule.cancel"
    SCHEDULE_FAIL = "schedule.fail"
    SCHEDULE_DROP = "schedule.drop"
    SCHEDULE_SEE = "schedule.see"
    GLASS_BREAK = "glass.break"
    GLASS_END = "glass.end"
    GLASS_REVIEW = "glass.review"
    FLAG_DRIFT = "flag.drift"
    FLAG_ADOPT = "flag.adopt"
    FLAG_REVERT = "flag.revert"
    KILL_SEEN = "kill.seen"
    KILL_GONE = "kill.gone"
    STANDBY_SERVE = "standby.serve"
    MATRIX_CHANGE = "matrix.change"
    DRAFT_SAVE = "draft.save"
    DRAFT_DISCARD = "draft.discard"
    OVERRIDE_SET = "override.set"
    OVERRIDE_END = "override.end"
    TOOLS_PIN = "tools.pin"
    TOOLS_DRIFT = "tools.drift"
    TOOLS_ACCEPT = "tools.accept"
    BREAKER_FORCE = "breaker.force"
    BREAKER_RELEASE = "breaker.release"
    COMPLIANCE_CHANGE = "compliance.change"
    COST_CHANGE = "cost.change"
    BUDGET_ALERT = "budget.alert"
    DENIALS_SUPPRESSED = "denials.suppressed"
    ROUTE_ASK = "route.ask"
    REPORT_READ = "report.read"
    UPSTREAM_START = "upstream.start"
    UPSTREAM_STOP = "upstream.stop"
    UPSTREAM_FAULT = "upstream.fault"
    SUPPORT_ACTIVATE = "support.activate"
    SUPPORT_DEACTIVATE = "support.deactivate"
    SUPPORT_AUDIT = "support.audit"
    DEPLOYMENT_IMPORT = "deployment.import"
    HISTORY_LAY = "deployment.history"
    DEPLOYMENT_CREATE = "deployment.create"
    DEPLOYMENT_STEP = "deployment.step"
    DEPLOYMENT_JUDGED = "deployment.judged"
    DEPLOYMENT_CLOSED = "deployment.closed"
    DEPLOYMENT_CANCEL = "deployment.cancel"
    ROLLBACK_PLAN = "rollback.plan"
    ROLLBACK_REFUSED = "rollback.refused"
    ROLLBACK_STEP = "rollback.step"
    ROLLBACK_END = "rollback.end"


class Outcome(StrEnum):
    """How a booked action ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class Residency(StrEnum):
    """Where an environment's data may be processed; `local` only on the built-in stand-ins."""

    LOCAL = "local"
    EU = "eu"
    ANY = "any"


def parse(kind: type[Word], text: str) -> Word:
    """Return the enum member spelled exactly as `text`.

    Raises UnknownWord, which lists the known words; no alias is accepted here.
    """
    try:
        return kind(text)
    except ValueError:
        raise UnknownWord(kind=kind.__name__, text=text, known=[str(w) for w in kind]) from None
