"""Client and backend speak the same dialect: bytes pass, usage is read on the way."""

from contextlib import suppress
from dataclasses import replace

import msgspec
from msgspec import Struct

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.response import Usage
from extproc.dialects.contract import ClientDialect, StreamTap
from extproc.exchange.attempt import MAX_DECODED_BYTES, Answer, Handling, Outgoing, is_json, media_type
from extproc.exchange.endpoints import Endpoint
from extproc.exchange.failures import identified_by, read_error
from extproc.exchange.messages import Headers
from extproc.exchange.targets import Target
from extproc.exchange.wrapping import Unwrapper, bad_gateway, decoded, maybe_unwrapper, undecodable
from extproc.wire import multipart
from extproc.wire.encoding import decode_all
from extproc.wire.errors import WireError


class CountedFlow:
    """A compressed stream: passed as it came, counted on a decoded copy."""

    def __init__(self, tap: StreamTap, unwrapper: Unwrapper) -> None:
        self._tap = tap
        self._unwrapper: Unwrapper | None = unwrapper

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
        if self._unwrapper is not None:
            try:
                self._tap.feed(self._unwrapper.feed(chunk))
            except WireError:
                self._unwrapper = None
        return chunk

    def finish(self) -> bytes:
        """Nothing: a compressed stream cannot be added to. What the copy's end tells is accounted."""
        if self._unwrapper is not None:
            with suppress(WireError):
                self._unwrapper.finish()
            self._tap.finish()
        return b""


class UnwrappedFlow:
    """A stream that is not passed as it came: something around it must go, or the gateway's own usage event in it.

    The client gets plain bytes.
    """

    def __init__(self, tap: StreamTap, unwrapper: Unwrapper, dialect: ClientDialect) -> None:
        self._tap = tap
        self._unwrapper = unwrapper
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
        """The plain bytes less the usage event; a broken encoding ends the stream with an error event."""
        if self._broken is not None:
            return b""
        try:
            return self._tap.feed(self._unwrapper.feed(chunk))
        except WireError as error:
            self._broken = undecodable(error)
            return self._dialect.error_event(self._broken)

    def finish(self) -> bytes:
        """What the tap still holds."""
        if self._broken is not None:
            return b""
        try:
            rest = self._unwrapper.finish()
        except WireError:
            rest = b""  # the tap knows whether anything is missing
        return (self._tap.feed(rest) if rest else b"") + self._tap.finish()


class Passthrough(Struct):
    """An attempt at a backend that speaks the client's dialect.

    ``model`` is the override, None to leave the client's. ``stream`` and ``headers`` are the client's.
    """

    dialect: ClientDialect
    endpoint: Endpoint
    target: Target
    path: str
    model: str | None
    stream: bool
    headers: Headers
    request_id: str = ""
    strip_usage: bool = False

    def request(self, body: bytes) -> Outgoing:
        """The client's bytes, edited in place where the route says so, and as the platform wants them."""
        if self.endpoint.multipart and media_type(self.headers) == "multipart/form-data":
            return self._multipart(body)
        meter = self.stream and self.endpoint.metered_stream and not self.dialect.asks_usage(body)
        edited = self.dialect.edit(body, model=self.model, include_usage=meter)
        target = self.target
        losses = () if edited is body else self.dialect.edit_losses(body, model=self.model)
        dressed = target.platform.dress(edited, self.headers, self.endpoint.operation, target.place)
        if dressed.body is body:
            return Outgoing(self.path, None, dressed.remove_headers, dressed.losses, dressed.set_headers)
        self.strip_usage = meter
        # A stream from which something must go is asked for uncompressed, so that it passes without being re-coded.
        rewritten = meter or target.platform.hosted
        removed = (*dressed.remove_headers, "accept-encoding") if rewritten else dressed.remove_headers
        return Outgoing(self.path, dressed.body, removed, (*losses, *dressed.losses), dressed.set_headers)

    def _multipart(self, body: bytes) -> Outgoing:
        if self.model is None:
            return Outgoing(self.path)
        content_type = self.headers.get("content-type", "")
        field = multipart.read_field(body, content_type, "model")
        if field is None or field.value == self.model:
            return Outgoing(self.path)
        return Outgoing(self.path, multipart.replace(body, field, self.model.encode()))

    def response(self, status: int, headers: Headers, *, end: bool) -> Handling:
        """Streams are tapped, JSON is read for usage, an error that is not the dialect's own is put into it."""
        host = self.target.platform
        # A cloud names its answers by headers of its own, which no SDK of the maker looks for.
        identified = identified_by(self.request_id if host.hosted else "", self.dialect.name, headers)
        if status >= 300 or (end and self.endpoint.translated):
            return self._failure(status, headers, identified, end=end)
        if end:
            return Handling(identified)
        kind = media_type(headers)
        encoding = headers.get("content-encoding", "")
        if kind == (host.stream_content_type or self.dialect.stream_content_type):
            return self._stream(encoding, identified)
        if is_json(kind):
            return Handling(identified, whole=lambda body: self._answer(body, encoding))
        if self.endpoint.translated:
            return Handling(identified, whole=lambda body: self._unlabelled(body, encoding, status))
        return Handling(identified)

    def _failure(
        self, status: int, headers: Headers, identified: tuple[tuple[str, str], ...], *, end: bool
    ) -> Handling:
        if status < 300:
            raise bad_gateway(f"the upstream answered {status} without a body")
        if status < 400:
            raise bad_gateway(f"the upstream answered {status}, which is neither an answer nor an error")
        if end:
            raise UpstreamError(bare_error(status))
        return Handling(identified, whole=lambda body: self._error(status, headers, body))

    def _stream(self, encoding: str, identified: tuple[tuple[str, str], ...]) -> Handling:
        host = self.target.platform
        tap = self.dialect.stream_tap(strip_usage=self.strip_usage)
        try:
            unwrapper = maybe_unwrapper(encoding, host)
        except WireError:
            return Handling()
        if unwrapper is None:
            return Handling(identified, ("content-length",), flow=tap)
        if host.stream_content_type is not None:
            identified = (("content-type", self.dialect.stream_content_type), *identified)
        elif not self.strip_usage:
            return Handling(identified, ("content-length",), flow=CountedFlow(tap, unwrapper))
        flow = UnwrappedFlow(tap, unwrapper, self.dialect)
        return Handling(identified, ("content-length", "content-encoding"), flow=flow)

    def _answer(self, body: bytes, encoding: str) -> Answer:
        try:
            plain = decode_all(body, encoding, MAX_DECODED_BYTES)
        except WireError:
            return Answer()
        told = self.target.platform.undress(plain, self.endpoint.operation)
        usage, model = self.dialect.read_usage(told)
        return Answer(body=None if told is plain else told, usage=usage, model=model)

    def _unlabelled(self, body: bytes, encoding: str, status: int) -> Answer:
        """An answer of another media type than it should be, which counts if it is one nevertheless."""
        if not is_object(decoded(body, encoding)):
            raise bad_gateway(f"the upstream answered {status} with what is neither JSON nor a stream of events")
        return self._answer(body, encoding)

    def _error(self, status: int, headers: Headers, body: bytes) -> Answer:
        try:
            plain = decode_all(body, headers.get("content-encoding", ""), MAX_DECODED_BYTES)
        except WireError:
            plain = b""
        host = self.target.platform
        if host.error_dialect(headers, plain) != host.dialect:
            error = read_error(self.target, status, headers, plain)
            return Answer(error.status, self.dialect.write_error(error), "application/json", error=error)
        if is_object(plain) and is_json(media_type(headers)):
            return Answer()
        text = plain[:500].decode("utf-8", "replace").strip()
        error = replace(bare_error(status), message=text, vendor=True) if text else bare_error(status)
        return Answer(error.status, self.dialect.write_error(error), "application/json", error=error)


def bare_error(status: int) -> ApiError:
    """The error of a reply that says nothing but its status."""
    return ApiError(status, kind_of(status), f"the upstream answered {status} without a readable body")


def is_object(body: bytes) -> bool:
    """Whether a body is a JSON object."""
    try:
        _OBJECT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


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
