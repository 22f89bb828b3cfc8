"""The gateways that modules share: one with the demo provider, two whose upstreams a test scripts.

A session-scoped gateway is started once for each process of pytest-xdist, so modules are kept together by
``xdist_group``: ``demo`` for those that use ``demo``, ``scripted`` for those that use ``scripted``, ``plane`` for those
that use ``plane``.
"""

from collections.abc import Iterator

import openai
import pytest

from tests.support.gateway import RunningGateway, running_demo
from tests.support.plane import Plane, running_plane
from tests.support.scripted import Scripted, running_scripted
from tests.support.sdk import sdk


@pytest.fixture(scope="session")
def demo() -> Iterator[RunningGateway]:
    """The gateway in front of the demo provider: the models ``demo-openai`` and ``demo-bedrock``."""
    with running_demo() as gateway:
        yield gateway


@pytest.fixture(scope="session")
def client(demo: RunningGateway) -> Iterator[openai.OpenAI]:
    """The official SDK on ``demo``."""
    with sdk(demo.base_url) as client:
        yield client


@pytest.fixture(scope="session")
def running_script() -> Iterator[Scripted]:
    """The gateway of ``scripted``; use that."""
    with running_scripted() as scripted:
        yield scripted


@pytest.fixture
def scripted(running_script: Scripted) -> Scripted:
    """A gateway in front of two upstreams that answer what a test says, with empty records."""
    running_script.forget()
    return running_script


@pytest.fixture(scope="session")
def shared_plane() -> Iterator[Plane]:
    """The gateway of ``plane``; use that."""
    with running_plane() as plane:
        yield plane


@pytest.fixture
def plane(shared_plane: Plane) -> Iterator[Plane]:
    """A gateway that speaks each pair of protocols to one upstream, whose record is empty; both stay in order."""
    shared_plane.upstream.forget()
    yield shared_plane
    shared_plane.demand_clean()
