"""Client and backend speak the same dialect: bytes pass, usage is read on the way."""

from contextlib import suppress

from msgspec import Struct

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.response import Usage
from extproc.dialects.contract import ClientDialect, StreamTap
from extproc.exchange.attempt import MAX_DECODED_BYTES, Answer, Handling, Outgoing, is_json, media_type
from extproc.exchange.endpoints import Endpoint
from extproc.exchange.messages import Headers
from extproc.wire import multipart
from extproc.wire.encoding import StreamDecoder, decode_all
from extproc.wire.errors import WireError


class CountedFlow:
    """A compressed stream: passed as it came, counted on a decoded copy."""

    def __init__(self, tap: StreamTap, decoder: StreamDecoder) -> None:
        self._tap = tap
        self._decoder: StreamDecoder | None = decoder

    @property
    def usage(self) -> Usage:
        """The usage seen in the decoded copy."""
        return self._tap.usage

    @property
    def fault(self) -> ApiError | None:
        """The upstream's in-band error, or that it broke off, seen in the decoded copy."""
        return self._tap.fault

    @property
    def ended(self) -> bool:
        """Whether the answer's end was seen in the decoded copy."""
        return self._tap.ended

    def feed(self, chunk: bytes) -> bytes:
        """The chunk itself. A copy that cannot be decoded is not counted further; the client still gets every byte."""
        if self._decoder is not None:
            try:
                self._tap.feed(self._decoder.feed(chunk))
            except WireError:
                self._decoder = None
        return chunk

    def finish(self) -> bytes:
        """Nothing: a compressed stream cannot be added to. What the copy's end tells is accounted."""
        if self._decoder is not None:
            with suppress(WireError):
                self._decoder.finish()
            self._tap.finish()
        return b""


class DecodedFlow:
    """A compressed stream from which the gateway's own usage event must go.

    Decoded, so that the client gets plain bytes.
    """

    def __init__(self, tap: StreamTap, decoder: StreamDecoder, dialect: ClientDialect) -> None:
        self._tap = tap
        self._decoder = decoder
        self._dialect = dialect
        self._broken: ApiError | None = None

    @property
    def usage(self) -> Usage:
        """The usage seen so far."""
        return self._tap.usage

    @property
    def fault(self) -> ApiError | None:
        """Why the stream broke off, by its encoding or in its own words."""
        return self._broken or self._tap.fault

    @property
    def ended(self) -> bool:
        """Whether the answer's end was seen."""
        return self._tap.ended

    def feed(self, chunk: bytes) -> bytes:
        """The decoded bytes less the usage event; a broken encoding ends the stream with an error event."""
        if self._broken is not None:
            return b""
        try:
            return self._tap.feed(self._decoder.feed(chunk))
        except WireError as error:
            self._broken = ApiError(502, Kind.SERVER, f"the upstream's stream cannot be decoded: {error}")
            return self._dialect.error_event(self._broken)

    def finish(self) -> bytes:
        """What the tap still holds."""
        return b"" if self._broken is not None else self._tap.finish()


class Passthrough(Struct):
    """An attempt at a backend that speaks the client's dialect.

    ``model`` is the override, None to leave the client's. ``stream`` and ``headers`` are the client's.
    """

    dialect: ClientDialect
    endpoint: Endpoint
    path: str
    model: str | None
    stream: bool
    headers: Headers
    strip_usage: bool = False

    def request(self, body: bytes) -> Outgoing:
        """The client's bytes, edited in place where the route says so."""
        if self.endpoint.multipart and media_type(self.headers) == "multipart/form-data":
            return self._multipart(body)
        meter = self.stream and self.endpoint.metered_stream and not self.dialect.asks_usage(body)
        edited = self.dialect.edit(body, model=self.model, include_usage=meter)
        if edited is body:
            return Outgoing(self.path)
        self.strip_usage = meter
        # A stream from which an event must go is asked for uncompressed, so that it passes without being re-coded.
        return Outgoing(self.path, edited, ("accept-encoding",) if meter else ())

    def _multipart(self, body: bytes) -> Outgoing:
        if self.model is None:
            return Outgoing(self.path)
        content_type = self.headers.get("content-type", "")
        field = multipart.read_field(body, content_type, "model")
        if field is None or field.value == self.model:
            return Outgoing(self.path)
        return Outgoing(self.path, multipart.replace(body, field, self.model.encode()))

    def response(self, status: int, headers: Headers, *, end: bool) -> Handling:
        """Streams are tapped, JSON is read for usage, an error that is not JSON is put into the dialect."""
        if end:
            return Handling()
        kind = media_type(headers)
        encoding = headers.get("content-encoding", "")
        if status >= 400:
            if is_json(kind):
                return Handling()
            return Handling(whole=lambda body: self._error(status, body, encoding))
        if kind == self.dialect.stream_content_type:
            return self._stream(encoding)
        if is_json(kind):
            return Handling(whole=lambda body: self._answer(body, encoding))
        return Handling()

    def _stream(self, encoding: str) -> Handling:
        tap = self.dialect.stream_tap(strip_usage=self.strip_usage)
        if not encoding or encoding == "identity":
            return Handling(remove_headers=("content-length",), flow=tap)
        try:
            decoder = StreamDecoder(encoding, MAX_DECODED_BYTES)
        except WireError:
            return Handling()
        if self.strip_usage:
            flow = DecodedFlow(tap, decoder, self.dialect)
            return Handling(remove_headers=("content-length", "content-encoding"), flow=flow)
        return Handling(remove_headers=("content-length",), flow=CountedFlow(tap, decoder))

    def _answer(self, body: bytes, encoding: str) -> Answer:
        try:
            usage, model = self.dialect.read_usage(decode_all(body, encoding, MAX_DECODED_BYTES))
        except WireError:
            return Answer()
        return Answer(usage=usage, model=model)

    def _error(self, status: int, body: bytes, encoding: str) -> Answer:
        try:
            text = decode_all(body, encoding, MAX_DECODED_BYTES)[:500].decode("utf-8", "replace").strip()
        except WireError:
            text = ""
        error = ApiError(
            status, kind_of(status), text or f"the upstream answered {status} without a readable body", vendor=True
        )
        return Answer(body=self.dialect.write_error(error), content_type="application/json", error=error)


def kind_of(status: int) -> Kind:
    """The error class of a bare HTTP status."""
    return _KINDS.get(status, Kind.SERVER if status >= 500 else Kind.INVALID_REQUEST)


_KINDS = {
    401: Kind.AUTHENTICATION,
    402: Kind.BILLING,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
    529: Kind.OVERLOADED,
}
