"""TLS as a backend's owner wants it, and the proxy on the way: on a real Envoy, and what is said of what cannot be."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.api.reasons import Reason
from controller.translate import Settings, Snapshot, Translation, translate
from controller.translate.secrets import Place, SecretStore
from tests.support.authority import Authority
from tests.support.connect_proxy import Tunnels, connect_proxy
from tests.support.gateway import Document, backend, route, rule
from tests.support.picking_processor import picking_processor
from tests.support.plain_upstream import plain_upstream
from tests.support.running_envoy import RunningEnvoy, running_envoy
from tests.support.waiting import until

NAME = "models.test"
CA: Document = {"name": "ours"}
Secrets = dict[Place, dict[str, bytes]]


def meaning(tls: Document, secrets: Secrets, port: int = 443, **endpoint: Any) -> Translation:
    """One backend by address."""
    return translated([at(port, tls, **endpoint)], secrets)


def translated(objects: list[Document], secrets: Secrets, folder: Path | None = None) -> Translation:
    settings = Settings() if folder is None else Settings(envoy_secrets=str(folder))
    return translate(replace(Snapshot.of(objects, settings), secrets=SecretStore(dict(secrets))))


def at(port: int, tls: Document, name: str = "up", **endpoint: Any) -> Document:
    return backend(name, port, endpoint={"hostname": "localhost", "port": port, "tls": tls, **endpoint})


def findings(translation: Translation) -> list[tuple[Reason, str, str]]:
    """What there is to say of the backend, but that nobody uses it."""
    return [(f.reason, f.path, f.message) for f in translation.findings if f.reason is not Reason.UNUSED_BACKEND]


def ours(authority: Authority) -> Secrets:
    return {("ConfigMap", "default", "ours"): {"ca.crt": authority.pem.encode()}}


def pair(authority: Authority) -> Secrets:
    certificate, key = authority.issue("gateway.test")
    return {("Secret", "default", "pair"): {"tls.crt": certificate.encode(), "tls.key": key.encode()}}


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The upstreams'."""
    return Authority()


@pytest.fixture(scope="module")
def upstreams(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of one that serves everybody, and of one that asks for a certificate of the same authority."""
    folder = tmp_path_factory.mktemp("tls")
    closed = authority.serve(folder / "closed", NAME)
    (closed / "clients.pem").write_text(authority.pem)
    with plain_upstream(authority.serve(folder / "open", NAME)) as everybody, plain_upstream(closed) as known:
        yield everybody, known


@pytest.fixture(scope="module")
def tunnels(upstreams: tuple[int, int]) -> Iterator[Tunnels]:
    """A proxy that knows the name, which no DNS does."""
    with connect_proxy(lambda target: upstreams[0] if target == f"{NAME}:443" else None) as found:
        yield found


@pytest.fixture(scope="module")
def envoy(
    authority: Authority,
    upstreams: tuple[int, int],
    tunnels: Tunnels,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningEnvoy, Mapping[str, str]]]:
    """An Envoy with a backend for each way, and the keys of their routes."""
    folder, secrets = tmp_path_factory.mktemp("envoy"), tmp_path_factory.mktemp("secrets")
    everybody, known = upstreams
    trusted = {"sni": NAME, "caCertificateRef": CA}
    proxy = {"hostname": "localhost", "port": tunnels.port}
    objects = [
        at(everybody, trusted, "trusted"),
        at(everybody, {"sni": NAME}, "untrusted"),
        at(everybody, {"caCertificateRef": CA}, "misnamed"),
        at(everybody, {"insecureSkipVerify": True}, "unchecked"),
        at(known, trusted, "unknown"),
        at(known, {**trusted, "clientCertificateRef": {"name": "pair"}}, "known"),
        at(443, {"caCertificateRef": CA}, "proxied", hostname=NAME, proxy=proxy),
        at(443, {"caCertificateRef": CA}, "refused", hostname="elsewhere.test", proxy=proxy),
    ]
    translation = translated(objects, {**ours(authority), **pair(authority)}, secrets)
    for file, content in translation.envoy_secrets.items():
        (secrets / file).write_bytes(content)
    routes = translation.envoy.rds["resources"][0]["virtual_hosts"][0]["routes"]
    keys = {route["name"].partition("@")[0].partition("/")[2]: route["name"] for route in routes}
    socket = folder / "p.sock"
    with picking_processor(socket), running_envoy(folder, translation.envoy, f"unix://{socket}") as running:
        until(lambda: running.stat("cluster.llmroute-extproc.membership_healthy") == 1)
        until(lambda: running.stat("cluster_manager.warming_clusters") == 0)
        yield running, keys


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("trusted", 200),
        ("untrusted", 503),
        ("misnamed", 503),
        ("unchecked", 200),
        ("unknown", 503),
        ("known", 200),
        ("proxied", 200),
        ("refused", 503),
    ],
)
def test_only_an_upstream_is_spoken_to_that_is_who_it_should_be(
    envoy: tuple[RunningEnvoy, Mapping[str, str]], name: str, status: int
) -> None:
    """By our authorities and its name, unless nobody is to check; and it knows us by our certificate if it asks."""
    running, keys = envoy
    assert running.post("/v1/chat/completions", {"x-pick": keys[name]}).status == status


def test_a_proxy_looks_up_the_name_and_a_tunnel_is_used_again(
    envoy: tuple[RunningEnvoy, Mapping[str, str]], tunnels: Tunnels
) -> None:
    """The upstream sees its own host; the proxy sees the name once for several requests."""
    running, keys = envoy
    for _ in range(3):
        answer = running.post("/v1/chat/completions", {"x-pick": keys["proxied"]}, b"x" * 100_000)
        assert (answer.json()["headers"]["host"], answer.json()["length"]) == (NAME, 100_000)

    assert tunnels.asked.count(f"{NAME}:443") == 1


def test_the_key_stays_out_of_all_but_its_file(authority: Authority) -> None:
    """Envoy's clusters, the processor's configuration and whatever shows a translation name the file alone."""
    translation = meaning({"clientCertificateRef": {"name": "pair"}}, pair(authority))

    [(file, content)] = translation.envoy_secrets.items()
    [secret] = json.loads(content)["resources"]
    assert secret["name"] == file
    assert "PRIVATE KEY" in secret["tls_certificate"]["private_key"]["inline_string"]
    assert "PRIVATE KEY" not in repr(translation) + json.dumps(translation.envoy.cds)
    assert file in json.dumps(translation.envoy.cds)


def test_a_renewed_certificate_is_the_same_file_for_the_same_upstream(authority: Authority) -> None:
    """Envoy reads the file again; nothing else changes."""
    first, second = (meaning({"clientCertificateRef": {"name": "pair"}}, pair(authority)) for _ in range(2))

    assert first.envoy_secrets.keys() == second.envoy_secrets.keys()
    assert first.envoy_secrets != second.envoy_secrets
    assert first.envoy == second.envoy
    assert first.config == second.config


@pytest.mark.parametrize(
    ("secrets", "reason", "path", "message"),
    [
        ({}, Reason.CREDENTIAL_NOT_FOUND, ".name", 'ConfigMap "ours" not found in namespace "default"'),
        ({"ca.pem": b"x"}, Reason.CREDENTIAL_KEY_NOT_FOUND, ".key", 'has no key "ca.crt"'),
        ({"ca.crt": b" "}, Reason.CREDENTIAL_KEY_NOT_FOUND, ".key", "is empty"),
        ({"ca.crt": b"x"}, Reason.CREDENTIAL_MALFORMED, "", "must hold certificates in PEM and nothing else"),
        ({"ca.crt": b"\xff"}, Reason.CREDENTIAL_MALFORMED, "", "must hold certificates in PEM and nothing else"),
        ({"ca.crt": b"x" * 65_537}, Reason.CREDENTIAL_MALFORMED, "", "has 65537 bytes, and at most 65536 can be used"),
        (
            {"ca.crt": b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"},
            Reason.CREDENTIAL_MALFORMED,
            "",
            "has a block of PEM that is not base64",
        ),
        (
            {"ca.crt": b"-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n"},
            Reason.CREDENTIAL_MALFORMED,
            "",
            "has something as certificate 1 that is none",
        ),
    ],
)
def test_what_is_wrong_with_authorities_is_said(
    secrets: dict[str, bytes], reason: Reason, path: str, message: str
) -> None:
    """By the field and the key, never by the content; the backend keeps its share, and Envoy has no way there."""
    held: Secrets = {("ConfigMap", "default", "ours"): secrets} if secrets else {}
    translation = meaning({"caCertificateRef": CA}, held)

    [(found, where, said)] = findings(translation)
    assert (found, where) == (reason, f"spec.endpoint.tls.caCertificateRef{path}")
    assert message in said
    assert [up.refusal for up in translation.config.backends] == [
        "a certificate that it needs is missing or cannot be used"
    ]
    assert translation.envoy.cds["resources"] == []
    assert translation.envoy.rds["resources"][0]["virtual_hosts"][0]["routes"] == []
    assert translation.envoy_secrets == {}


def test_a_share_of_the_traffic_stays_with_a_backend_without_its_certificate(authority: Authority) -> None:
    """Its rule has both backends with their weights, before and after; and says what is lacking."""
    tls = {"clientCertificateRef": {"name": "pair"}}
    objects = [route(rule("m", "up", "other")), at(443, tls), backend("other", 80)]
    whole, lacking = translated(objects, pair(authority)), translated(objects, {})

    assert [one.name for one in lacking.config.rules[0].backends] == ["default/up", "default/other"]
    assert lacking.config.rules == whole.config.rules
    assert [(one.name, one.refusal is None) for one in lacking.config.backends] == [
        ("default/other", True),
        ("default/up", False),
    ]
    [said] = [f.message for f in lacking.findings if f.reason is Reason.BACKEND_WITHOUT_CREDENTIAL]
    assert said.startswith('LLMBackend "up" lacks a certificate, without which it answers 503')


def test_a_processor_that_cannot_refuse_is_not_told_of_it() -> None:
    """One of the version before would send requests to where Envoy has no way; it has the others take them."""
    objects = [at(443, {"clientCertificateRef": {"name": "pair"}})]

    assert translate(Snapshot.of(objects, Settings(config_version=1))).config.backends == ()


def test_every_file_has_an_owner(authority: Authority) -> None:
    """Whoever writes the files can tell the object that one was made for."""
    translation = meaning({"clientCertificateRef": {"name": "pair"}}, pair(authority))

    assert {file: str(owner) for file, owner in translation.file_owners.items()} == dict.fromkeys(
        translation.envoy_secrets, "LLMBackend default/up"
    )


@pytest.mark.parametrize("missing", ["tls.crt", "tls.key"])
def test_half_a_pair_is_none(authority: Authority, missing: str) -> None:
    """A certificate needs its key, and the other way round; neither can stand in for the other."""
    [(place, data)] = pair(authority).items()
    lacking = {key: value for key, value in data.items() if key != missing}
    swapped = {"tls.crt": data["tls.key"], "tls.key": data["tls.crt"]}

    [(reason, path, _)] = findings(meaning({"clientCertificateRef": {"name": "pair"}}, {place: lacking}))
    assert (reason, path) == (Reason.CREDENTIAL_KEY_NOT_FOUND, "spec.endpoint.tls.clientCertificateRef.key")
    [(reason, _, said)] = findings(meaning({"clientCertificateRef": {"name": "pair"}}, {place: swapped}))
    assert reason is Reason.CREDENTIAL_MALFORMED
    assert "PRIVATE" not in said


def test_a_certificate_that_nobody_checks_is_a_warning() -> None:
    """The backend is used, as its owner has spelled out."""
    translation = meaning({"insecureSkipVerify": True}, {})

    assert [found[:2] for found in findings(translation)] == [
        (Reason.CERTIFICATE_UNCHECKED, "spec.endpoint.tls.insecureSkipVerify")
    ]
    assert len(translation.config.backends) == 1
