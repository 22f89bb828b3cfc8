"""``helm upgrade`` and ``helm rollback`` under load: every pod is replaced, and no request notices."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from e2e.chart.conftest import NewRelease
from e2e.conftest import Tell
from e2e.support.release import CHART, SMALL, Installed, merged, routed
from e2e.support.status import until_says
from tests.support.load import Streamed, Tally, numbered, short_requests, streams
from tests.support.upstreams import running_upstream

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}
#: A stream of 4 s: longer than a pod takes to go, shorter than it may.
_PARTS, _PAUSE_S = 20, 0.2
_ASKING, _STREAMING = 3, 2
_VALUES = merged(
    SMALL, {"envoy": {"drain": {"minSeconds": 3, "maxSeconds": 30}}, "extproc": {"drainTimeoutSeconds": 30}}
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


def test_upgrade_and_rollback(gateway: Installed, tell: Tell) -> None:
    """To this chart and other values, and back: all pods are new each time, no request fails and no stream breaks."""
    url = gateway.url()
    gateway.until_served(url, "m")
    port = int(url.rpartition(":")[2])
    first = {each.uid for each in gateway.pods()}
    changed = merged(_VALUES, {"extproc": {"workers": 2}, "logLevel": "warning"})

    def up() -> None:
        gateway.upgrade(changed)
        gateway.until_rolled_out(120)

    def back() -> None:
        gateway.rollback(1)
        gateway.until_rolled_out(120)

    for name, work in (("upgrade", up), ("rollback", back)):
        tally, seen = under_load(port, work)
        broken = [each.fault for each in seen if each.fault]
        tell(of=name, requests=tally.done, failed=len(tally.failures), streams=len(seen), broken=len(broken))
        assert (tally.failures[:5], broken[:5]) == ([], []), gateway.story()
        assert tally.done > 50
        assert not first & {each.uid for each in gateway.pods()}
        first = {each.uid for each in gateway.pods()}
    assert gateway.refused() == []
