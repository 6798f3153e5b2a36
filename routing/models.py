"""Index of all tables; each is owned and written by its own package alone."""

from routing.access.models import RoleGrant, SignInDelay, Token, TokenSet, User
from routing.audit.models import Entry, Stream
from routing.flags.models import Flag, FlagSet, FlagState, Sample, Switch
from routing.fleet.models import Environment, LoopLease, Process

__all__ = [
    "Entry",
    "Environment",
    "Flag",
    "FlagSet",
    "FlagState",
    "LoopLease",
    "Process",
    "RoleGrant",
    "Sample",
    "SignInDelay",
    "Stream",
    "Switch",
    "Token",
    "TokenSet",
    "User",
]
