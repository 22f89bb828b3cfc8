"""Envoy's messages in the exchange's words and back: the only module that knows the protobuf shapes.

Filling messages field by field is measured to be three times cheaper than passing keyword arguments, and as cheap as
putting the bytes together by hand. What is said most often, ``PASS``, is bytes made once.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, assert_never

from google.protobuf.message import DecodeError

from extproc.config.names import METADATA_NAMESPACE
from extproc.exchange.messages import (
    PASS,
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
_NO_ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType({})


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
    if action is PASS:
        return _PASSES[type(event)]
    response = pb.ProcessingResponse()
    if isinstance(action, Reply):
        _write_reply(response.immediate_response, action)
    else:
        _write_proceed(response, event, action)
    if action.metadata:
        fields = response.dynamic_metadata.fields[METADATA_NAMESPACE].struct_value.fields
        for key, value in action.metadata.items():
            if isinstance(value, str):
                fields[key].string_value = _encodable(value)
            else:
                fields[key].number_value = value
    return response.SerializeToString()


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
    found = {}
    for name in by_filter:
        fields = by_filter[name].fields
        for key in fields:
            value = fields[key]
            if value.HasField("string_value"):
                found[key] = value.string_value.decode("latin-1")
    return found


def _read_request_headers(request: pb.ProcessingRequest) -> Event:
    message = request.request_headers
    return RequestHeaders(_headers(message.headers.headers), message.end_of_stream)


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


def _write_reply(message: pb.ImmediateResponse, reply: Reply) -> None:
    message.status.code = reply.status
    message.body = reply.body
    message.details = _encodable(reply.details)
    if reply.headers:
        _set_headers(message.headers, reply.headers)


def _write_proceed(response: pb.ProcessingResponse, event: Event, action: Proceed) -> None:
    match event:
        case ResponseBody():
            _write_body(response.response_body.response, action)
        case RequestBody():
            _write_body(response.request_body.response, action)
        case RequestHeaders():
            _write_headers(response.request_headers.response, action)
        case ResponseHeaders():
            _write_headers(response.response_headers.response, action)
        case RequestTrailers():
            _write_trailers(response.request_trailers, action)
        case ResponseTrailers():
            _write_trailers(response.response_trailers, action)
        case _:
            assert_never(event)
    if action.body_mode is not None:
        response.mode_override.CopyFrom(_MODES[action.body_mode])


def _write_body(message: pb.CommonResponse, action: Proceed) -> None:
    if action.body:
        message.body_mutation.body = action.body
    elif action.body is not None:
        message.body_mutation.clear_body = True
    _write_changes(message, action)


def _write_headers(message: pb.CommonResponse, action: Proceed) -> None:
    _refuse_body(action)
    _write_changes(message, action)


def _write_changes(message: pb.CommonResponse, action: Proceed) -> None:
    message.SetInParent()
    if action.set_headers or action.remove_headers:
        _mutate(message.header_mutation, action)
    if action.clear_route_cache:
        message.clear_route_cache = True


def _write_trailers(message: pb.TrailersResponse, action: Proceed) -> None:
    _refuse_body(action)
    message.SetInParent()
    if action.set_headers or action.remove_headers:
        _mutate(message.header_mutation, action)


def _refuse_body(action: Proceed) -> None:
    if action.body is not None:
        raise ValueError("only a body can be answered with a body")


def _mutate(mutation: pb.HeaderMutation, action: Proceed) -> None:
    _set_headers(mutation, action.set_headers)
    mutation.remove_headers.extend(action.remove_headers)


def _set_headers(mutation: pb.HeaderMutation, headers: Iterable[tuple[str, str]]) -> None:
    add = mutation.set_headers.add
    for name, value in headers:
        option = add()
        option.header.key = name
        option.header.raw_value = value.encode("latin-1")
        option.append_action = _OVERWRITE


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


def _pass(event: Event) -> bytes:
    response = pb.ProcessingResponse()
    _write_proceed(response, event, PASS)
    return response.SerializeToString()


_PASSES: Final = {
    type(event): _pass(event)
    for event in (
        RequestHeaders({}, end=False),
        RequestBody(b"", end=False),
        RequestTrailers(),
        ResponseHeaders({}, end=False),
        ResponseBody(b"", end=False),
        ResponseTrailers(),
    )
}
