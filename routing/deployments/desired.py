"""What the flags of an environment should be: as the release of its last deployment has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from routing.core.flags import FlagName, State
from routing.core.values import EnvironmentName
from routing.deployments import configure, ledger, release


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The state of each flag, and the release that says so; "" for the declaration."""

    release: str
    states: Mapping[FlagName, State]

    def differs(self, flag: FlagName, state: State) -> bool:
        """Tell whether somebody gets `flag` in `state` who should not, or the other way round."""
        return not state.gives_as(self.states[flag])


def of(environment: EnvironmentName) -> Desired:
    """Return what the last deployment that looked at flags brought; before one, as declared."""
    last = ledger.last(environment, having=(configure.FLAGS, "known"))
    if last is None:
        return Desired(release="", states=release.declared(environment))
    kept = release.read(last.release).flags.get(environment, {})
    return Desired(release=last.release, states={**release.declared(environment), **kept})
