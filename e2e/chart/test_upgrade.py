"""``helm upgrade`` and ``helm rollback`` under load: every pod is replaced, and no request notices."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.chart.conftest import NewRelease
from e2e.conftest import Tell
from e2e.support.pod_history import followed
from e2e.support.pod_node import GATEWAY
from e2e.support.release import CHART, Installed, merged, routed
from e2e.support.status import until_says
from tests.support.load import Streamed, Tally, numbered, short_requests, streams
from tests.support.sdk import sdk
from tests.support.upstreams import running_upstream

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}
#: A stream of 4 s: longer than a pod takes to go, shorter than it may.
_PARTS, _PAUSE_S = 20, 0.2
_ASKING, _STREAMING = 3, 2
#: For all pods to be replaced; twice, and all that goes before and after, is within the test's own limit.
_PHASE_S = 150.0
#: The chart's own, but for times: the DNS of these tests keeps nothing, no load balancer is slow. The provider is near.
_VALUES: Mapping[str, Any] = {
    "operator": {"localEndpoints": True},
    "extproc": {"discoverySeconds": 3, "drainTimeoutSeconds": 30},
    "envoy": {"drain": {"minSeconds": 3, "maxSeconds": 30}},
}
#: What an upgrade may change besides: arguments of all three, Envoy's bootstrap, the number of workers.
_CHANGED = merged(
    _VALUES,
    {
        "logLevel": "warning",
        "operator": {"resyncSeconds": 30},
        "extproc": {"workers": 1},
        "envoy": {"concurrency": 1, "maxConnections": 10000},
    },
)


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The chart as it was before: another version, so other images, and other labels on every pod."""
    folder = tmp_path / "previous"
    shutil.copytree(CHART, folder)
    described = yaml.safe_load((folder / "Chart.yaml").read_text())
    (folder / "Chart.yaml").write_text(yaml.safe_dump({**described, "version": "0.0.1", "appVersion": "0.0.1"}))
    return folder


@pytest.fixture
def gateway(new_release: NewRelease, previous: Path) -> Iterator[Installed]:
    """The previous chart with its values, serving the model ``m``, slowly where it streams."""
    with new_release() as made, running_upstream() as upstream:
        upstream.answer_with(numbered(_PARTS, _PAUSE_S))
        made.install(_VALUES, previous)
        made.until_rolled_out()
        made.kubectl.apply(routed(made.provider(upstream.port)))
        until_says(made.api, "LLMRoute", made.namespace, "to-one", WRITTEN, 30)
        yield made


def under_load(port: int, work: Callable[[], None]) -> tuple[Tally, list[Streamed]]:
    """Do something while requests and streams go on; what became of them."""

    async def go() -> tuple[Tally, list[Streamed]]:
        async with (
            streams(port, [body(stream=True)], _STREAMING, _PARTS) as seen,
            short_requests(port, [body(stream=False)], _ASKING, pause_s=0.02) as tally,
        ):
            await asyncio.sleep(1)
            await asyncio.to_thread(work)
            await asyncio.sleep(1)
        return tally, seen

    return asyncio.run(go())


def body(*, stream: bool) -> bytes:
    """A chat."""
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    return json.dumps(asked).encode()


@pytest.mark.timeout(600)
def test_upgrade_and_rollback(gateway: Installed, tell: Tell) -> None:
    """To this chart and other values, and back: all pods are new each time, no request fails and no stream breaks.

    A route that comes in the middle is served as well, and one that goes takes nobody along.
    """
    url = gateway.url()
    gateway.until_served(url, "m")
    port = int(url.rpartition(":")[2])
    first = {each.uid for each in gateway.pods()}
    late = routed((GATEWAY, 9), "late", "late")

    def up() -> None:
        gateway.upgrade(_CHANGED)
        gateway.kubectl.apply(late)
        gateway.until_rolled_out(_PHASE_S)

    def back() -> None:
        gateway.rollback(1)
        gateway.kubectl("delete", "llmroute,llmbackend", "to-late", "late", "--ignore-not-found")
        gateway.until_rolled_out(_PHASE_S)

    for name, work, served in (("upgrade", up, {"m", "late"}), ("rollback", back, {"m"})):
        with followed(gateway.host, gateway.namespace, gateway.name, "http") as history:
            tally, seen = under_load(port, work)
        broken = [f"{each.began:.3f} to {each.ended:.3f}: {each.fault}" for each in seen if each.fault]
        tell(of=name, requests=tally.done, failed=len(tally.failures), streams=len(seen), broken=len(broken))
        assert (tally.failures[:20], broken[:20]) == ([], []), f"{history.text()}\n{gateway.story()}"
        assert tally.done > 50
        now = {each.uid for each in gateway.pods()}
        assert len(now) == 6
        assert not first & now
        first = now
        with sdk(url) as client:
            assert {each.id for each in client.models.list()} == served
    assert gateway.refused() == []
