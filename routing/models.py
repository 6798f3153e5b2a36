"""Index of all tables; each is owned and written by its own package alone."""

from routing.access.models import RoleGrant, SignInDelay, Token, TokenSet, User
from routing.approvals.models import ApprovalPolicy, Proposal
from routing.audit.models import DenialCount, Entry, Stream
from routing.breakers.models import BreakerMove, SharedBreaker
from routing.compliance.models import CompliancePolicy
from routing.cost.models import BudgetAlert, CostPolicy, Spend
from routing.decisions.models import Decision
from routing.deployments.ledger_models import Operation, Release, Step
from routing.deployments.models import (
    Deployment,
    DeploymentDocument,
    DeploymentFinding,
    DeploymentTest,
)
from routing.flags.models import Flag, FlagSet, FlagState, FlagTouch, FlagUse, Sample, Switch
from routing.fleet.models import Environment, LoopLease, Process
from routing.glass.models import BrokenGlass
from routing.health.models import HealthMinute, PathHealth
from routing.matrix.models import MatrixDraft, MatrixVersion, Override
from routing.pins.models import ToolPin
from routing.schedule.models import PlannedChange
from routing.support.models import AuditRun, Finding, SupportSession

__all__ = [
    "ApprovalPolicy",
    "AuditRun",
    "BreakerMove",
    "BrokenGlass",
    "BudgetAlert",
    "CompliancePolicy",
    "CostPolicy",
    "Decision",
    "DenialCount",
    "Deployment",
    "DeploymentDocument",
    "DeploymentFinding",
    "DeploymentTest",
    "Entry",
    "Environment",
    "Finding",
    "Flag",
    "FlagSet",
    "FlagState",
    "FlagTouch",
    "FlagUse",
    "HealthMinute",
    "LoopLease",
    "MatrixDraft",
    "MatrixVersion",
    "Operation",
    "Override",
    "PathHealth",
    "PlannedChange",
    "Process",
    "Proposal",
    "Release",
    "RoleGrant",
    "Sample",
    "SharedBreaker",
    "SignInDelay",
    "Spend",
    "Step",
    "Stream",
    "SupportSession",
    "Switch",
    "Token",
    "TokenSet",
    "ToolPin",
    "User",
]
