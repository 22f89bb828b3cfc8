"""One whole ``Exchange`` between a client and an upstream of the matrix, and the files that it leaves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import msgspec.structs

from extproc.config.loader import load
from extproc.conversation.errors import Loss
from extproc.conversation.provenance import without_foreign
from extproc.dialects.contract import Destination
from extproc.exchange.edges import Edges
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import (
    Action,
    BodyMode,
    Proceed,
    Reply,
    RequestBody,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
)
from extproc.exchange.record import Record
from extproc.registry import client_dialect, platform, upstream_dialect
from tests.support.matrix import CLIENTS, ROOT, Answer, Cell, Scenario, answer_of, backend, compact, model_of, scenarios
from tests.support.matrix_turns import next_request

_EDGES = Edges(draw=lambda: 0.5, now=lambda: 10.0, wall=lambda: 1_790_000_000.0, new_id=lambda: "0000000000000000")
_PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
_HEADERS = {
    "openai": {"authorization": "Bearer sk-client"},
    "anthropic": {"x-api-key": "sk-client", "anthropic-version": "2023-06-01"},
}


@dataclass(slots=True, eq=False)
class Run:
    """What became of one scenario in one cell. ``sent``: the upstream's body, also where it is the client's own."""

    asked: bytes
    sent: bytes | None = None
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    told: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: bool = False
    record: Record = field(default_factory=Record)

    @property
    def refused(self) -> bool:
        """Whether the request never left."""
        return self.sent is None

    @property
    def response_name(self) -> str:
        return "client_response.sse" if self.stream else "client_response.json"


@cache
def _gateway(schema: str, model: str) -> Gateway:
    described = {name: value for name, value in backend(schema).items() if name not in {"model", "models"}}
    config = {
        "backends": [{"name": "upstream", **described}],
        "rules": [
            {
                "headers": [{"name": "x-ai-eg-model", "value": "chat"}],
                "backends": [{"name": "upstream", "modelNameOverride": model}],
            }
        ],
    }
    return Gateway.compile(load(json.dumps(config).encode()))


def elsewhere(cell: Cell) -> Cell:
    """A cell of the same client whose model signs what another maker's takes for nonsense."""
    return Cell(cell.client, "Gemini" if platform(cell.schema).dialect in {"anthropic", "bedrock"} else "Anthropic")


def asked(cell: Cell, scenario: Scenario) -> bytes:
    """The client's request: the file, or what follows from the answer to the scenario before."""
    if scenario.after is None:
        return compact((ROOT / "clients" / cell.client / f"{scenario.ask}.json").read_bytes())
    before = next(each for each in scenarios() if each.name == scenario.after)
    first = run(elsewhere(cell) if scenario.moved else cell, before)
    return next_request(cell.client, first.asked, first.body)


@cache
def run(cell: Cell, scenario: Scenario) -> Run:
    """The scenario as the files have it."""
    return played(cell, scenario)


def played(cell: Cell, scenario: Scenario, cuts: Sequence[int] | None = None, body: bytes | None = None) -> Run:
    """One exchange, whole: ``cuts`` are the places at which a stream arrives in pieces, ``body`` another request."""
    made = Exchange(_gateway(cell.schema, model_of(cell, scenario)), _EDGES)
    result = Run(asked(cell, scenario) if body is None else body)
    path = _PATHS[cell.client] + ("/count_tokens" if scenario.operation == "count_tokens" else "")
    base = {":method": "POST", ":path": path, ":authority": "gw.example", "content-type": "application/json"}
    began = made.receive(RequestHeaders({**base, "x-request-id": "gw-1", **_HEADERS[cell.client]}, end=False))
    assert isinstance(began, Proceed)
    going = made.receive(RequestBody(result.asked, end=True))
    if isinstance(going, Proceed):
        named = dict(going.set_headers)
        result.sent = result.asked if going.body is None else going.body
        result.path = named.pop(":path", path)
        result.headers = {name: value for name, value in sorted(named.items()) if name not in _OF_ENVOY}
        _answered(made, answer_of(cell.schema, scenario), cuts, result)
    else:
        _replied(going, result)
    result.record = made.finish()
    return result


#: Set on every request, and told by the tests of the exchange.
_OF_ENVOY = frozenset({"content-length", "x-llmroute-backend", "content-type"})


def _answered(made: Exchange, answer: Answer, cuts: Sequence[int] | None, result: Run) -> None:
    headers = {":status": str(answer.status), **answer.headers}
    begun = made.receive(ResponseHeaders(headers, False, {"response.code_details": "via_upstream"}))
    if isinstance(begun, Reply):
        _replied(begun, result)
        return
    told = {name: value for name, value in headers.items() if name not in begun.remove_headers} | dict(
        begun.set_headers
    )
    out = []
    for piece, end in _pieces(answer.body, cuts if begun.body_mode is BodyMode.STREAMED else None):
        action = made.receive(ResponseBody(piece, end)) if begun.body_mode is not None else begun
        if isinstance(action, Reply):
            _replied(action, result)
            return
        told |= dict(action.set_headers)
        out.append(piece if action.body is None else action.body)
    result.status, result.body = int(told[":status"]), b"".join(out)
    result.told = {name: told[name] for name in sorted(told) if name in _SHOWN}
    result.stream = told["content-type"] == "text/event-stream"


_SHOWN = frozenset({"content-type", "request-id", "x-request-id", "retry-after", "x-should-retry"})


def _pieces(body: bytes, cuts: Sequence[int] | None) -> Iterator[tuple[bytes, bool]]:
    if cuts is None:
        yield body, True
        return
    for begin, end in pairwise((0, *cuts, len(body))):
        yield body[begin:end], False
    yield b"", True


def _replied(action: Action, result: Run) -> None:
    assert isinstance(action, Reply)
    result.status, result.body = action.status, action.body
    result.told = {name: value for name, value in sorted(action.headers) if name in _SHOWN}


def losses_of(cell: Cell, scenario: Scenario) -> tuple[Loss, ...]:
    """Why what is left out or changed on the way; the record of an exchange has the paths alone."""
    asked_for, model, host = asked(cell, scenario), model_of(cell, scenario), platform(cell.schema)
    upstream = upstream_dialect(host.dialect)
    known = upstream.capabilities(model).overridden(backend(cell.schema).get("capabilities", {}))
    read = client_dialect(CLIENTS[cell.client]).read_request(asked_for, _HEADERS[cell.client])
    turns, foreign = without_foreign(read.turns, known, model)
    to = Destination(model, known, host.version(None), 4096, host.fetches_urls, host.hosted)
    return (*foreign, *upstream.write_request(msgspec.structs.replace(read, turns=turns), to).losses)


# --- outputs


def files_of(scenario: Scenario, result: Run) -> dict[str, bytes]:
    """The files that the run leaves, by name."""
    files = {result.response_name: result.body}
    if scenario.after is not None:
        files["client_request.json"] = result.asked
    if result.sent is not None and result.sent is not result.asked and scenario.error is None:
        files["upstream_request.json"] = result.sent
    record = result.record
    usage = {name: count for name, count in msgspec.structs.asdict(record.usage).items() if count is not None}
    told = {
        "path": result.path,
        "request_headers": dict(result.headers),
        "status": result.status,
        "response_headers": dict(result.told),
        "outcome": record.outcome,
        "error": record.error,
        "usage": usage,
        "dropped": list(record.dropped),
        "lost": list(record.lost),
    }
    known = {name: value for name, value in told.items() if value}
    files["outcome.json"] = json.dumps(known, indent=2, ensure_ascii=False).encode() + b"\n"
    return files
