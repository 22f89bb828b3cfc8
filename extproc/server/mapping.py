"""Envoy's messages in the exchange's words and back: the only module that knows the protobuf shapes.

Filling messages field by field is measured to be three times cheaper than passing keyword arguments, and as cheap as
putting the bytes together by hand. What is said again and again (nothing to change, a route's headers, a body mode) is
kept as bytes: serialized messages that stand one after another are one message with the fields of all.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.message import DecodeError

from extproc.config.names import METADATA_NAMESPACE, VERIFIED_NAMESPACE
from extproc.exchange.messages import (
    Action,
    BodyMode,
    Event,
    Proceed,
    Reply,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from extproc.server.proto import extproc_pb2 as pb

_OVERWRITE: Final = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
#: How many answers of each kind are kept as bytes; some hold what clients say, so there must be an end.
_KEPT: Final = 1024
#: Headers whose values are another request's never: an answer that sets one is not kept, as nobody asks for it again.
_PER_REQUEST: Final = frozenset(
    {
        "x-request-id",
        "request-id",
        "x-amzn-requestid",
        "content-length",
        "date",
        "retry-after",
        "x-amz-date",
        "x-amz-content-sha256",
    }
)
#: An answer with longer headers is not kept: long values are paths and signatures, and room is for many short ones.
_MAX_KEPT_CHARS: Final = 4096
_MAX_NUMBER: Final = int(sys.float_info.max)
_Said = tuple[tuple[tuple[str, str], ...], tuple[str, ...], bool, BodyMode | None]
_NO_ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType({})
_NO_TOKENS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})


class UnreadableMessageError(ValueError):
    """Bytes that are no ``ProcessingRequest``, or one without a phase that this processor knows."""


def read(message: bytes) -> Event:
    """The event in a serialized ``ProcessingRequest``. Raises ``UnreadableMessageError``."""
    try:
        request = pb.ProcessingRequest.FromString(message)
    except DecodeError as error:
        raise UnreadableMessageError("not a ProcessingRequest") from error
    phase = request.WhichOneof("request")
    reader = None if phase is None else _READERS.get(phase)
    if reader is None:
        raise UnreadableMessageError("a ProcessingRequest without a known phase; is this Envoy newer than 1.40?")
    return reader(request)


def write(event: Event, action: Action) -> bytes:
    """The serialized ``ProcessingResponse`` that answers ``event`` with ``action``.

    Raises ``ValueError`` for what cannot be said: a body in answer to anything but a body, a header with a character
    beyond latin-1.
    """
    metadata = _metadata(action.metadata) if action.metadata else b""
    if isinstance(action, Reply):
        return _reply(action) + metadata
    if action.body is None:
        said = action.set_headers, action.remove_headers, action.clear_route_cache, action.body_mode
        # A credential would stay in memory after it has been replaced.
        recurs = not action.secret and _recurs(action.set_headers)
        unreplaced = _unreplaced if recurs else _serialized_changes
        return unreplaced(_PHASES[type(event)], said) + metadata
    return _replaced(_PHASES[type(event)], action, action.body, metadata)


def _headers(headers: Iterable[pb.HeaderValue]) -> dict[str, str]:
    found: dict[str, str] = {}
    for header in headers:
        name = header.key
        value = (header.raw_value or header.value.encode()).decode("latin-1")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _attributes(request: pb.ProcessingRequest) -> Mapping[str, str]:
    by_filter = request.attributes
    if not by_filter:
        return _NO_ATTRIBUTES
    found: dict[str, str] = {}
    for name in by_filter:
        found |= _texts(by_filter[name])
    return found


def _texts(struct: pb.Attributes) -> dict[str, str]:
    """The texts and whole numbers of a structure; what else is in it is left out."""
    found = {}
    fields = struct.fields
    for key in fields:
        value = fields[key]
        if value.HasField("string_value"):
            found[key] = value.string_value.decode("latin-1")
        elif value.HasField("number_value") and value.number_value.is_integer():
            found[key] = str(int(value.number_value))
    return found


def _tokens(request: pb.ProcessingRequest) -> Mapping[str, Mapping[str, str]]:
    spaces = request.metadata_context.filter_metadata
    if VERIFIED_NAMESPACE not in spaces:
        return _NO_TOKENS
    found = spaces[VERIFIED_NAMESPACE].fields
    return {key: _texts(found[key].struct_value) for key in found if found[key].HasField("struct_value")}


def _read_request_headers(request: pb.ProcessingRequest) -> Event:
    message = request.request_headers
    headers = _headers(message.headers.headers)
    if not request.HasField("metadata_context"):
        return RequestHeaders(headers, message.end_of_stream)
    return RequestHeaders(headers, message.end_of_stream, _tokens(request))


def _read_request_body(request: pb.ProcessingRequest) -> Event:
    message = request.request_body
    return RequestBody(message.body, message.end_of_stream)


def _read_response_headers(request: pb.ProcessingRequest) -> Event:
    message = request.response_headers
    return ResponseHeaders(_headers(message.headers.headers), message.end_of_stream, _attributes(request))


def _read_response_body(request: pb.ProcessingRequest) -> Event:
    message = request.response_body
    return ResponseBody(message.body, message.end_of_stream)


_READERS: Final[Mapping[str, Callable[[pb.ProcessingRequest], Event]]] = {
    "request_headers": _read_request_headers,
    "request_body": _read_request_body,
    "request_trailers": lambda _: RequestTrailers(),
    "response_headers": _read_response_headers,
    "response_body": _read_response_body,
    "response_trailers": lambda _: ResponseTrailers(),
}


def _reply(reply: Reply) -> bytes:
    response = pb.ProcessingResponse()
    message = response.immediate_response
    message.status.code = reply.status
    message.body = reply.body
    message.details = _encodable(reply.details)
    if reply.headers:
        _set_headers(message.headers, reply.headers)
    return response.SerializeToString()


def _recurs(set_headers: tuple[tuple[str, str], ...]) -> bool:
    """Whether an answer with these headers is likely to be given again."""
    size = 0
    for name, value in set_headers:
        if name in _PER_REQUEST:
            return False
        size += len(value)
    return size <= _MAX_KEPT_CHARS


def _serialized_changes(phase: str, said: _Said) -> bytes:
    """An answer that leaves the body as it is."""
    set_headers, remove_headers, clear_route_cache, body_mode = said
    action = Proceed(set_headers, remove_headers, clear_route_cache=clear_route_cache, body_mode=body_mode)
    return _changes(phase, action).SerializeToString()


_unreplaced = lru_cache(maxsize=_KEPT)(_serialized_changes)


def _replaced(phase: str, action: Proceed, body: bytes, metadata: bytes) -> bytes:
    if not phase.endswith("_body"):
        raise ValueError(f"{phase} cannot be answered with a body")
    response = _changes(phase, action)
    mutation = getattr(response, phase).response.body_mutation
    if body:
        mutation.body = body
    else:
        mutation.clear_body = True
    # Before the body is serialized: appending to tens of megabytes would copy them.
    response.MergeFromString(metadata)
    return response.SerializeToString()


def _changes(phase: str, action: Proceed) -> pb.ProcessingResponse:
    """All of an answer but body and metadata."""
    response = pb.ProcessingResponse()
    part = getattr(response, phase)
    if not phase.endswith("_trailers"):
        part = part.response
        part.clear_route_cache = action.clear_route_cache
    part.SetInParent()
    if action.set_headers or action.remove_headers:
        _set_headers(part.header_mutation, action.set_headers)
        part.header_mutation.remove_headers.extend(action.remove_headers)
    if action.body_mode is not None:
        response.mode_override.CopyFrom(_MODES[action.body_mode])
    return response


def _set_headers(mutation: pb.HeaderMutation, headers: Iterable[tuple[str, str]]) -> None:
    add = mutation.set_headers.add
    for name, value in headers:
        option = add()
        option.header.key = name
        option.header.raw_value = value.encode("latin-1")
        option.append_action = _OVERWRITE


def _metadata(values: Mapping[str, str | int]) -> bytes:
    """An answer with nothing but dynamic metadata. Names recur, so they are kept; counts do not.

    A number is a double there: one beyond its range, which only a broken upstream counts, is left out.
    """
    items = tuple(values.items())
    return _names(items) if all(isinstance(value, str) for value in values.values()) else _serialized(items)


def _serialized(items: tuple[tuple[str, str | int], ...]) -> bytes:
    response = pb.ProcessingResponse()
    fields = response.dynamic_metadata.fields[METADATA_NAMESPACE].struct_value.fields
    for key, value in items:
        if isinstance(value, str):
            fields[key].string_value = _encodable(value)
        elif abs(value) <= _MAX_NUMBER:
            fields[key].number_value = value
    return response.SerializeToString()


_names = lru_cache(maxsize=_KEPT)(_serialized)


def _encodable(text: str) -> str:
    """``text`` without the lone surrogates that a client's JSON may escape and UTF-8 has no bytes for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _mode(body: Any) -> pb.ProcessingMode:
    return pb.ProcessingMode(
        response_header_mode=pb.ProcessingMode.SEND,
        response_body_mode=body,
        response_trailer_mode=pb.ProcessingMode.SEND,
    )


_MODES: Final = {
    BodyMode.BUFFERED: _mode(pb.ProcessingMode.BUFFERED),
    BodyMode.STREAMED: _mode(pb.ProcessingMode.STREAMED),
}
#: The field of the answer, which is also the field of the question.
_PHASES: Final[Mapping[type[Event], str]] = {
    RequestHeaders: "request_headers",
    RequestBody: "request_body",
    RequestTrailers: "request_trailers",
    ResponseHeaders: "response_headers",
    ResponseBody: "response_body",
    ResponseTrailers: "response_trailers",
}
