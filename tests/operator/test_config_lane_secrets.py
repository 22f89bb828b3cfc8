"""A pass and the Secrets that it needs."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.operator.failures import ClusterError, Denied, Unreachable
from controller.operator.kinds import LLM_BACKENDS
from tests.support.api_objects import backend
from tests.support.config_lane_stand import Stand, quiet, running
from tests.support.readable_cluster import numbered
from tests.support.waiting import eventually

KEYS = ("Secret", "team-a", "keys")


def credentials(stand: Stand) -> list[str]:
    """What the processors get."""
    data = stand.config_maps.held["llmroute-credentials"]["data"]
    return [base64.b64decode(value).decode() for value in data.values()]


@asynccontextmanager
async def with_key(*, fault: ClusterError | None = None) -> AsyncIterator[Stand]:
    """A lane with a backend that needs a Secret, which is there."""
    async with running(leading=False) as stand:
        auth = {"apiKey": {"secretRef": {"name": "keys"}}}
        stand.store.put(LLM_BACKENDS, numbered(backend(auth=auth), 5))
        stand.secrets.put_secret(KEYS, 1, {"apiKey": "first"})
        if fault is not None:
            stand.secrets.faults[KEYS] = fault
        yield stand


async def test_the_first_write_has_the_credentials() -> None:
    """It waits for them, and no configuration goes out whose files are not there."""
    async with with_key() as stand:
        assert stand.secrets.got == []
        stand.lane.lead()
        await eventually(stand.holds("openai"))
        assert stand.config_maps.applied[0] == "llmroute-credentials"
        assert credentials(stand) == ["first"]


async def test_a_changed_secret_is_written_at_once() -> None:
    """Without a new revision, and without another status."""
    async with with_key() as stand:
        stand.lane.lead()
        await eventually(lambda: credentials(stand) == ["first"])
        await eventually(lambda: KEYS in stand.secrets.watches)
        await eventually(lambda: stand.offered)
        [first] = stand.offered
        stand.secrets.put_secret(KEYS, 2, {"apiKey": "second"})
        await eventually(lambda: credentials(stand) == ["second"])
        await eventually(lambda: len(stand.offered) == 2)

        assert stand.offered[1].revision == first.revision
        assert stand.offered[1].translation.statuses == first.translation.statuses
        stand.secrets.put(KEYS, None)
        await eventually(lambda: credentials(stand) == [])
        assert stand.offered[-1].translation.statuses != first.translation.statuses


async def test_a_secret_that_cannot_be_read_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are served after a while, and what was written before stays until the server tells."""
    monkeypatch.setattr("controller.operator.compiling._FIRST_PATIENCE_S", 0.2)
    monkeypatch.setattr("controller.operator.compiling._PATIENCE_S", 0.1)
    async with with_key() as stand:
        stand.lane.lead()
        await eventually(lambda: credentials(stand) == ["first"])
        stand.lane.follow()
        stand.secrets.faults[KEYS] = Unreachable("no answer")
        await eventually(lambda: stand.secrets.watches == {})
        stand.lane.lead()
        stand.edit("b", 7)
        await eventually(stand.holds('"value":"b"'))
        assert credentials(stand) == ["first"]

        stand.secrets.faults = {}
        stand.secrets.put_secret(KEYS, 3, {"apiKey": "third"})
        await eventually(lambda: credentials(stand) == ["third"])


async def test_who_does_not_lead_knows_no_secrets() -> None:
    """They are read when a term begins and forgotten when it ends."""
    async with with_key() as stand:
        stand.lane.lead()
        await eventually(lambda: credentials(stand) == ["first"])
        stand.lane.follow()
        assert stand.lookout.store().data == {}
        stand.edit("b", 7)
        await quiet()
        assert stand.secrets.watches == {}
        assert credentials(stand) == ["first"]


async def test_a_term_that_ends_while_secrets_are_read_writes_nothing() -> None:
    """Not even when the next one has begun by then: without them they would seem to be gone."""
    async with with_key(fault=Unreachable("no answer")) as stand:
        stand.lane.lead()
        await eventually(lambda: stand.secrets.got or stand.lookout.store().unread)
        stand.lane.follow()
        stand.secrets.faults = {}
        stand.lane.lead()
        await eventually(lambda: credentials(stand) == ["first"])
        assert stand.config_maps.applied.count("llmroute-credentials") == 1


async def test_a_secret_that_may_not_be_written_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself, and its backend hears of it both times."""
    monkeypatch.setattr("controller.operator.config_lane._REFUSED_S", 0.2)
    async with with_key() as stand:
        stand.config_maps.secret_faults.append(Denied("403 no"))
        stand.lane.lead()
        await eventually(lambda: [len(published.unheld) for published in stand.offered] == [1, 0])
        assert credentials(stand) == ["first"]
