"""Which of an upstream's errors are refusals of the gateway's own credential, and what is said of those."""

import gzip
import json
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.config.auth import Auth
from extproc.credentials.held import Token
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import Proceed, Reply, RequestBody, ResponseBody
from tests.support.credential_cells import ENDPOINTS, GATEWAY, MARKER, TOKEN, Cell, body_of
from tests.support.exchange_driver import EDGES, error_of, proceed, reply, request_headers, response_headers

PROMPT = "the prompt that was quoted"


def google(reason: str) -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    return {"error": {"code": 403, "message": PROMPT, "status": "PERMISSION_DENIED", "details": details}}


def openai(code: str | None, kind: str | None = None, message: str = PROMPT) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def aws(name: str, message: str = PROMPT) -> dict[str, Any]:
    return {"__type": name, "message": message}


def anthropic(kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": PROMPT}}


#: Endpoint, status, body, and the word that the log has.
OF_THE_KEY: list[tuple[str, int, dict[str, Any], str]] = [
    ("passed", 403, openai("invalid_api_key"), "invalid_api_key"),
    ("passed", 400, openai("invalid_api_key"), "invalid_api_key"),
    ("passed", 403, openai(None, "authentication_error"), "authentication_error"),
    ("passed", 403, openai("account_deactivated", "x"), "account_deactivated"),
    ("passed", 400, {"code": "invalid", "error": "Incorrect API key provided: xa***ey."}, "incorrect api key"),
    ("embeddings", 500, openai("missing_scope"), "missing_scope"),
    ("passed-anthropic", 403, anthropic("permission_error"), "permission_error"),
    ("passed-anthropic", 400, anthropic("authentication_error"), "authentication_error"),
    ("translated", 403, aws("ExpiredTokenException"), "ExpiredTokenException"),
    ("translated", 403, aws("AccessDeniedException", "Authentication failed: is it valid?"), "authentication failed"),
    ("hosted", 403, aws("UnrecognizedClientException"), "UnrecognizedClientException"),
    ("translated-gemini", 400, google("API_KEY_INVALID"), "API_KEY_INVALID"),
    ("translated-gemini", 403, google("API_KEY_SERVICE_BLOCKED"), "API_KEY_SERVICE_BLOCKED"),
    ("translated-gemini", 403, google("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
]
#: Endpoint and a 403 that is no matter of credentials.
OF_THE_REQUEST: list[tuple[str, dict[str, Any]]] = [
    ("passed", {"error": {"code": 403, "message": PROMPT, "metadata": {"flagged_input": PROMPT, "reasons": ["x"]}}}),
    ("passed", openai("unsupported_country_region_territory", "request_forbidden")),
    ("passed", {"code": "The caller does not have permission", "error": PROMPT}),
    ("passed", {"detail": PROMPT}),
    ("embeddings", openai(None)),
    ("passed-anthropic", anthropic("forbidden")),
    ("translated", aws("AccessDeniedException")),
    ("hosted", aws("AccessDeniedException")),
    ("embedded", aws("AccessDeniedException")),
    ("translated-gemini", google("SERVICE_DISABLED")),
    ("translated-gemini", google(f"{PROMPT}!")),
]


def _answered(cell: Cell, status: int, body: bytes, **headers: Any) -> tuple[Proceed, Proceed]:
    first = proceed(cell.exchange.receive(response_headers(status, **headers)))
    return first, proceed(cell.exchange.receive(ResponseBody(body, end=True)))


def _removed(first: Proceed, last: Proceed) -> set[str]:
    return {*first.remove_headers, *last.remove_headers}


@pytest.mark.parametrize(("endpoint", "status", "body", "word"), OF_THE_KEY)
def test_what_speaks_of_the_key_is_a_refusal(endpoint: str, status: int, body: dict[str, Any], word: str) -> None:
    """Whatever the status, it is a 502 in our words; the log has the status and a word of our lists, and no more."""
    cell = Cell("apiKey", endpoint, TOKEN)
    first, last = _answered(cell, status, json.dumps(body).encode(), retry_after="9", x_account="acme")

    assert dict(last.set_headers)[":status"] == "502"
    assert dict(last.set_headers)["x-should-retry"] == "false"
    assert {"retry-after", "x-account"} <= _removed(first, last)
    assert f"'apiKey.{endpoint}' refused the gateway's own credential" in error_of(last)["message"]
    record = cell.exchange.finish()
    assert record.error == f"the upstream refused the gateway's credential: {status} {word}"
    assert (record.status, record.outcome) == (502, "upstream_error")


@pytest.mark.parametrize(("endpoint", "body"), OF_THE_REQUEST)
def test_another_403_passes_as_without_a_credential(endpoint: str, body: dict[str, Any]) -> None:
    """Moderation and models that an account may not use are the client's to read: the same 403 as with its own key."""
    raw = json.dumps(body).encode()
    told = []
    for auth in ("apiKey", "absent"):
        cell = Cell(auth, endpoint, TOKEN, {"authorization": "Bearer K"})
        first, last = _answered(cell, 403, raw)
        record = cell.exchange.finish()
        assert record.status == 403
        assert PROMPT not in record.error
        told.append((dict(first.set_headers).get(":status"), last, record.error))

    assert told[0] == told[1]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_403_that_says_nothing_passes(endpoint: str) -> None:
    """A reply without a body, or with a page of some proxy's, does not blame the key."""
    cell = Cell("apiKey", endpoint, TOKEN)
    told = cell.exchange.receive(response_headers(403, end=True))
    assert not isinstance(told, Reply) or told.status == 403

    cell = Cell("apiKey", endpoint, TOKEN)
    _, last = _answered(cell, 403, b"<html>Forbidden</html>")
    assert dict(last.set_headers).get(":status", "403") == "403"


def test_a_header_alone_may_say_it() -> None:
    """AWS names the error in a header, so that a reply without a body is known as well."""
    cell = Cell("apiKey", "translated", TOKEN)
    told = reply(cell.exchange.receive(response_headers(403, end=True, x_amzn_errortype="ExpiredTokenException:x")))

    assert told.status == 502
    assert cell.exchange.finish().error.endswith("credential: 403 ExpiredTokenException")


SECRET = "gw/key+" + MARKER
REPEATED = {
    "plain": f'{{"error": "no key {SECRET} here"}}'.encode(),
    "slashes": f'{{"error": "no key {SECRET.replace("/", chr(92) + "/")} here"}}'.encode(),
    "escaped": f'{{"error": "no key {SECRET.replace("+", chr(92) + "u002B")} here"}}'.encode(),
    "text": f"no key {SECRET} here".encode(),
}


@pytest.mark.parametrize("status", [400, 403, 404, 429, 503])
@pytest.mark.parametrize("form", REPEATED)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_an_error_that_repeats_the_key_is_told_in_our_words(status: int, form: str, packed: bool) -> None:
    """However it is escaped or packed, the key reaches neither client nor log, even where bytes would pass."""
    cell = Cell("apiKey", "passed", Token(SECRET))
    body = gzip.compress(REPEATED[form]) if packed else REPEATED[form]
    _, last = _answered(cell, status, body, **({"content_encoding": "gzip"} if packed else {}))

    assert dict(last.set_headers)[":status"] == "502"
    assert MARKER not in f"{last.body!r}{last.set_headers}{cell.exchange.finish()}"


def test_a_word_is_no_secret() -> None:
    """A local server's key may be ``test``: errors that hold this word by chance are told as they are."""
    cell = Cell("apiKey", "passed", Token("test"))
    _, last = _answered(cell, 400, b'{"error": {"message": "this is a test"}}')

    assert (last.body, last.set_headers) == (None, ())


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, openai(None), 1),
        (403, openai("invalid_api_key"), 1),
        (403, openai(None), 0),
        (429, openai(None), 0),
    ],
)
def test_who_keeps_the_credential_hears_of_it(status: int, body: dict[str, Any], told: int) -> None:
    """Once for each refusal, by name and ``auth``, so that it can be fetched anew; not of other errors."""
    heard: list[tuple[str, Auth]] = []
    name = "apiKey.passed"
    edges = replace(EDGES, credential=lambda _name, _auth: TOKEN, refused=lambda *said: heard.append(said))
    made = Exchange(GATEWAY, edges)
    made.receive(request_headers())
    made.receive(RequestBody(body_of("apiKey", "passed"), end=True))
    made.receive(response_headers(status))
    made.receive(ResponseBody(json.dumps(body).encode(), end=True))

    assert heard == [(name, GATEWAY.auths[name])] * told
