"""What people may send, checked for shape; what it means is decided below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from django import forms

from routing.core.flags import FlagName
from routing.core.guards import Cause
from routing.core.values import Action, EnvironmentName, Outcome, Verdict
from routing.deployments.origins import Origin

BIGGEST = 2**63 - 1
CAUSES = [("", "none")] + [(str(c), str(c)) for c in Cause]


class SignIn(forms.Form):
    username = forms.CharField(max_length=64)
    password = forms.CharField(max_length=256, strip=False, widget=forms.PasswordInput)
    next = forms.CharField(required=False, widget=forms.HiddenInput)


class NewPassword(forms.Form):
    """The present password, and the new one twice."""

    old = forms.CharField(max_length=256, strip=False)
    new = forms.CharField(max_length=256, strip=False)
    again = forms.CharField(max_length=256, strip=False)


ENDS = (
    ("", "it stays until somebody changes it"),
    ("15", "15 min"),
    ("30", "30 min"),
    ("60", "1 h"),
    ("240", "4 h"),
    ("1440", "1 d"),
    ("10080", "7 d"),
)
WHICH = (("", "it comes once"), ("first", "the first of the two"), ("second", "the second"))


class Times(forms.Form):
    """When a change is made, and for how long; `at` empty means now."""

    at = forms.CharField(required=False, max_length=40)
    zone = forms.CharField(required=False, max_length=64)
    which = forms.ChoiceField(required=False, choices=WHICH)
    ends_after = forms.ChoiceField(required=False, choices=ENDS)


class Change(Times):
    """How a change of flags is made: why, when, and for how long."""

    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=32)
    confirmed = forms.BooleanField(required=False)
    cause = forms.ChoiceField(required=False, choices=CAUSES)


class SetFlag(Change):
    """One flag to one state; `base_version` is the version that the person looked at."""

    to = forms.ChoiceField(choices=[("on", "on"), ("off", "off")])
    base_version = forms.IntegerField(min_value=0, max_value=BIGGEST)


def to_field(name: FlagName) -> str:
    """Return the field of a change set that says what `name` becomes; `leave` and "" mean no
    change.
    """
    return f"to-{name}"


def base_field(name: FlagName) -> str:
    """Return the field that says at which version `name` was looked at."""
    return f"base-{name}"


class ChooseFlags(forms.Form):
    """What each flag of a change set shall become."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        for name in FlagName:
            self.fields[to_field(name)] = forms.ChoiceField(
                required=False, choices=[("", "leave"), ("on", "on"), ("off", "off")]
            )


class SetFlags(Change):
    """Several flags at once, each from the version that the person looked at."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        for name in FlagName:
            self.fields[to_field(name)] = forms.ChoiceField(
                required=False, choices=[("", "leave"), ("on", "on"), ("off", "off")]
            )
            self.fields[base_field(name)] = forms.IntegerField(
                required=False, min_value=0, max_value=BIGGEST
            )


class Cancel(forms.Form):
    """A planned change taken back; `confirmed` is about what stops while an end's change stays."""

    confirmed = forms.BooleanField(required=False)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=32)


class BreakGlass(forms.Form):
    minutes = forms.IntegerField(min_value=0, max_value=BIGGEST)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=32)


class ReviewGlass(forms.Form):
    words = forms.CharField(required=False, strip=False)


class SettleDrift(forms.Form):
    """Flags changed around us; `touches` is what the person looked at."""

    do = forms.ChoiceField(choices=[("adopt", "adopt"), ("revert", "revert")])
    touches = forms.IntegerField(min_value=0, max_value=BIGGEST)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=32)
    confirmed = forms.BooleanField(required=False)


class ReviewFlag(forms.Form):
    """What the review page is asked to show."""

    to = forms.ChoiceField(choices=[("on", "on"), ("off", "off")])
    cause = forms.ChoiceField(required=False, choices=CAUSES)
    replaces = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST)


FORCED_STATES = (("open", "open: no call goes through"), ("closed", "closed: every call does"))
FORCED_ENDS = (
    ("15", "15 min"),
    ("30", "30 min"),
    ("60", "1 h"),
    ("120", "2 h"),
    ("240", "4 h"),
)


class ReleaseBreaker(forms.Form):
    """`base` is the entry of the forced state that the person looked at, 0 for none."""

    base = forms.IntegerField(min_value=0, max_value=BIGGEST)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=32)


class ForceBreaker(ReleaseBreaker):
    """A breaker held in one state for a while."""

    to = forms.ChoiceField(choices=FORCED_STATES)
    minutes = forms.ChoiceField(choices=FORCED_ENDS)
    confirmed = forms.BooleanField(required=False)


PERIODS = (("day", "a day (UTC)"), ("month", "a month (UTC)"))
UNITS = (("money", "money"), ("tokens", "tokens"))
DEEDS = (("set", "set"), ("remove", "remove"))


class SetCost(forms.Form):
    """What a price and a limit have in common; `base` is the version that the person looked at."""

    do = forms.ChoiceField(choices=DEEDS)
    base = forms.IntegerField(min_value=0, max_value=BIGGEST)
    currency = forms.CharField(required=False, max_length=10)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=32)
    confirmed = forms.BooleanField(required=False)


class SetPrice(SetCost):
    """What a million tokens of a model cost; amounts are text, for they are exact."""

    model = forms.CharField(required=False, max_length=400)
    input = forms.CharField(required=False, max_length=40)
    output = forms.CharField(required=False, max_length=40)


class SetLimit(SetCost):
    """What a tenant, or all of them, may spend in a period."""

    period = forms.ChoiceField(choices=PERIODS)
    unit = forms.ChoiceField(choices=UNITS)
    most = forms.CharField(required=False, max_length=40)
    tenant = forms.CharField(required=False, max_length=100)
    hard_stop = forms.BooleanField(required=False)
    stops_emergencies = forms.BooleanField(required=False)


class When(forms.DateTimeInput):
    """A browser's own date and time field; what it sends carries no zone and is UTC here."""

    input_type = "datetime-local"

    def format_value(self, value: Any) -> Any:
        return value if isinstance(value, str) or value is None else f"{value:%Y-%m-%dT%H:%M}"


class Moment(forms.DateTimeField):
    """A moment in UTC, whatever offset an address gives it."""

    def to_python(self, value: Any) -> Any:
        at = super().to_python(value)
        try:
            return at and at.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None


class AuditFilter(forms.Form):
    """The filters of the Audit page; all optional, all in the address."""

    WHERE = (("here", "this environment"), ("nowhere", "none (sign-ins, people)"))

    where = forms.ChoiceField(required=False, choices=WHERE, label="Booked for")
    action = forms.ChoiceField(
        required=False, choices=[("", "any")] + [(str(a), str(a)) for a in Action]
    )
    actor = forms.CharField(required=False, max_length=300, label="Who")
    object = forms.CharField(required=False, max_length=200, label="Object")
    outcome = forms.ChoiceField(
        required=False, choices=[("", "any")] + [(str(o), str(o)) for o in Outcome]
    )
    since = Moment(required=False, widget=When, label="Since (UTC)")
    until = Moment(required=False, widget=When, label="Until (UTC)")
    before = forms.IntegerField(
        required=False, min_value=1, max_value=BIGGEST, widget=forms.HiddenInput
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data, label_suffix="")
        self.fields["where"].widget.attrs["data-first-filter"] = ""


class FlagsFilter(forms.Form):
    """What the Flags page is asked to show; all optional, all in the address.

    `at` is a past moment, `after` the entry that left the flags as they are to be shown.
    """

    q = forms.CharField(required=False, max_length=100)
    at = Moment(required=False)
    after = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST)


class HistoryFilter(forms.Form):
    """Which part of a flag's history is shown: of one environment or all, and before an entry."""

    before = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST)

    def __init__(self, data: Any, *, environments: Sequence[EnvironmentName]) -> None:
        super().__init__(data)
        choices = [("", "all")] + [(str(e), str(e)) for e in environments]
        self.fields["in"] = forms.ChoiceField(required=False, choices=choices)


class DeploymentFilter(forms.Form):
    """The filters of the Deployments page; all optional, all in the address."""

    verdict = forms.ChoiceField(
        required=False,
        choices=[("", "any")] + [(str(v), str(v)) for v in Verdict],
        label="Derived",
    )
    origin = forms.ChoiceField(
        required=False, choices=[("", "any")] + [(str(o), str(o)) for o in Origin]
    )
    before = forms.CharField(required=False, max_length=160, widget=forms.HiddenInput)

    def __init__(self, data: Any) -> None:
        super().__init__(data, label_suffix="")
        self.fields["verdict"].widget.attrs["data-first-filter"] = ""
