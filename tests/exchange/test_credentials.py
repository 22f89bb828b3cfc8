"""Whose credential reaches an upstream, in which form, and what a client is told when none can."""

import gzip
import itertools
from typing import Any

import msgspec
import pytest

from extproc.credentials.held import AwsKeys, Held, Missing, Token
from extproc.exchange.messages import Action, Proceed, Reply, ResponseBody, ResponseTrailers
from tests.support.credential_cells import (
    AUTHS,
    ENDPOINTS,
    KEYS,
    MARKER,
    OWN,
    TOKEN,
    Cell,
    signature_of,
    valid_for,
)
from tests.support.every_case import every_case
from tests.support.exchange_driver import error_of, proceed, reply, response_headers

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS)
FORMS = {"OpenAI": "authorization", "Anthropic": "x-api-key", "Gemini": "x-goog-api-key"}
#: What a client may try to get in with, or to act with, at an upstream that knows the gateway.
SPOOFED = {
    "authorization": "Bearer spoofed",
    "x-api-key": "spoofed",
    "api-key": "spoofed",
    "x-goog-api-key": "spoofed",
    "proxy-authorization": "Basic spoofed",
    "x-amz-date": "spoofed",
    "x-amz-security-token": "spoofed",
    "x-amz-content-sha256": "spoofed",
    "x-amz-target": "spoofed",
    "x-goog-user-project": "spoofed",
    "cookie": "spoofed",
    "openai-organization": "spoofed",
    "openai-project": "spoofed",
    "ocp-apim-subscription-key": "spoofed",
    "x-litellm-api-key": "spoofed",
}
#: The header of its own that an ``auth`` names.
NAMED = {"header": "x-team-key", "named": "x-mine"}
#: What a client may send beside the fallback, which a key of its own would keep out.
BESIDE_FALLBACK = ("openai-organization", "openai-project", "ocp-apim-subscription-key", "x-litellm-api-key", "cookie")


def form_of(endpoint: str) -> str:
    return FORMS.get(ENDPOINTS[endpoint][0], "authorization")


def in_form(endpoint: str, key: str) -> tuple[str, str]:
    form = form_of(endpoint)
    return form, f"Bearer {key}" if form == "authorization" else key


def expected(auth: str, endpoint: str) -> dict[str, str]:
    """The header that a valid token becomes."""
    match auth:
        case "apiKey" | "fallback":
            return dict([in_form(endpoint, TOKEN.value)])
        case "header":
            return {"x-team-key": f"Key {TOKEN.value}"}
        case _:
            return {"authorization": f"Bearer {TOKEN.value}"}


@each_endpoint
@pytest.mark.parametrize("auth", [each for each in OWN if each != "aws"])
@pytest.mark.parametrize("spoofed", [False, True], ids=["keyless", "spoofed"])
def test_the_gateways_key_is_shown_and_nothing_of_the_clients(auth: str, endpoint: str, spoofed: bool) -> None:
    """Each kind of token has its one header at every endpoint, whatever else the client sends along."""
    names = BESIDE_FALLBACK if auth == "fallback" else (*SPOOFED, *([NAMED[auth]] if auth in NAMED else []))
    cell = Cell(auth, endpoint, TOKEN, dict.fromkeys(names, "spoofed") if spoofed else {})

    checked = {*SPOOFED, *NAMED.values()}
    assert {name: cell.arrived[name] for name in checked if name in cell.arrived} == expected(auth, endpoint)
    assert not any("spoofed" in value for value in cell.arrived.values())
    assert cell.asked == [f"{auth}.{endpoint}"]


@each_endpoint
@pytest.mark.parametrize("keys", [KEYS, AwsKeys("AKIA2", "s")], ids=["session", "lasting"])
def test_a_signature_covers_the_request_as_it_arrives(endpoint: str, keys: AwsKeys) -> None:
    """Method, path, host, content type and body are those that leave, translated or not; botocore agrees."""
    typed = {} if endpoint == "form" else {"content-type": "application/json; charset=utf-8"}
    cell = Cell("aws", endpoint, keys, {**SPOOFED, **typed})

    assert cell.arrived["authorization"] == signature_of(cell, keys)
    assert cell.arrived.get("x-amz-security-token") == keys.session_token
    assert not any("spoofed" in value for value in cell.arrived.values())


def test_packed_bytes_are_signed_as_they_leave() -> None:
    """A body that passes untouched keeps its encoding, and the signature is of the packed bytes."""
    cell = Cell("aws", "passed", KEYS)
    packed = gzip.compress(cell.body, mtime=0)
    again = Cell("aws", "passed", KEYS, {"content-encoding": "gzip"}, packed)

    assert again.body == packed
    assert again.arrived["content-encoding"] == "gzip"
    assert again.arrived["authorization"] == signature_of(again, KEYS)
    assert again.arrived["authorization"] != cell.arrived["authorization"]


@each_endpoint
def test_none_shows_nothing(endpoint: str) -> None:
    """With ``none`` no key leaves, neither the gateway's nor the client's, and none is looked up."""
    cell = Cell("none", endpoint, TOKEN, SPOOFED)

    assert not SPOOFED.keys() & cell.arrived.keys()
    assert cell.asked == []


UNUSABLE: dict[str, tuple[Held | str, str]] = {
    "missing": (Missing("its token is not there yet"), "its token is not there yet"),
    "control": (Token(f"{MARKER}\r\nx-evil: 1"), "no header can carry"),
    "cyrillic": (Token(f"{MARKER}ключ"), "no header can carry"),
    "aws-control": (AwsKeys(f"{MARKER}\n", MARKER), "no header can carry"),
    "other-kind": ("other", "another kind"),
}


@each_endpoint
@pytest.mark.parametrize("auth", OWN)
def test_a_backend_that_cannot_be_used_is_named(auth: str, endpoint: str) -> None:
    """503 in the client's dialect with the backend, the reason and a moment's patience; never the value."""
    with every_case() as case:
        for name, (held, said) in UNUSABLE.items():
            with case(name):
                check_unusable(auth, endpoint, held, said)


def check_unusable(auth: str, endpoint: str, held: Held | str, said: str) -> None:
    if held == "other":
        held = TOKEN if auth == "aws" else KEYS
    assert not isinstance(held, str)
    if isinstance(held, Token | AwsKeys) and isinstance(held, AwsKeys) != (auth == "aws"):
        said = "another kind"
    cell = Cell(auth, endpoint, held)
    told = reply(cell.action)

    anthropic = ENDPOINTS[endpoint][1].startswith("/v1/messages")
    assert told.status == (529 if anthropic else 503)
    assert error_of(told)["message"] == f"backend '{auth}.{endpoint}' cannot be used: {_reason(told)}"
    assert said in _reason(told)
    assert ("retry-after", "1") in told.headers
    assert told.details == "llmroute_no_credential"
    assert cell.exchange.finish().outcome == "gateway_error"
    assert MARKER not in _everything(cell, told)


def _reason(told: Reply) -> str:
    return str(error_of(told)["message"]).partition("cannot be used: ")[2]


def _everything(cell: Cell, *actions: Action) -> str:
    """All that anybody but the upstream is told."""
    shown: list[Any] = [msgspec.structs.asdict(cell.exchange.record), repr(cell.exchange.record), repr(cell.action)]
    for action in actions:
        shown += [repr(action), action.body]
        shown += list(action.headers if isinstance(action, Reply) else action.set_headers)
    return repr(shown)


@each_endpoint
@pytest.mark.parametrize("sent", [{}, {"authorization": ""}, {"x-team-key": "K"}])
@pytest.mark.parametrize("auth", ["passthrough", "named"])
def test_a_client_without_a_key_of_its_own_is_told_so(auth: str, endpoint: str, sent: dict[str, str]) -> None:
    """401 in its dialect, which names the header that is looked at; nothing is looked up."""
    cell = Cell(auth, endpoint, TOKEN, sent)
    told = reply(cell.action)

    assert told.status == 401
    assert ("'x-mine'" if auth == "named" else f"'{form_of(endpoint)}'") in error_of(told)["message"]
    assert error_of(told)["type"] in {"authentication_error", "invalid_request_error"}
    assert cell.asked == []
    assert cell.exchange.finish().outcome == "client_error"


@each_endpoint
@pytest.mark.parametrize("auth", ["absent", "passthrough", "fallback", "named"])
def test_a_client_passes_its_own_key_on(auth: str, endpoint: str) -> None:
    """From the named header alone, or from wherever SDKs put one, in the upstream's form; nothing is looked up."""
    sent = {"x-mine": "Bearer K", "x-api-key": "gate"} if auth == "named" else {"x-api-key": "K"}
    cell = Cell(auth, endpoint, TOKEN, sent)

    assert {name: cell.arrived[name] for name in SPOOFED if name in cell.arrived} == dict([in_form(endpoint, "K")])
    assert cell.asked == []


BODIES = {
    "openai": b'{"error":{"message":"Incorrect API key provided: %s","type":"x","code":"invalid_api_key"}}',
    "anthropic": b'{"type":"error","error":{"type":"authentication_error","message":"bad %s"}}',
    "aws": b'{"message":"The security token %s included in the request is invalid."}',
    "google": b'{"error":{"code":401,"message":"no %s","status":"UNAUTHENTICATED"}}',
    "html": b"<html>%s</html>",
    "binary": b"\xff\xfe%s",
    "long": b'{"error":{"message":"' + b"x" * 195 + b' %s"}}',
    "empty": b"%s",
}
#: What of these a log may hold.
WORDS = {"invalid_api_key", "authentication_error", "UNAUTHENTICATED"}


@each_endpoint
@pytest.mark.parametrize("auth", OWN)
def test_a_refused_gateway_is_no_fault_of_the_client(auth: str, endpoint: str) -> None:
    """502 that nobody tries again: after a 401, and after any error that repeats what the upstream was shown."""
    with every_case() as case:
        for status, kind in itertools.product((400, 401, 403, 500), BODIES):
            with case(f"{status} {kind}"):
                check_refused_gateway(auth, endpoint, status, kind)


def check_refused_gateway(auth: str, endpoint: str, status: int, kind: str) -> None:
    cell = Cell(auth, endpoint, valid_for(auth))
    secret = (KEYS.session_token or "") if auth == "aws" else TOKEN.value
    packed = kind == "anthropic"
    body = BODIES[kind].replace(b"%s", secret.encode())
    spoken: dict[str, Any] = {"content_encoding": "gzip"} if packed else {}
    first = proceed(
        cell.exchange.receive(
            response_headers(status, www_authenticate=f"Bearer {MARKER}", retry_after="9", x_why=MARKER, **spoken)
        )
    )
    last = proceed(cell.exchange.receive(ResponseBody(gzip.compress(body) if packed else body, end=True)))
    record = cell.exchange.finish()
    set_headers = {**dict(first.set_headers), **dict(last.set_headers)}
    removed = {*first.remove_headers, *last.remove_headers}

    assert set_headers[":status"] == "502"
    assert set_headers["x-should-retry"] == "false"
    assert set_headers["content-type"] == "application/json"
    assert {"www-authenticate", "retry-after", "x-why"} <= removed
    assert f"'{auth}.{endpoint}' refused the gateway's own credential" in error_of(last)["message"]
    assert (record.status, record.outcome) == (502, "upstream_error")
    assert f"credential: {status}" in record.error
    assert record.error.partition(f"credential: {status}")[2].strip() in {*WORDS, ""}
    assert MARKER not in _everything(cell, first, last)


@each_endpoint
def test_a_refusal_without_a_body_is_told_the_same(endpoint: str) -> None:
    """A 401 that ends with its headers, or with trailers, is 502 too, and says nobody need try again."""
    cell = Cell("apiKey", endpoint, TOKEN)
    told = reply(cell.exchange.receive(response_headers(401, end=True, www_authenticate=MARKER, retry_after="9")))
    assert told.status == 502
    assert ("x-should-retry", "false") in told.headers
    assert not {"www-authenticate", "retry-after"} & dict(told.headers).keys()
    assert cell.exchange.finish().error.endswith("credential: 401")

    cell = Cell("apiKey", endpoint, TOKEN)
    proceed(cell.exchange.receive(response_headers(401)))
    told = reply(cell.exchange.receive(ResponseTrailers()))
    assert told.status == 502
    assert ("x-should-retry", "false") in told.headers


@each_endpoint
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("auth", ["absent", "passthrough", "fallback", "none"])
def test_a_refused_client_is_told_so(auth: str, endpoint: str, status: int) -> None:
    """An upstream that refuses the client's own key, or wants one where none is shown, is heard as ever."""
    cell = Cell(auth, endpoint, TOKEN, {"authorization": "Bearer K"})
    first = proceed(cell.exchange.receive(response_headers(status)))
    last = proceed(cell.exchange.receive(ResponseBody(b'{"error":{"message":"no"},"message":"no"}', end=True)))

    assert dict((*first.set_headers, *last.set_headers)).get(":status", str(status)) == str(status)
    assert cell.exchange.finish().status == status


def test_other_errors_pass_byte_for_byte_with_a_credential_of_the_gateways_own() -> None:
    """What is wrong with the request is for the client to read, as the vendor says it."""
    for status in (400, 404, 429, 500):
        cell = Cell("apiKey", "passed", TOKEN)
        proceed(cell.exchange.receive(response_headers(status)))
        last = proceed(cell.exchange.receive(ResponseBody(b'{ "error": {"message": "no"} }', end=True)))
        assert (last.body, last.set_headers, last.remove_headers) == (None, (), ())


def test_the_action_with_the_key_does_not_show_it() -> None:
    """The request's own action holds the credential, and no traceback or log can get at it by ``repr``."""
    for auth in AUTHS:
        cell = Cell(auth, "passed", valid_for(auth), {"authorization": f"Bearer {MARKER}", "x-mine": MARKER})
        assert isinstance(cell.action, Proceed)
        assert MARKER not in repr(cell.action)
