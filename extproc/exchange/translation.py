"""Client and backend speak different dialects: read one, write the other, through the neutral conversation."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.events import Ended, Event, Fault, Metered
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
from extproc.exchange.attempt import MAX_DECODED_BYTES, Answer, Handling, Outgoing, media_type
from extproc.exchange.messages import Headers
from extproc.wire.encoding import StreamDecoder, decode_all
from extproc.wire.errors import WireError

_JSON = (("content-type", "application/json"),)
_REPLACED = ("content-length", "content-encoding")


def _bad_gateway(message: str) -> UpstreamError:
    return UpstreamError(ApiError(502, Kind.SERVER, message))


class TranslatedFlow:
    """Upstream bytes through a reader into a writer."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, decoder: StreamDecoder | None) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self.usage = NO_USAGE
        self.fault: ApiError | None = None
        self.ended = False

    def feed(self, chunk: bytes) -> bytes:
        """The client's events completed by this chunk, none after an error event."""
        if self.fault is not None:
            return b""
        if self._decoder is not None:
            try:
                chunk = self._decoder.feed(chunk)
            except WireError as error:
                return self._broken(error)
        return self._write(self._reader.feed(chunk))

    def finish(self) -> bytes:
        """The client's terminator, or an error event when the upstream broke off; nothing if there was one already."""
        if self.fault is not None:
            return b""
        if self._decoder is not None:
            try:
                self._decoder.finish()
            except WireError as error:
                return self._broken(error)
        return self._write(self._reader.finish())

    def _broken(self, error: WireError) -> bytes:
        message = f"the upstream's stream cannot be decoded: {error}"
        return self._write((Fault(ApiError(502, Kind.SERVER, message)),))

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
            out += self._writer.write(event)
        return out


class Translation(Struct):
    """An attempt at a backend that speaks another dialect. ``headers`` are the client's."""

    client: ClientDialect
    upstream: UpstreamDialect
    path: str
    destination: Destination
    identity: Identity
    headers: Headers
    request_id: str = ""
    parsed: Request | None = None
    sent: UpstreamRequest | None = None

    def request(self, body: bytes) -> Outgoing:
        """The request in the upstream's format. Plain bytes are asked for: the answer is rewritten anyway."""
        to = self.destination
        self.parsed = parsed = self.client.read_request(body, self.headers)
        turns, lost = without_foreign(parsed.turns, to.capabilities, to.model)
        own = replace(parsed, turns=turns) if lost else parsed
        self.sent = sent = self.upstream.write_request(own, to)
        return Outgoing(self.path, sent.body, ("accept-encoding",), (*lost, *sent.losses), (*_JSON, *sent.headers))

    def response(self, status: int, headers: Headers, *, end: bool) -> Handling:
        """A stream is translated event by event, anything else as a whole."""
        encoding = headers.get("content-encoding", "")
        # Ours, so that a caller can name it and both logs know it; the vendor's own id stays under its own name.
        identified = (("x-request-id", self.request_id),) if self.request_id else ()
        if status >= 400:
            return self._error(status, headers, encoding, identified, end=end)
        if status >= 300:
            raise _bad_gateway(f"the upstream answered {status}, which is neither an answer nor an error")
        if end:
            raise _bad_gateway(f"the upstream answered {status} without a body")
        request, sent = self._known()
        kind = media_type(headers)
        if kind == self.upstream.stream_content_type:
            if not request.stream:
                raise _bad_gateway("the upstream streamed an answer that was not asked to be streamed")
            flow = TranslatedFlow(
                self.upstream.stream_reader(headers, sent),
                self.client.stream_writer(request, self.identity),
                _maybe_decoder(encoding),
            )
            typed = (("content-type", self.client.stream_content_type), ("cache-control", "no-cache"), *identified)
            return Handling(typed, _REPLACED, flow=flow)
        return Handling(identified, whole=lambda body: self._answer(body, headers, encoding))

    def _known(self) -> tuple[Request, UpstreamRequest]:
        if self.parsed is None or self.sent is None:
            raise RuntimeError("a response before its request")
        return self.parsed, self.sent

    def _answer(self, body: bytes, headers: Headers, encoding: str) -> Answer:
        request, sent = self._known()
        response = self.upstream.read_response(_decoded(body, encoding), headers, sent)
        if request.stream:
            kind, out = self.client.stream_content_type, self._replayed(response, request)
        else:
            kind, out = "application/json", self.client.write_response(response, request, self.identity)
        return Answer(body=out, content_type=kind, usage=response.usage, model=response.model)

    def _replayed(self, response: Response, request: Request) -> bytes:
        writer = self.client.stream_writer(request, self.identity)
        return b"".join(writer.write(event) for event in events_of(response))

    def _error(
        self, status: int, headers: Headers, encoding: str, identified: tuple[tuple[str, str], ...], *, end: bool
    ) -> Handling:
        if end:
            raise UpstreamError(self.upstream.read_error(status, headers, b""))

        def answer(body: bytes) -> Answer:
            error = self.upstream.read_error(status, headers, _decoded(body, encoding))
            return Answer(error.status, self.client.write_error(error), "application/json", error=error)

        return Handling(identified, whole=answer)


def _maybe_decoder(encoding: str) -> StreamDecoder | None:
    if encoding in {"", "identity"}:
        return None
    try:
        return StreamDecoder(encoding, MAX_DECODED_BYTES)
    except WireError as error:
        raise _bad_gateway(f"the upstream's stream cannot be decoded: {error}") from error


def _decoded(body: bytes, encoding: str) -> bytes:
    try:
        return decode_all(body, encoding, MAX_DECODED_BYTES)
    except WireError as error:
        raise _bad_gateway(f"the upstream's body cannot be decoded: {error}") from error
