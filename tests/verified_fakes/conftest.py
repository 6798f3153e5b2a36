from __future__ import annotations

from collections.abc import Iterator

import pytest

from routing.core.settings import BedrockTransport
from tests.verified_fakes import standin
from tests.verified_fakes.standin import StandIn


@pytest.fixture(scope="session")
def _bedrock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standin.running("bedrock", tmp_path_factory.mktemp("bedrock")) as one:
        yield one


@pytest.fixture(scope="session")
def _mcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standin.running("mcp", tmp_path_factory.mktemp("mcp")) as one:
        yield one


@pytest.fixture
def bedrock(_bedrock: StandIn) -> Iterator[StandIn]:
    """The Bedrock stand-in without any fault."""
    yield _bedrock
    _bedrock.ask(do="clear")


@pytest.fixture
def mcp(_mcp: StandIn) -> Iterator[StandIn]:
    """The MCP stand-in without any fault."""
    yield _mcp
    _mcp.ask(do="clear")


@pytest.fixture(params=list(BedrockTransport))
def transport(request: pytest.FixtureRequest) -> BedrockTransport:
    """Both transports in turn: each claim about the client is one about both."""
    return BedrockTransport(request.param)
