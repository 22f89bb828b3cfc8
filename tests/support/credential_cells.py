"""Backends of every kind of ``auth`` behind every endpoint, and what arrives at them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec.structs import replace

from extproc.config.auth import Auth
from extproc.config.loader import load
from extproc.credentials.held import AwsKeys, Held, Token
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import Action, RequestBody, RequestHeaders
from tests.support.exchange_driver import EDGES, chat, proceed, request_headers

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
#: Endpoint: the schema of its backend, the path, and the model's name upstream.
ENDPOINTS: Mapping[str, tuple[str, str, str | None]] = {
    "passed": ("OpenAI", "/v1/chat/completions", None),
    "passed-anthropic": ("Anthropic", "/v1/messages", None),
    "translated": ("AWSBedrock", "/v1/chat/completions", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x"),
    "translated-gemini": ("Gemini", "/v1/messages", "gemini-3-pro"),
    "hosted": ("AWSAnthropic", "/v1/messages", CLAUDE),
    "counted": ("AWSBedrock", "/v1/messages/count_tokens", CLAUDE),
    "embedded": ("AWSBedrock", "/v1/embeddings", "amazon.titan-embed-text-v2:0"),
    "embeddings": ("OpenAI", "/v1/embeddings", None),
    "form": ("OpenAI", "/v1/audio/transcriptions", None),
}
AUTHS: Mapping[str, dict[str, Any] | None] = {
    "absent": None,
    "apiKey": {"apiKey": {"file": "f"}},
    "header": {"apiKey": {"file": "f", "header": "X-Team-Key", "prefix": "Key "}},
    "aws": {"aws": {"source": "keys", "file": "f"}},
    "bedrockAPIKey": {"aws": {"source": "bedrockAPIKey", "file": "f"}},
    "gcp": {"gcp": {}},
    "azure": {"azure": {"source": "clientSecret", "tenantId": "t", "clientId": "c", "file": "f"}},
    "passthrough": {"passthrough": {}},
    "named": {"passthrough": {"header": "X-Mine"}},
    "fallback": {"passthrough": {"file": "f"}},
    "none": {"none": {}},
}
#: Those that show a credential of the gateway's own to a client that has none.
OWN = ("apiKey", "header", "aws", "bedrockAPIKey", "gcp", "azure", "fallback")
MARKER = "mArKeR-s3cr3t"
TOKEN = Token(f"{MARKER}-token")
KEYS = AwsKeys("AKIAEXAMPLE", f"{MARKER}-secret", f"{MARKER}-session")
BOUNDARY = "b0undary"


def _config() -> bytes:
    backends, rules = [], []
    for auth, said in AUTHS.items():
        for endpoint, (schema, _, override) in ENDPOINTS.items():
            name = f"{auth}.{endpoint}"
            shown = {} if said is None else {"auth": said}
            backends.append({"name": name, "outputSchema": {"schema": schema}, "host": HOST, **shown})
            chosen = {"name": name, **({} if override is None else {"modelNameOverride": override})}
            rules.append({"headers": [{"name": "x-ai-eg-model", "value": name}], "backends": [chosen]})
    return json.dumps({"version": 2, "backends": backends, "rules": rules}).encode()


GATEWAY = Gateway.compile(load(_config()))


def valid_for(auth: str) -> Held:
    """A good credential of the kind that ``auth`` asks for."""
    return KEYS if auth == "aws" else TOKEN


def _form(model: str) -> bytes:
    parts = (f'name="model"\r\n\r\n{model}', 'name="file"; filename="a.wav"\r\n\r\nxyz')
    told = "".join(f"--{BOUNDARY}\r\nContent-Disposition: form-data; {part}\r\n" for part in parts)
    return f"{told}--{BOUNDARY}--\r\n".encode()


def body_of(auth: str, endpoint: str) -> bytes:
    """What a client sends there."""
    name, path = f"{auth}.{endpoint}", ENDPOINTS[endpoint][1]
    if endpoint == "form":
        return _form(name)
    if path == "/v1/embeddings":
        return json.dumps({"model": name, "input": "x"}).encode()
    return chat(name, max_tokens=9)


class Cell:
    """One request through one backend. ``asked``: the names for which a credential was looked up."""

    def __init__(
        self, auth: str, endpoint: str, held: Held, more: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> None:
        self.asked: list[str] = []
        event = request_headers(ENDPOINTS[endpoint][1])
        typed = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"} if endpoint == "form" else {}
        self.sent = {**event.headers, **typed, **(more or {})}
        self._body = body_of(auth, endpoint) if body is None else body

        def look_up(backend: str, said: Auth) -> Held:
            self.asked.append(backend)
            assert said == GATEWAY.auths[backend]
            return held

        self.exchange = Exchange(GATEWAY, replace(EDGES, credential=look_up))
        self.exchange.receive(RequestHeaders(self.sent, end=False))
        self.action: Action = self.exchange.receive(RequestBody(self._body, end=True))

    @property
    def arrived(self) -> dict[str, str]:
        """The headers with which the upstream gets it."""
        action = proceed(self.action)
        kept = {name: value for name, value in self.sent.items() if name not in action.remove_headers}
        return {**kept, **dict(action.set_headers)}

    @property
    def body(self) -> bytes:
        """The body with which the upstream gets it."""
        action = proceed(self.action)
        return self._body if action.body is None else action.body


def signature_of(cell: Cell, keys: AwsKeys) -> str:
    """What botocore makes of the request as it arrived: the value of ``authorization``."""
    arrived = cell.arrived
    request = AWSRequest(
        method=arrived[":method"],
        url=f"https://{HOST}{arrived[':path']}",
        data=cell.body,
        headers={"content-type": arrived["content-type"]},
    )
    at = datetime.fromtimestamp(EDGES.wall(), UTC)
    with patch.object(botocore.auth, "get_current_datetime", lambda: at):
        theirs = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
        botocore.auth.SigV4Auth(theirs, "bedrock", "us-east-1").add_auth(request)
    return str(request.headers["authorization"])
