"""Client and backend speak different dialects: read one, write the other, through the neutral conversation."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from extproc.conversation.errors import ApiError, UpstreamError
from extproc.conversation.events import CitationDelta, Ended, Event, Fault, LogprobsDelta, Lost, Metered
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
from extproc.exchange.messages import Headers
from extproc.exchange.targets import Target
from extproc.exchange.wrapping import Unwrapper, bad_gateway, decoded, maybe_unwrapper, undecodable
from extproc.platforms.contract import Dressed
from extproc.wire.errors import WireError

_REPLACED = ("content-length", "content-encoding")
#: What every request is that the gateway has written itself.
PLAIN_JSON: Final[Mapping[str, str]] = MappingProxyType({"content-type": "application/json"})
#: How many paths of a stream are remembered that could not be told.
_MAX_LOST = 32
#: What some clients have no place for.
_WITHOUT_A_PLACE = (CitationDelta, LogprobsDelta)


class TranslatedFlow:
    """Upstream bytes through a reader into a writer. ``lost``: the paths of the stream that nobody could be told of."""

    def __init__(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        unwrapper: Unwrapper | None,
        untold: Callable[[Event], str | None],
    ) -> None:
        self._untold = untold
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
                self._note(self._untold(event))
            elif isinstance(event, Fault):
                self.fault = event.error
            elif isinstance(event, Ended):
                self.ended = True
            elif isinstance(event, Lost):
                self._note(event.path)
                continue
            elif isinstance(event, _WITHOUT_A_PLACE):
                self._note(self._untold(event))
            out += self._writer.write(event)
        return out

    def _note(self, path: str | None) -> None:
        if path is not None and path not in self.lost and len(self.lost) < _MAX_LOST:
            self.lost.append(path)


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
        """The request in the upstream's format, with headers of its own."""
        to = self.destination
        self.parsed = parsed = self.client.read_request(body, self.headers)
        turns, lost = without_foreign(parsed.turns, to.capabilities, to.model)
        own = replace(parsed, turns=turns) if lost else parsed
        self.sent = sent = self.written(own)
        named = {**PLAIN_JSON, **dict(sent.headers)}
        dressed = self.dressed(sent, named)
        losses = (*lost, *sent.losses, *dressed.losses)
        return Outgoing(self.target.path, dressed.body, losses=losses, set_headers=headers_of(named, dressed))

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
        lost = (*response.losses, *self._untold(response, stream=request.stream))[:_MAX_LOST]
        return Answer(body=out, content_type=kind, usage=response.usage, model=response.model, lost=lost)

    def _stream(self, headers: Headers, encoding: str, identified: tuple[tuple[str, str], ...]) -> Handling:
        request, sent = self.known()
        if not request.stream:
            raise bad_gateway("the upstream streamed an answer that was not asked to be streamed")
        try:
            unwrapper = maybe_unwrapper(encoding, self.target.platform)
        except WireError as error:
            raise UpstreamError(undecodable(error)) from error
        reader = self.upstream.stream_reader(headers, sent)
        flow = TranslatedFlow(
            reader, self.client.stream_writer(request, self.identity), unwrapper, self.client.untold_event
        )
        typed = (("content-type", self.client.stream_content_type), ("cache-control", "no-cache"), *identified)
        return Handling(typed, _REPLACED, flow=flow, lost=flow.lost)

    def _plain(self, body: bytes, encoding: str) -> bytes:
        return self.target.platform.undress(decoded(body, encoding), self.operation)

    def _untold(self, response: Response, *, stream: bool) -> Iterable[str]:
        """What the client is not told of a whole answer, or of one that is replayed as a stream."""
        if not stream:
            return self.client.untold(response)
        return dict.fromkeys(path for event in events_of(response) if (path := self.client.untold_event(event)))

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


def headers_of(named: Mapping[str, str], dressed: Dressed) -> tuple[tuple[str, str], ...]:
    """The headers of a written request: the dialect's, as the platform wants them."""
    left = {name: value for name, value in named.items() if name not in dressed.remove_headers}
    return tuple({**left, **dict(dressed.set_headers)}.items())
