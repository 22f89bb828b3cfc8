"""Credentials of every kind that are replaced while requests go on, through real Envoy: nobody notices."""

import asyncio
import contextlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import yaml

from controller.standalone.probes import free_port
from e2e.conftest import Tell
from e2e.support.process import Process
from tests.support.authority import Authority
from tests.support.credential_realm import MARK
from tests.support.credential_stand import CLIENT, Got, Stand, running_cells, secret_of, until_settled
from tests.support.credential_table import AUTHS, FETCHED, FILED, IDENTIFIED
from tests.support.gateway import Document, backend, route, rule
from tests.support.load import short_requests
from tests.support.mutual_tls import MutualTls, mutual_tls
from tests.support.plane import chat
from tests.support.waiting import eventually

pytestmark = pytest.mark.envoy

ROTATED = [auth for auth in AUTHS if auth != "none"]
#: Tokens of this life are fetched anew after three quarters of it.
LIFE_S = 12.0
ROTATIONS, PAUSE_S, LIVE_S = 4, 4.0, 2.0
#: For a client of a kind.
REST_S = 0.02


@dataclass
class Run:
    """What has become of all kinds. ``swaps``: when the volume had another value, monotonic seconds."""

    stand: Stand
    answers: dict[str, list[Got]] = field(default_factory=dict)
    swaps: list[float] = field(default_factory=list)

    def shown(self, auth: str) -> list[tuple[str, float]]:
        """To the upstream, in its order."""
        return [(each.what, each.at) for each in self.stand.realm.shown[name_of(auth)]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """All kinds at once: files and the pod's own token are replaced, while tokens come to their ends by themselves."""
    with running_cells([name_of(auth) for auth in ROTATED], life_s=LIFE_S) as stand:
        stand.realm.known[name_of("passthrough")] |= {f"Bearer {CLIENT}-{number}" for number in range(8)}
        for auth in ROTATED:
            got = until_settled(partial(stand.ask, name_of(auth), headers(auth, 0)))
            assert got.status == 200, got
        stand.realm.shown.clear()
        run = Run(stand)
        asyncio.run(_rotate(run))
        yield run


@pytest.mark.parametrize("auth", ROTATED)
def test_rotated(run: Run, auth: str, tell: Tell) -> None:
    """No request fails; the upstream is shown the old one, then the new one, and soon after the swap only that."""
    answers, shown = run.answers[auth], run.shown(auth)
    live = [_live_after(shown, swap, until) for swap, until in itertools.pairwise([*run.swaps, time.monotonic()])]

    assert Counter(got.status for got in answers) == {200: len(answers)}, [g for g in answers if g.status != 200][:3]
    assert len(answers) > 100
    values = list(dict.fromkeys(what for what, _ in shown))
    if auth in IDENTIFIED:
        assert len(values) >= 2
    elif auth == "passthrough":
        assert len(values) == 8
    else:
        assert len(values) == ROTATIONS + 1
        assert max(live) < LIVE_S
        # Each is taken up once and for all: one worker never shows an old one after a new one.
        assert [what for what, _ in itertools.groupby(shown, key=lambda each: each[0])] == values
        tell(requests=len(answers), live_after_s=max(live))


def test_nobody_was_asked_too_often(run: Run) -> None:
    """A provider gives a token for each value and for each three quarters of a life, not for each request."""
    asked = len(run.stand.realm.asked)

    assert len(FETCHED) * 2 <= asked < len(FETCHED) * (ROTATIONS + 8)


async def test_a_client_certificate(tmp_path: Path, tell: Tell) -> None:
    """A certificate of Envoy's that is replaced in its Secret is shown within two seconds, and no request fails."""
    authority, port = Authority(), free_port()
    folder = authority.serve(tmp_path / "tls", "models.test")
    (folder / "clients.pem").write_text(authority.pem)
    lived: list[float] = []
    with mutual_tls(folder) as upstream, _running(tmp_path, port, _pair(authority, upstream.port, 0)):
        async with short_requests(port, [chat("m")], 4, 0.01) as tally:
            for number in range(1, 4):
                await asyncio.sleep(1)
                began = time.monotonic()
                _write(tmp_path, _pair(authority, upstream.port, number))
                await eventually(partial(_is_shown, upstream, f"gateway-{number}"), "the old one is shown")
                lived.append(time.monotonic() - began)
            await asyncio.sleep(1)

    assert tally.failures == []
    assert {name for name, _ in upstream.shown} == {f"gateway-{number}" for number in range(4)}
    assert {name for name, at in upstream.shown if at > upstream.shown[-1][1] - 0.5} == {"gateway-3"}
    tell(requests=tally.done, live_after_s=max(lived))
    assert max(lived) < LIVE_S


def _is_shown(upstream: MutualTls, name: str) -> bool:
    return upstream.shown[-1][0] == name


def name_of(auth: str) -> str:
    """The cell's."""
    return f"{auth}-rotated"


def headers(auth: str, number: int) -> Mapping[str, str]:
    """Of a client; of passthrough each request has another key."""
    if auth == "fallback":
        return {}
    return {"authorization": f"Bearer {CLIENT}-{number % 8}"}


async def _rotate(run: Run) -> None:
    stand = run.stand
    async with _load(run):
        for number in range(1, ROTATIONS + 1):
            await asyncio.sleep(PAUSE_S)
            for auth in FILED:
                stand.files[name_of(auth)] = secret_of(stand.realm, name_of(auth), number)[1]
            stand.realm.identities.add(f"{MARK}-identity-{number}")
            stand.swap()
            run.swaps.append(time.monotonic())
            stand.identity.write_text(f"{MARK}-identity-{number}")
        await asyncio.sleep(PAUSE_S)


@contextlib.asynccontextmanager
async def _load(run: Run) -> AsyncIterator[None]:
    """A client of each kind that asks one thing after another."""
    enough = asyncio.Event()

    async def client(auth: str) -> None:
        answers = run.answers[auth] = []
        while not enough.is_set():
            answers.append(await asyncio.to_thread(run.stand.ask, name_of(auth), headers(auth, len(answers))))
            await asyncio.sleep(REST_S)

    async with asyncio.TaskGroup() as group:
        for auth in ROTATED:
            group.create_task(client(auth))
        try:
            yield
        finally:
            enough.set()


def _live_after(shown: list[tuple[str, float]], swap: float, next_swap: float) -> float:
    """How long after a swap the last one of the values before it was shown."""
    before = {what for what, at in shown if at < swap}
    return max((at - swap for what, at in shown if swap <= at < next_swap and what in before), default=0.0)


@contextlib.contextmanager
def _running(folder: Path, port: int, documents: Sequence[Document]) -> Iterator[None]:
    """``llmroute run`` on a manifest in ``folder``, ready."""
    manifest = _write(folder, documents)
    process = Process("gateway", [sys.executable, "-m", "controller", "run", manifest, "--port", str(port)], folder)
    try:
        process.until_said("is ready on")
        yield
    finally:
        process.close()


def _write(folder: Path, documents: Sequence[Document]) -> Path:
    """The manifest, all of it at once."""
    draft = folder / "draft"
    draft.write_text(yaml.safe_dump_all(documents))
    return draft.replace(folder / "manifest.yaml")


def _pair(authority: Authority, port: int, number: int) -> list[Document]:
    certificate, key = authority.issue(f"gateway-{number}")
    tls = {"sni": "models.test", "caCertificateRef": {"name": "ours"}, "clientCertificateRef": {"name": "pair"}}
    return [
        route(rule("m", "closed")),
        backend("closed", port, endpoint={"hostname": "localhost", "port": port, "tls": tls}),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}, "data": {"ca.crt": authority.pem}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "pair"},
            "stringData": {"tls.crt": certificate, "tls.key": key},
        },
    ]
