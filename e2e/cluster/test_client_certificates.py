"""Mutual TLS from users' Secrets and ConfigMaps, by operator and Envoy's volume, to an upstream that asks who calls.

Envoy has its volume where the chart mounts it, or its file of clusters would name certificates that are not there.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.chart import CONFIG_DIRECTORY
from e2e.cluster.conftest import fresh_name
from e2e.conftest import Tell
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import ENVOY_SECRETS
from e2e.support.private_mount import why_no_mount
from e2e.support.secrets import forms_of, outputs, put_secret
from e2e.support.stand import Stand, placed, running_stand
from e2e.support.status import conditions, until_says
from tests.support.authority import Authority
from tests.support.gateway import backend, route, rule
from tests.support.load import Client, Got
from tests.support.mutual_tls import MutualTls, mutual_tls
from tests.support.plane import chat
from tests.support.upstreams import Upstream
from tests.support.waiting import until

NAME = "models.test"
GOOD = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True", "Serving": "True"}
_LIMIT_S = 25.0


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    if reason := why_no_mount(tmp_path_factory.mktemp("mount") / "tried", Path(CONFIG_DIRECTORY)):
        pytest.skip(reason)
    # Nobody can ask Envoy what it uses: a certificate stays twice this long, which is four minutes by default.
    folder, flags = tmp_path_factory.mktemp("stand"), ("--log-level", "debug", "--removal", "2")
    name = fresh_name("certificates")
    with running_stand(control_plane, folder, name, *flags, log_level="debug", mounted=True) as stand:
        yield stand


@dataclass(frozen=True)
class Closed:
    """An upstream that lets in whom its authority has signed."""

    authority: Authority
    upstream: MutualTls

    @property
    def shown(self) -> str:
        """By which name it was asked last; empty: nobody came in."""
        return self.upstream.shown[-1][0] if self.upstream.shown else ""


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    authority = Authority()
    folder = authority.serve(tmp_path_factory.mktemp("tls") / "closed", NAME)
    (folder / "clients.pem").write_text(authority.pem)
    with mutual_tls(folder) as upstream:
        yield Closed(authority, upstream)


@pytest.fixture
def trusted(stand: Stand, namespace: str, closed: Closed) -> None:
    """The upstream's authority is in a ConfigMap."""
    put_config_map(stand, namespace, "ours", closed.authority.pem)


def apply(stand: Stand, namespace: str, closed: Closed, up: Upstream, **tls: Any) -> str:
    """A backend at the closed upstream, one that is open to all, a route to each; the model of the first."""
    ours = {"sni": NAME, "caCertificateRef": {"name": "ours"}, "clientCertificateRef": {"name": "pair"}, **tls}
    endpoint = {"hostname": "localhost", "port": closed.upstream.port, "tls": ours}
    rules = [rule(f"{namespace}-closed", "closed"), rule(f"{namespace}-other", "other")]
    documents = [route(*rules), backend("closed", 1, endpoint=endpoint), backend("other", up.port)]
    for document in placed(namespace, documents):
        stand.api.apply(document)
    return f"{namespace}-closed"


def put_pair(stand: Stand, namespace: str, pair: tuple[str, str], name: str = "pair") -> None:
    put_secret(stand.api, namespace, name, **dict(zip(("tls.crt", "tls.key"), pair, strict=True)))


def put_config_map(stand: Stand, namespace: str, name: str, pem: str) -> None:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}
    stand.api.apply({**document, "data": {"ca.crt": pem}})


def until_lacking(stand: Stand, namespace: str, reason: str) -> str:
    """Its message once the backend is not resolved for this reason; it answers 503, and the other one 200."""

    def resolved() -> dict[str, str]:
        return conditions(stand.api.get("LLMBackend", namespace, "closed")).get("ResolvedRefs", {})

    until(lambda: resolved().get("reason") == reason, f"it is not {reason}", _LIMIT_S)
    assert resolved()["status"] == "False"
    until_refused(stand, namespace, "cannot be used")
    return resolved()["message"]


def until_refused(stand: Stand, namespace: str, why: str) -> None:
    """The client's dialect names the backend and why, and nothing that it lacks; others go on."""
    refused = stand.until_answers(f"{namespace}-closed", 503, why, _LIMIT_S)
    assert f"{namespace}/closed" in refused.message
    assert set(refused.body["error"]) == {"message", "type", "param", "code"}
    assert not any(word in refused.message for word in ("pair", "ours", "PRIVATE"))
    stand.until_answers(f"{namespace}-other", 200)


def until_shown(stand: Stand, closed: Closed, model: str, name: str) -> None:
    """Returns when a request is answered by the upstream, to which this name was shown."""
    until(lambda: stand.ask(model).status == 200 and closed.shown == name, f"{name} is not shown", _LIMIT_S)


def until_only_shown(closed: Closed, name: str) -> None:
    """Returns when that is shown in twenty requests in a row."""
    until(lambda: {each for each, _ in closed.upstream.shown[-20:]} == {name}, f"not only {name} is shown", _LIMIT_S)


@pytest.mark.usefixtures("trusted")
def test_a_life(stand: Stand, namespace: str, closed: Closed, up: Upstream, tell: Tell) -> None:
    """Missing, half, mixed up: 503 and the reason; whole it is shown; deleted it is no more, and its file goes."""
    issue = closed.authority.issue
    model = apply(stand, namespace, closed, up)
    assert 'Secret "pair" not found' in until_lacking(stand, namespace, "SecretNotFound")
    certificate, key = issue(f"{namespace}-first")
    put_secret(stand.api, namespace, "pair", **{"tls.crt": certificate})
    assert 'no key "tls.key"' in until_lacking(stand, namespace, "SecretKeyNotFound")
    put_pair(stand, namespace, (certificate, issue("else")[1]))
    assert "not the key of the certificate" in until_lacking(stand, namespace, "SecretMalformed")

    began = time.monotonic()
    put_pair(stand, namespace, (certificate, key))
    until_shown(stand, closed, model, f"{namespace}-first")
    tell(answered_after_s=time.monotonic() - began)
    until_says(stand.api, "LLMBackend", namespace, "closed", GOOD)
    assert stand.ask(f"{namespace}-other").status == 200
    assert len(_files(stand, namespace)) == 1

    stand.api.delete("Secret", namespace, "pair")
    until_lacking(stand, namespace, "SecretNotFound")
    until(lambda: not _files(stand, namespace), "the file stays", _LIMIT_S)
    put_pair(stand, namespace, issue(f"{namespace}-second"))
    until_shown(stand, closed, model, f"{namespace}-second")


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_authorities(stand: Stand, namespace: str, closed: Closed, up: Upstream, kind: str) -> None:
    """Without them, and with others than the upstream's, nothing is sent; with both the old and the new it is."""
    put_pair(stand, namespace, closed.authority.issue(f"{namespace}-us"))
    model = apply(stand, namespace, closed, up, caCertificateRef={"name": "theirs", "kind": kind})

    def put(pem: str) -> None:
        if kind == "ConfigMap":
            put_config_map(stand, namespace, "theirs", pem)
        else:
            put_secret(stand.api, namespace, "theirs", **{"ca.crt": pem})

    assert f'{kind} "theirs" not found' in until_lacking(stand, namespace, "SecretNotFound")
    others = Authority("somebody else").pem
    put(others)
    until_says(stand.api, "LLMBackend", namespace, "closed", GOOD)
    until_refused(stand, namespace, "CERTIFICATE_VERIFY_FAILED")
    assert closed.shown != f"{namespace}-us"
    put(others + closed.authority.pem)
    until_shown(stand, closed, model, f"{namespace}-us")
    stand.api.delete(kind, namespace, "theirs")
    until_lacking(stand, namespace, "SecretNotFound")


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("why", ["EXPIRED", "UNKNOWN_CA"])
def test_one_that_the_upstream_does_not_take(
    stand: Stand, namespace: str, closed: Closed, up: Upstream, why: str
) -> None:
    """The upstream alone knows why, and the 503 has its words; others go on, and once replaced the next is shown."""
    bad = closed.authority.issue("old", days=-0.5) if why == "EXPIRED" else Authority("stranger").issue("stranger")
    put_pair(stand, namespace, bad)
    model = apply(stand, namespace, closed, up)
    until_says(stand.api, "LLMBackend", namespace, "closed", GOOD)
    until_refused(stand, namespace, why)
    put_pair(stand, namespace, closed.authority.issue(f"{namespace}-new"))
    until_shown(stand, closed, model, f"{namespace}-new")


@pytest.mark.usefixtures("trusted")
async def test_rotation_under_load(stand: Stand, namespace: str, closed: Closed, up: Upstream, tell: Tell) -> None:
    """Another certificate in the Secret, then another Secret: no request fails, and the new one is shown."""
    *names, last = (f"{namespace}-{number}" for number in range(5))
    put_pair(stand, namespace, closed.authority.issue(names[0]))
    model = apply(stand, namespace, closed, up)
    await asyncio.to_thread(until_shown, stand, closed, model, names[0])
    await asyncio.to_thread(until_says, stand.api, "LLMBackend", namespace, "closed", GOOD)
    since = len(closed.upstream.shown)
    answers: list[Got] = []
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(_ask_on(stand.data.envoy.port, model, answers, enough))
        await asyncio.to_thread(until, lambda: len(closed.upstream.shown) > since + 1, "nobody asks")
        for name in names[1:]:
            await asyncio.to_thread(put_pair, stand, namespace, closed.authority.issue(name))
            await asyncio.to_thread(until_only_shown, closed, name)
        await asyncio.to_thread(put_pair, stand, namespace, closed.authority.issue(last), "another")
        await asyncio.to_thread(apply, stand, namespace, closed, up, clientCertificateRef={"name": "another"})
        await asyncio.to_thread(until_only_shown, closed, last)
        enough.set()

    tell(requests=len(answers), rotations=len(names))
    assert Counter((got.status, got.fault) for got in answers) == {(200, ""): len(answers)}
    assert {name for name, _ in closed.upstream.shown[since:]} == {*names, last}


@pytest.mark.usefixtures("trusted")
def test_a_restart_writes_nothing(stand: Stand, namespace: str, closed: Closed, up: Upstream) -> None:
    """Equal certificates are equal files, to the byte, and Envoy goes on with them meanwhile."""
    put_pair(stand, namespace, closed.authority.issue(f"{namespace}-us"))
    model = apply(stand, namespace, closed, up)
    until_shown(stand, closed, model, f"{namespace}-us")
    until_says(stand.api, "LLMBackend", namespace, "closed", GOOD)
    stand.until_settled()
    until(lambda: stand.files_of_secret(ENVOY_SECRETS).keys() == _files(stand, namespace).keys(), "others stay", 30)
    before, since = stand.api.get("Secret", stand.namespace, ENVOY_SECRETS), len(stand.operator.asked())

    assert stand.operator.terminate() == 0
    assert stand.ask(model).status == 200
    stand.operator.start()
    stand.operator.wait_ready()
    until(lambda: stand.operator.metric("llmroute_controller_config_version") > 0, "no pod was asked", 40)

    assert stand.operator.writes(since) == []
    assert stand.api.get("Secret", stand.namespace, ENVOY_SECRETS) == before
    assert stand.ask(model).status == 200


@pytest.mark.usefixtures("trusted")
def test_nobody_is_shown_a_key(stand: Stand, namespace: str, closed: Closed, up: Upstream) -> None:
    """Good and bad pairs, at debug level: no line of a key is in a log, status, Event, ConfigMap or page."""
    good = closed.authority.issue(f"{namespace}-us")
    put_pair(stand, namespace, good)
    model = apply(stand, namespace, closed, up)
    until_shown(stand, closed, model, f"{namespace}-us")
    assert _lines(good[1])[0] in json.dumps([file.decode() for file in _files(stand, namespace).values()])
    bad = closed.authority.issue("else")
    put_pair(stand, namespace, (good[0], bad[1]))
    until_lacking(stand, namespace, "SecretMalformed")
    for place, text in outputs(stand):
        for line in (*_lines(good[1]), *_lines(bad[1])):
            assert not any(form in text for form in forms_of(line)), f"{place} has a line of a key"


def _lines(pem: str) -> list[str]:
    """Those of a key that are nobody else's: the first one begins as that of any key of its kind."""
    return pem.splitlines()[2:-1]


def _files(stand: Stand, namespace: str) -> dict[str, bytes]:
    """Of this namespace, in the Secret that Envoy's pods mount."""
    files = stand.files_of_secret(ENVOY_SECRETS)
    return {name: content for name, content in files.items() if name.startswith(f"_tls.{namespace}.")}


async def _ask_on(port: int, model: str, answers: list[Got], enough: asyncio.Event) -> None:
    async with Client(port) as client:
        while not enough.is_set():
            answers.append(await client.ask(chat(model)))
            await asyncio.sleep(0.01)
