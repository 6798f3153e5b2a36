from __future__ import annotations

import json

import pytest
from hypothesis import given

from routing.core import arguments
from routing.core.decision import Request, State, decide
from routing.core.errors import Invalid
from tests.unit.core.test_decision import state
from tests.unit.core.worlds import requests, states


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


def test_the_subject_is_kept_as_its_place_alone() -> None:
    from tests.unit.core.test_decision import request

    packed = arguments.pack(request(bucket=37), state())
    assert packed["bucket"] == 37
    assert arguments.unpack(packed)[0].bucket == 37


def test_arguments_from_before_there_were_splits_decide_the_same() -> None:
    from tests.unit.core.test_decision import request

    packed = arguments.pack(request(), state())
    old = {k: v for k, v in packed.items() if k not in ("bucket", "chosen")}
    old |= {"form": 1, "row": packed["row"][:-1]}
    again = arguments.unpack(old)
    assert again[0].bucket is None and decide(*again) == decide(request(), state())
