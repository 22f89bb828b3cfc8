"""The exchange: one HTTP request through the gateway, as a state machine without I/O.

Rules:

1. Every event gets exactly one action. ``TABLE`` lists what may follow what; a row that is not there is a bug of ours
   (or of an Envoy configured unlike the documented one) and raises, which the server counts, logs and turns into
   ``fail()``.
2. The request's body is buffered by Envoy, so one ``RequestBody`` is the whole body, whatever its ``end`` says: with
   trailers behind it Envoy never marks the end.
3. "The end of the response" is a body with ``end`` or trailers. Nothing can be written in answer to trailers; an
   answer that broke off is cut then, because a clean end would make a part look whole.
4. While the response is buffered its headers wait, so its status can still change; once a stream runs only bytes can
   be said.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar

from extproc.conversation.errors import ApiError, ClientError, Kind, UpstreamError
from extproc.conversation.response import NO_USAGE, Usage
from extproc.dialects.contract import ClientDialect
from extproc.exchange import refused, replies
from extproc.exchange.attempt import Answer, Flow, Handling
from extproc.exchange.callers import Visitor
from extproc.exchange.edges import Edges
from extproc.exchange.endpoints import Found, client_of, maybe_endpoint
from extproc.exchange.failures import identified_by
from extproc.exchange.forwarding import unanswered
from extproc.exchange.gateway import Gateway
from extproc.exchange.messages import (
    PASS,
    Action,
    BodyMode,
    Event,
    Headers,
    Proceed,
    Reply,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from extproc.exchange.record import Outcome, Record
from extproc.exchange.router import Intake, Routed, route
from extproc.registry import client_dialect


class State(StrEnum):
    """Where an exchange stands. Texts, as they are hashed by C: each event looks its state up."""

    IDLE = "idle"
    WAIT_BODY = "wait_body"
    SENT = "sent"
    STREAMING = "streaming"
    WAIT_RESPONSE = "wait_response"
    DONE = "done"


class Exchange:
    """One request. Not shared between requests, not used after ``finish``."""

    __slots__ = (
        "_client",
        "_flow",
        "_found",
        "_gateway",
        "_headers",
        "_lost",
        "_routed",
        "_tokens",
        "_whole",
        "edges",
        "record",
        "state",
    )

    def __init__(self, gateway: Gateway, edges: Edges) -> None:
        self._gateway = gateway
        self.edges = edges
        self.state = State.IDLE
        self.record = Record(started=edges.now())
        self._client: ClientDialect = client_dialect("OpenAI")
        self._headers: Headers = {}
        self._tokens: Mapping[str, Mapping[str, str]] = {}
        self._found: Found | None = None
        self._routed: Routed | None = None
        self._flow: Flow | None = None
        self._whole: Callable[[bytes], Answer] | None = None
        self._lost: Sequence[str] = ()

    def receive(self, event: Event) -> Action:
        """The action for one event. Raises only for a bug, or an order of events that no documented setup produces."""
        handler = self.TABLE[self.state].get(type(event))
        if handler is None:
            raise RuntimeError(f"{type(event).__name__} in state {self.state.value}")
        return handler(self, event)

    def fail(self) -> Action:
        """After ``receive`` raised.

        A 500 in the client's dialect; once the headers have left, Envoy cuts the stream.
        """
        error = ApiError(500, Kind.SERVER, "the gateway failed on this request; its log has the reason")
        return self._refuse(error, "llmroute_internal_error", "internal_error")

    def finish(self) -> Record:
        """The end of it, whoever ended it: what is to be logged and counted.

        A client may leave once it has read the last event of its stream, before the upstream's bytes end.
        """
        flow = self._flow
        if self.state is State.STREAMING and flow is not None and (flow.ended or flow.fault is not None):
            self._end_stream(flow)
        if self.record.ended is None:
            self.record.ended = self.edges.now()
        return self.record

    def _begin(self, event: RequestHeaders) -> Action:
        headers = event.headers
        record = self.record
        record.request_id = headers.get("x-request-id", "")
        record.method = headers.get(":method", "")
        path = headers.get(":path", "")
        self._headers, self._tokens = headers, event.tokens
        prefix = self._gateway.config.path_prefix
        found = maybe_endpoint(path, prefix, headers)
        self._client = client_dialect(found.endpoint.client if found else client_of(path, prefix, headers))
        record.client_dialect = self._client.name
        if found is None:
            error = ApiError(
                404, Kind.NOT_FOUND, f"unknown path {path.partition('?')[0][:200]}; see /v1/models for what is served"
            )
            return self._refuse(error, "llmroute_unknown_path", "client_error")
        record.operation = found.endpoint.below
        if record.method not in found.endpoint.methods:
            allowed = ", ".join(found.endpoint.methods)
            error = ApiError(405, Kind.INVALID_REQUEST, f"{record.method} is not allowed here; use {allowed}")
            return self._refuse(error, "llmroute_method_not_allowed", "client_error", (("allow", allowed),))
        if "GET" in found.endpoint.methods:
            return self._models(found)
        if event.end:
            return self._no_body(RequestTrailers())
        if doors := self._gateway.index.doors(headers.get(":authority", "")):
            try:
                Visitor(headers, event.tokens, self.edges.callers).demand_entry(doors)
            except ClientError as error:
                return self._refuse_client(error.error)
        self._found = found
        self.state = State.WAIT_BODY
        return PASS

    def _models(self, found: Found) -> Action:
        host, _, query = self._headers.get(":authority", ""), *self._headers.get(":path", "").partition("?")[1:]
        try:
            visitor = Visitor(self._headers, self._tokens, self.edges.callers)
            models = self._gateway.index.models(host, found.endpoint.client, visitor.may_enter)
            body = replies.models_body(self._client, models, found, query)
        except ClientError as error:
            return self._refuse_client(error.error)
        if body is None:
            return self._refuse(replies.no_such_model(found.model_id or ""), "llmroute_model_not_found", "client_error")
        self._close(200, "ok")
        return Reply(200, body, "llmroute_models", self._own_headers())

    def _no_body(self, event: RequestTrailers) -> Action:
        del event
        error = ApiError(400, Kind.INVALID_REQUEST, "the request has no body; send a JSON object", code="invalid_json")
        return self._refuse(error, "llmroute_bad_request", "client_error")

    def _route(self, event: RequestBody) -> Action:
        found = self._found
        if found is None:
            raise RuntimeError("a body before its headers")
        intake = Intake(
            self._gateway, self._client, found.endpoint, self._headers, event.body, self.record, self._tokens
        )
        try:
            routed = route(intake, self.edges)
        except ClientError as error:
            return self._refuse_client(error.error)
        self._routed = routed
        self.record.routed = self.edges.now()
        self.state = State.SENT
        return routed.action

    def _response(self, event: ResponseHeaders) -> Action:
        record = self.record
        record.responded = self.edges.now()
        status = int(event.headers.get(":status", "0"))
        record.status = status
        details = event.attributes.get("response.code_details", "via_upstream")
        routed = self._routed
        if details != "via_upstream" or routed is None:
            return self._own_reply(event, status, details)
        record.upstream_request_id = replies.upstream_id(event.headers)
        guard = self._maybe_guard(routed) if status >= 400 else None
        if guard is not None and status == refused.UNAUTHORIZED:
            return self._refused(guard, event, status)
        waits, unread = replies.patience(event.headers, self.edges.wall) if status >= 400 else replies.AS_TOLD
        try:
            handling = routed.attempt.response(status, event.headers, end=event.end)
        except UpstreamError as broken:
            if guard is not None and broken.error.credential is not None:
                return self._refused(guard, event, status, broken.error.credential)
            kept = {name: value for name, value in replies.kept_headers(event.headers) if name not in unread}
            return self._refuse(
                broken.error, "llmroute_upstream_error", "upstream_error", tuple({**kept, **dict(waits)}.items())
            )
        named = handling.set_headers = (*handling.set_headers, *waits)
        removed = (*handling.remove_headers, *unread, *unanswered(event.headers, routed.target))
        if removed:
            stand = {name for name, _ in named}
            removed = tuple(dict.fromkeys(name for name in removed if name not in stand))
        handling.remove_headers = removed
        if guard is not None and handling.whole is not None:
            handling.whole = guard.watched(status, event.headers, handling.whole)
        return self._handle(handling, status, end=event.end)

    def _maybe_guard(self, routed: Routed) -> refused.Guard | None:
        """What an error may say of the credential, None where that is the client's own, or none."""
        choice = routed.choice
        if not routed.shown.own or choice.auth is None:
            return None
        return refused.Guard(self._client, routed.target, routed.shown, choice.name, choice.auth, self.edges)

    def _refused(self, guard: refused.Guard, event: ResponseHeaders, status: int, word: str = "") -> Action:
        """The upstream does not take the gateway's own credential: nothing that the client has done."""
        if event.end:
            action = self._refuse(guard.refused(), "llmroute_upstream_auth", "upstream_error")
            self.record.error = refused.noted(status, word)
            return action
        handling = guard.unauthorized(status, event.headers)
        handling.set_headers = self._own_headers()
        return self._handle(handling, status, end=False)

    def _own_reply(self, event: ResponseHeaders, status: int, details: str) -> Action:
        """Envoy, or a filter behind ours, answered. What is no error passes; errors are told in the dialect."""
        if status < 400:
            self._close(status, "ok", at_end=event.end)
            return PASS
        error = replies.own_reply(status, details, self.record.backend)
        kept = replies.kept_headers(event.headers) or replies.retry_headers(error)
        if replies.was_retried(event.attributes.get("response.flags", "")):
            kept = replies.without_retry(kept)
        outcome: Outcome = "client_error" if error.status in {408, 413} else "gateway_error"
        return self._refuse(error, details, outcome, kept)

    def _handle(self, handling: Handling, status: int, *, end: bool) -> Action:
        self._flow, self._whole, self._lost = handling.flow, handling.whole, handling.lost
        if self._flow is not None:
            self.state, mode = State.STREAMING, BodyMode.STREAMED
            self.record.stream = True
        elif self._whole is not None:
            self.state, mode = State.WAIT_RESPONSE, BodyMode.BUFFERED
        else:
            self.state, mode = State.DONE, None
            self._close(status, "ok" if status < 400 else "upstream_error", at_end=end)
            if not handling.set_headers and not handling.remove_headers:
                return PASS
        return Proceed(handling.set_headers, handling.remove_headers, body_mode=mode)

    def _stream(self, event: ResponseBody) -> Action:
        flow, record = self._flow, self.record
        if flow is None:
            raise RuntimeError("a stream without a flow")
        if record.first_body is None:
            record.first_body = self.edges.now()
        out = flow.feed(event.body)
        if event.end:
            tail = flow.finish()
            if tail:
                out += tail
            self._end_stream(flow)
        metadata = self._meter(flow.usage) if flow.usage is not record.usage else None
        if out is event.body or out == event.body:
            return PASS if metadata is None else Proceed(metadata=metadata)
        return Proceed(body=out, metadata=metadata)

    def _stream_trailers(self, event: ResponseTrailers) -> Action:
        del event
        flow = self._flow
        if flow is None:
            raise RuntimeError("a stream without a flow")
        owed = flow.finish()
        self._end_stream(flow)
        metadata = self._meter(flow.usage) if flow.usage is not self.record.usage else None
        if owed and flow.fault is not None:
            # Read only while the headers are held back, as when the whole answer came at once; else Envoy cuts.
            body = self._client.write_error(flow.fault)
            return Reply(502, body, "llmroute_upstream_truncated", self._own_headers(), metadata)
        return PASS if metadata is None else Proceed(metadata=metadata)

    def _end_stream(self, flow: Flow) -> None:
        if self._lost:
            self.record.lost = tuple(replies.safe_path(path) for path in self._lost)
        self._close(self.record.status, "ok" if flow.fault is None else "upstream_error")
        self.record.error = "" if flow.fault is None else replies.logged(flow.fault)

    def _whole_body(self, event: ResponseBody) -> Action:
        whole, record = self._whole, self.record
        if whole is None:
            raise RuntimeError("a body that nobody asked for")
        record.first_body = self.edges.now()
        try:
            answer = whole(event.body)
        except UpstreamError as broken:
            answer = Answer(
                broken.error.status, self._client.write_error(broken.error), "application/json", error=broken.error
            )
        if answer.error is not None and answer.status is not None:
            answer.status = replies.shown(answer.error, self._client.name).status
        if answer.lost:
            record.lost = tuple(map(replies.safe_path, answer.lost))
        status = answer.status or record.status
        self._close(status, "ok" if answer.error is None and status < 400 else "upstream_error")
        record.error = answer.note or ("" if answer.error is None else replies.logged(answer.error))
        metadata = self._meter(answer.usage) if answer.usage is not NO_USAGE else None
        if answer.body is None:
            return PASS if metadata is None else Proceed(metadata=metadata)
        return Proceed(*replies.replaced(answer), body=answer.body, metadata=metadata)

    def _whole_trailers(self, event: ResponseTrailers) -> Action:
        del event
        action = self._whole_body(ResponseBody(b"", end=True))
        if isinstance(action, Proceed) and action.body is not None:
            advised = (pair for pair in action.set_headers if pair == replies.NO_RETRY)
            headers = (*self._own_headers(), *advised)
            return Reply(self.record.status, action.body, "llmroute_upstream_error", headers, action.metadata)
        return action

    def _foreign(self, event: ResponseHeaders) -> Action:
        """A filter before ours answered: its reply is not ours to change, and no request phase was seen."""
        self.record.operation = "local_reply"
        self._close(int(event.headers.get(":status", "0")), "gateway_error")
        return PASS

    def _pass(self, event: Event) -> Action:
        del event
        return PASS

    def _refuse_client(self, error: ApiError) -> Action:
        """What a ``ClientError`` says; some of them are about us."""
        outcome: Outcome = "client_error" if error.status < 500 else "gateway_error"
        return self._refuse(error, replies.details_of(error), outcome, replies.retry_headers(error))

    def _refuse(
        self, error: ApiError, details: str, outcome: Outcome, headers: tuple[tuple[str, str], ...] = ()
    ) -> Action:
        error = replies.shown(error, self._client.name)
        self._close(error.status, outcome)
        record = self.record
        record.error = replies.logged(error)
        known = {"model": record.model, "caller": record.caller}
        metadata = {name: value for name, value in known.items() if value} or None
        return Reply(
            error.status,
            self._client.write_error(error),
            details,
            (*self._own_headers(), *headers, *replies.advice(error)),
            metadata,
        )

    def _own_headers(self) -> tuple[tuple[str, str], ...]:
        return (*replies.JSON, *identified_by(self.record.request_id, self._client.name))

    def _close(self, status: int, outcome: Outcome, *, at_end: bool = True) -> None:
        self.state = State.DONE
        self.record.status = status
        self.record.outcome = outcome
        if at_end:
            self.record.ended = self.edges.now()

    def _meter(self, usage: Usage) -> Mapping[str, str | int] | None:
        self.record.usage = usage
        return replies.usage_metadata(usage)

    TABLE: ClassVar[Mapping[State, Mapping[type[Event], Callable[[Any, Any], Action]]]] = {
        State.IDLE: {RequestHeaders: _begin, ResponseHeaders: _foreign},
        State.WAIT_BODY: {RequestBody: _route, RequestTrailers: _no_body, ResponseHeaders: _response},
        State.SENT: {RequestBody: _pass, RequestTrailers: _pass, ResponseHeaders: _response},
        State.STREAMING: {ResponseBody: _stream, ResponseTrailers: _stream_trailers},
        State.WAIT_RESPONSE: {
            ResponseHeaders: _response,
            ResponseBody: _whole_body,
            ResponseTrailers: _whole_trailers,
        },
        State.DONE: {
            RequestHeaders: _pass,
            RequestBody: _pass,
            RequestTrailers: _pass,
            ResponseHeaders: _pass,
            ResponseBody: _pass,
            ResponseTrailers: _pass,
        },
    }
