"""A whole processor with credentials of every kind: what it shows to upstreams, and that nobody else ever sees one."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from extproc.exchange.messages import RequestBody, RequestHeaders, ResponseHeaders
from extproc.server.servicer import SERVICE
from extproc.server.worker import SERVER_OPTIONS
from tests.support.processor_client import Talk
from tests.support.supervised import Supervised
from tests.support.token_servers import Answer, TokenServer, sts_refusal, token, token_server
from tests.support.waiting import until

#: Every secret of these tests has it.
MARK = "mArKeD"
#: Two workers that import botocore and google-auth on a machine that is busy with other tests.
START_S = 30.0
ROLE = "arn:aws:iam::123456789012:role/llm"
AUTHS: Mapping[str, Mapping[str, Any]] = {
    "key": {"apiKey": {"file": "key"}},
    "keys": {"aws": {"source": "keys", "file": "keys"}},
    "role": {"aws": {"source": "webIdentity", "roleArn": ROLE}},
    "google": {"gcp": {"source": "serviceAccount", "file": "google"}},
    "pool": {"gcp": {"source": "workloadIdentity", "audience": "a"}},
    "entra": {"azure": {"source": "clientSecret", "tenantId": "t", "clientId": "c", "file": "entra"}},
    "gone": {"apiKey": {"file": "nothing"}},
}
EXPECTED = {
    "key": "ok",
    "keys": "ok",
    "entra": "ok",
    "google": "missing",
    "role": "missing",
    "pool": "missing",
    "gone": "missing",
}


def config() -> str:
    """One rule and one backend of a name for each credential."""
    return json.dumps(
        {
            "version": 2,
            "revision": 1,
            "rules": [
                {
                    "matches": [{"headers": [{"name": "x-ai-eg-model", "value": name}]}],
                    "backends": [{"name": name}],
                    "clientAuth": {"apiKeys": {"file": "callers"}} if name == "gone" else None,
                }
                for name in AUTHS
            ],
            "backends": [
                {"name": name, "outputSchema": {"schema": "OpenAI"}, "auth": auth} for name, auth in AUTHS.items()
            ],
        }
    )


def fill(folder: Path) -> None:
    """Good files, of which one can be no key to Google's library."""
    folder.mkdir()
    (folder / "key").write_text(f"sk-{MARK}")
    (folder / "keys").write_text(f"[default]\naws_access_key_id=AKIA{MARK}\naws_secret_access_key={MARK}\n")
    google = "https://oauth2.googleapis.com/token"
    key = {"type": "service_account", "client_email": "a@b", "private_key": MARK, "token_uri": google}
    (folder / "google").write_text(json.dumps(key))
    (folder / "entra").write_text(f"{MARK}-secret")
    (folder / "callers").write_text(json.dumps({"ann": "0" * 63 + "f"}))


@pytest.fixture
def clouds() -> Iterator[TokenServer]:
    """STS, which repeats what it is told; Google's, which gives nonsense; Entra."""
    with token_server() as found:
        yield found


@pytest.fixture
def processor(tmp_path: Path, clouds: TokenServer) -> Iterator[Supervised]:
    """It says all that it ever says: debug, two workers."""
    identity = tmp_path / "identity"
    identity.write_text(f"{MARK}-identity")
    clouds.answer = lambda asked: (
        token(f"{MARK}-token", 3600)
        if asked.path.startswith("/t/")
        else sts_refusal(MARK, asked.body.decode())
        if b"AssumeRole" in asked.body
        else Answer(500, asked.body)
    )
    fill(tmp_path / "credentials")
    found = Supervised(
        tmp_path,
        *("--credentials", str(tmp_path / "credentials"), "--log-level", "debug", "--workers", "2"),
        config=config(),
        AWS_ENDPOINT_URL_STS=clouds.url,
        AWS_WEB_IDENTITY_TOKEN_FILE=str(identity),
        LLMROUTE_GCP_STS_URL=f"{clouds.url}/sts",
        LLMROUTE_GCP_TOKEN_FILE=str(identity),
        AZURE_AUTHORITY_HOST=clouds.url,
    )
    yield found
    found.close()


async def exchange(
    processor: Supervised, model: str, answer_with: int | None = None
) -> tuple[int, dict[str, str], str]:
    """What a client's request becomes: the status of an answer of the gateway's own or 0, headers, body.

    ``answer_with``: what the upstream makes of it, if anybody asks it.
    """
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
    headers = {
        ":method": "POST",
        ":path": "/v1/chat/completions",
        ":authority": "gateway",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "authorization": "Bearer of-the-client",
    }
    async with grpc.aio.insecure_channel(f"{processor.listen}.0", options=SERVER_OPTIONS) as channel:
        talk = Talk(channel.stream_stream(f"/{SERVICE}/Process")())
        await talk.say(RequestHeaders(headers, end=False))
        answer = await talk.say(RequestBody(body, end=True))
        if answer_with is not None:
            status = {":status": str(answer_with), "content-length": "0"}
            await talk.say(ResponseHeaders(status, end=True, attributes={"response.code_details": "via_upstream"}))
        talk.cancel()
    if answer.HasField("immediate_response"):
        reply = answer.immediate_response
        return reply.status.code, {}, reply.body.decode()
    mutation = answer.request_body.response.header_mutation
    return 0, {h.header.key: h.header.raw_value.decode() for h in mutation.set_headers}, ""


def states(processor: Supervised) -> dict[str, str]:
    """Of the admin page."""
    found = json.loads(processor.ask("/credentials")[1])["credentials"]
    return {credential["backend"]: credential["state"] for credential in found}


async def test_what_is_shown_and_what_is_seen(processor: Supervised, clouds: TokenServer, tmp_path: Path) -> None:
    """Upstreams get their credentials from the first request on, rotated ones too; no output ever holds one."""
    until(processor.ready, "not ready", START_S)
    until(lambda: states(processor) == EXPECTED, "the states are not as expected", START_S)
    outputs = []

    assert (await exchange(processor, "key"))[1]["authorization"] == f"Bearer sk-{MARK}"
    assert (await exchange(processor, "entra"))[1]["authorization"] == f"Bearer {MARK}-token"
    outputs += [await exchange(processor, name) for name in ("google", "role", "pool", "gone")]
    assert all(status in {401, 503} for status, _, _ in outputs), outputs
    assert processor.metric("llmroute_credentials_missing") == 4
    assert processor.metric('llmroute_credential_expiry_timestamp_seconds{backend="entra"}') > 1_700_000_000
    assert processor.metric('llmroute_credential_refresh_total{backend="role",outcome="error"}') >= 1

    (tmp_path / "credentials" / "keys").write_text(f"[default]\naws_access_key_id {MARK}\n")
    (tmp_path / "credentials" / "key").write_text("rotated")
    until(lambda: states(processor)["keys"] == "failing")
    ends = time.monotonic() + START_S
    while (shown := (await exchange(processor, "key"))[1]["authorization"]) != "Bearer rotated":
        assert (shown, time.monotonic() < ends) == (f"Bearer sk-{MARK}", True)
    (tmp_path / "credentials" / "key").unlink()
    until(lambda: states(processor)["key"] == "missing")
    outputs.append(await exchange(processor, "key"))
    assert outputs[-1][0] == 503
    assert "backend 'key' cannot be used" in outputs[-1][2]

    pages = [processor.ask(page)[1] for page in ("/config", "/credentials", "/metrics", "/readyz")]
    assert processor.end() == 0
    everything = "\n".join([*pages, *map(repr, outputs), processor.log()])
    assert any(MARK in asked.body.decode() for asked in clouds.asked)
    assert "google" in everything
    assert MARK not in everything


async def test_a_token_that_an_upstream_refuses_is_fetched_anew(processor: Supervised, clouds: TokenServer) -> None:
    """Revoked before its end, a token costs the requests that meet the refusal, and not those of the next hour."""
    until(processor.ready, "not ready", START_S)
    assert (await exchange(processor, "entra"))[1]["authorization"] == f"Bearer {MARK}-token"
    clouds.answer = lambda _: token("second")
    await exchange(processor, "entra", 401)
    shown = (await exchange(processor, "entra"))[1]["authorization"]
    for _ in range(100):
        if shown == "Bearer second":
            break
        await asyncio.sleep(0.05)
        shown = (await exchange(processor, "entra"))[1]["authorization"]

    assert shown == "Bearer second"


async def test_a_worker_that_hangs_on_a_provider_ends_in_time(
    processor: Supervised, clouds: TokenServer, tmp_path: Path
) -> None:
    """An endpoint that never answers holds up neither the other backends for long, nor the end."""
    clouds.answer = lambda _: Answer(None)
    until(processor.ready, "not ready", START_S)

    assert (await exchange(processor, "key"))[1]["authorization"] == f"Bearer sk-{MARK}"
    status, _, body = await exchange(processor, "entra")
    assert (status, "its access token is being fetched" in body) == (503, True)
    assert processor.end() == 0
