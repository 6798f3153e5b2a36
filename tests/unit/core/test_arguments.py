from __future__ import annotations

import json

import pytest
from hypothesis import given

from routing.core import arguments
from routing.core.decision import Request, State, decide
from routing.core.errors import Invalid
from tests.unit.core.test_decision import requests, state, states


@given(requests, states)
def test_a_replay_decides_the_same(r: Request, s: State) -> None:
    packed = json.loads(json.dumps(arguments.pack(r, s)))
    again = arguments.unpack(packed)
    assert decide(*again) == decide(r, s)
    assert arguments.pack(*again) == packed


@given(requests, states)
def test_the_arguments_fit_a_kilobyte(r: Request, s: State) -> None:
    assert len(json.dumps(arguments.pack(r, s), separators=(",", ":"))) <= 1024


def test_a_form_of_another_version_is_refused() -> None:
    from tests.unit.core.test_decision import request

    packed = arguments.pack(request(), state()) | {"form": 3}
    with pytest.raises(Invalid, match="form 3"):
        arguments.unpack(packed)
