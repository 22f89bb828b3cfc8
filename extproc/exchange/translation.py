"""Client and backend speak different dialects: read one, write the other, through the neutral conversation."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from extproc.conversation.errors import ApiError, UpstreamError
from extproc.conversation.events import Ended, Event, Fault, Lost, Metered
from extproc.conversation.provenance import without_foreign
from extproc.conversation.replay import events_of
from extproc.conversation.request import Request
from extproc.conversation.response import NO_USAGE, Response
from extproc.dialects.contract import (
    ClientDialect,
    Destination,
    Identity,
    StreamReader,
    StreamWriter,
    UpstreamDialect,
    UpstreamRequest,
)
from extproc.exchange.attempt import Answer, Handling, Outgoing, media_type
from extproc.exchange.failures import identified_by, told_failure
from extproc.exchange.gateway import Target
from extproc.exchange.messages import Headers
from extproc.exchange.wrapping import Unwrapper, bad_gateway, decoded, maybe_unwrapper, undecodable
from extproc.platforms.contract import Dressed
from extproc.wire.errors import WireError

_REPLACED = ("content-length", "content-encoding")
#: Headers that only Anthropic's API has: version, betas. Its own writer sets those that are to arrive.
_OF_ANTHROPIC = "anthropic-"
#: How many paths of a stream are remembered that could not be told.
_MAX_LOST = 32


class TranslatedFlow:
    """Upstream bytes through a reader into a writer. ``lost``: the paths of the stream that nobody could be told of."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, unwrapper: Unwrapper | None) -> None:
        self._reader = reader
        self._writer = writer
        self._unwrapper = unwrapper
        self.usage = NO_USAGE
        self.fault: ApiError | None = None
        self.ended = False
        self.lost: list[str] = []

    def feed(self, chunk: bytes) -> bytes:
        """The client's events completed by this chunk, none after an error event."""
        if self.fault is not None:
            return b""
        if self._unwrapper is not None:
            try:
                chunk = self._unwrapper.feed(chunk)
            except WireError as error:
                return self._write((Fault(undecodable(error)),))
        return self._write(self._reader.feed(chunk))

    def finish(self) -> bytes:
        """The client's terminator, or an error event when the upstream broke off; nothing if there was one already."""
        if self.fault is not None:
            return b""
        rest = b""
        if self._unwrapper is not None:
            try:
                rest = self._unwrapper.finish()
            except WireError as error:
                return self._write((Fault(undecodable(error)),))
        return self._write((*(self._reader.feed(rest) if rest else ()), *self._reader.finish()))

    def _write(self, events: Iterable[Event]) -> bytes:
        out = b""
        for event in events:
            if self.fault is not None:
                break
            if isinstance(event, Metered):
                self.usage = self.usage.updated(event.usage)
            elif isinstance(event, Fault):
                self.fault = event.error
            elif isinstance(event, Ended):
                self.ended = True
            elif isinstance(event, Lost):
                if len(self.lost) < _MAX_LOST:
                    self.lost.append(event.path)
                continue
            out += self._writer.write(event)
        return out


class Translation(Struct):
    """An attempt at a backend that speaks another dialect. ``headers`` are the client's."""

    client: ClientDialect
    upstream: UpstreamDialect
    target: Target
    destination: Destination
    identity: Identity
    headers: Headers
    request_id: str = ""
    parsed: Request | None = None
    sent: UpstreamRequest | None = None

    #: The platform's word for what is done here.
    operation = "chat"

    def request(self, body: bytes) -> Outgoing:
        """The request in the upstream's format. Plain bytes are asked for: the answer is rewritten anyway."""
        to = self.destination
        self.parsed = parsed = self.client.read_request(body, self.headers)
        turns, lost = without_foreign(parsed.turns, to.capabilities, to.model)
        own = replace(parsed, turns=turns) if lost else parsed
        self.sent = sent = self.written(own)
        named, removed = headers_for(self.client.name, self.upstream.name, self.headers)
        named.update(sent.headers)
        dressed = self.dressed(sent, named)
        named.update(dressed.set_headers)
        for name in dressed.remove_headers:
            named.pop(name, None)
        return Outgoing(
            self.target.path,
            dressed.body,
            (*removed, *dressed.remove_headers),
            (*lost, *sent.losses, *dressed.losses),
            tuple(named.items()),
        )

    def written(self, request: Request) -> UpstreamRequest:
        """The request's body in the upstream's dialect; raises ``Refusal``."""
        return self.upstream.write_request(request, self.destination)

    def dressed(self, sent: UpstreamRequest, headers: Headers) -> Dressed:
        """That body as the platform wants it."""
        target = self.target
        return target.platform.dress(sent.body, headers, self.operation, target.place)

    def response(self, status: int, headers: Headers, *, end: bool) -> Handling:
        """A stream is translated event by event, anything else as a whole."""
        identified = identified_by(self.request_id, self.client.name, headers)
        failure = told_failure(self.client, self.target, status, headers, identified, end=end)
        if failure is not None:
            return failure
        encoding = headers.get("content-encoding", "")
        kind = media_type(headers)
        if kind == (self.target.platform.stream_content_type or self.upstream.stream_content_type):
            return self._stream(headers, encoding, identified)
        return Handling(identified, whole=lambda body: self.answered(self._plain(body, encoding), headers))

    def known(self) -> tuple[Request, UpstreamRequest]:
        """The request, and what was made of it."""
        if self.parsed is None or self.sent is None:
            raise RuntimeError("a response before its request")
        return self.parsed, self.sent

    def answered(self, body: bytes, headers: Headers) -> Answer:
        """The answer for the client; raises ``UpstreamError``."""
        request, sent = self.known()
        response = self.upstream.read_response(body, headers, sent)
        if request.stream:
            kind, out = self.client.stream_content_type, self._replayed(response, request)
        else:
            kind, out = "application/json", self.client.write_response(response, request, self.identity)
        return Answer(
            body=out, content_type=kind, usage=response.usage, model=response.model, lost=response.losses[:_MAX_LOST]
        )

    def _stream(self, headers: Headers, encoding: str, identified: tuple[tuple[str, str], ...]) -> Handling:
        request, sent = self.known()
        if not request.stream:
            raise bad_gateway("the upstream streamed an answer that was not asked to be streamed")
        try:
            unwrapper = maybe_unwrapper(encoding, self.target.platform)
        except WireError as error:
            raise UpstreamError(undecodable(error)) from error
        reader = self.upstream.stream_reader(headers, sent)
        flow = TranslatedFlow(reader, self.client.stream_writer(request, self.identity), unwrapper)
        typed = (("content-type", self.client.stream_content_type), ("cache-control", "no-cache"), *identified)
        return Handling(typed, _REPLACED, flow=flow, lost=flow.lost)

    def _plain(self, body: bytes, encoding: str) -> bytes:
        return self.target.platform.undress(decoded(body, encoding), self.operation)

    def _replayed(self, response: Response, request: Request) -> bytes:
        writer = self.client.stream_writer(request, self.identity)
        return b"".join(writer.write(event) for event in events_of(response))


class Counting(Translation):
    """An attempt to count the tokens of a request without sending it to the model."""

    operation = "count_tokens"

    def written(self, request: Request) -> UpstreamRequest:
        """The question in the upstream's dialect; raises ``Refusal``."""
        return self.upstream.write_count(request, self.destination)

    def answered(self, body: bytes, headers: Headers) -> Answer:
        """The number in the client's dialect."""
        del headers
        return Answer(
            body=self.client.write_count_answer(self.upstream.read_count(body)), content_type="application/json"
        )


def headers_for(client: str, upstream: str, headers: Headers) -> tuple[dict[str, str], list[str]]:
    """Headers to set and to remove because the body is another dialect's than the client's.

    Anthropic's SDKs send the key as ``x-api-key`` (before 2.0) or as ``authorization``; others take the latter alone.
    """
    named = {"content-type": "application/json"}
    removed = ["accept-encoding", *[name for name in headers if name.startswith(_OF_ANTHROPIC)]]
    if client == "anthropic" and upstream != "anthropic" and (key := headers.get("x-api-key")) is not None:
        removed.append("x-api-key")
        if "authorization" not in headers:
            named["authorization"] = f"Bearer {key}"
    return named, removed
