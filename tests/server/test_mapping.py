"""Envoy's bytes to events, and actions to Envoy's bytes."""

from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from extproc.exchange.messages import (
    PASS,
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
from extproc.server.mapping import UnreadableMessageError, read, write
from extproc.server.proto import extproc_pb2 as pb
from tests.support import recorded_events as recorded
from tests.support.processor_client import message

EVENTS: list[Event] = [
    RequestHeaders({":path": "/v1/chat/completions", "x-latin": "\xe9\xff"}, end=False),
    RequestHeaders({}, end=True),
    RequestBody(b"\x00\xff{}", end=True),
    RequestBody(b"", end=False),
    RequestTrailers(),
    ResponseHeaders({":status": "200"}, end=False, attributes={"response.code_details": "via_upstream", "a": "\xff"}),
    ResponseHeaders({":status": "204"}, end=True),
    ResponseBody(b"data: x\n\n", end=False),
    ResponseBody(b"", end=True),
    ResponseTrailers(),
]
PHASES: list[tuple[Event, str]] = [
    (RequestHeaders({}, end=False), "request_headers"),
    (RequestBody(b"", end=True), "request_body"),
    (RequestTrailers(), "request_trailers"),
    (ResponseHeaders({}, end=False), "response_headers"),
    (ResponseBody(b"", end=True), "response_body"),
    (ResponseTrailers(), "response_trailers"),
]


def written(event: Event, action: Proceed | Reply) -> pb.ProcessingResponse:
    """The answer as Envoy reads it."""
    return pb.ProcessingResponse.FromString(write(event, action))


def common(event: Event, response: pb.ProcessingResponse) -> pb.CommonResponse:
    """What an answer to headers or a body says."""
    phase = next(name for other, name in PHASES if type(other) is type(event))
    found = getattr(response, phase).response
    assert isinstance(found, pb.CommonResponse)
    return found


def set_headers(mutation: pb.HeaderMutation) -> list[tuple[str, bytes, int]]:
    """The headers that are set, as name, bytes and manner."""
    return [(o.header.key, o.header.raw_value, o.append_action) for o in mutation.set_headers]


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_every_event_is_read_as_it_was_told(event: Event) -> None:
    """Whatever Envoy tells, the exchange hears all of it."""
    assert read(message(event)) == event


def test_a_recorded_request_is_read() -> None:
    """The bytes of a real Envoy become the request's headers, repeated ones joined in their order."""
    event = read(recorded.REQUEST_HEADERS)

    assert event == RequestHeaders(
        {
            ":authority": "gateway.local",
            ":path": "/v1/chat/completions",
            ":method": "POST",
            ":scheme": "http",
            "content-type": "application/json",
            "x-many": "a,b, c",
            "content-length": "2",
            "x-forwarded-proto": "http",
            "x-request-id": "798dde75-5539-4f37-a013-e511de58d679",
        },
        end=False,
    )
    assert read(recorded.REQUEST_BODY) == RequestBody(b"{}", end=True)


def test_what_envoy_found_of_a_token_comes_with_the_headers() -> None:
    """Texts and whole numbers of the filter's own namespace are read; other namespaces and other values are not."""
    request = pb.ProcessingRequest()
    request.request_headers.end_of_stream = True
    spaces = request.metadata_context.filter_metadata
    spaces["somebody.else"].fields["p"].struct_value.fields["iss"].string_value = b"forged"
    found = spaces["envoy.filters.http.jwt_authn"].fields
    claims = found["p"].struct_value.fields
    claims["sub"].string_value = "Zoë".encode()
    claims["exp"].number_value = 1_800_000_000
    claims["share"].number_value = 0.5
    claims["endless"].number_value = float("inf")
    claims["nothing"].number_value = float("nan")
    claims["inner"].struct_value.fields["sub"].string_value = b"root"
    found["failed:q"].struct_value.fields["code"].number_value = 25
    found["text"].string_value = b"no structure"

    event = read(request.SerializeToString())

    assert isinstance(event, RequestHeaders)
    assert event.tokens == {"p": {"sub": "Zo\xc3\xab", "exp": "1800000000"}, "failed:q": {"code": "25"}}
    assert "root" not in repr(event)


@pytest.mark.parametrize(
    ("data", "status", "flags", "details"),
    [
        (recorded.RESPONSE_HEADERS, "200", "0", "via_upstream"),
        (
            recorded.LOCAL_REPLY,
            "503",
            "32",
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
        ),
    ],
)
def test_attributes_tell_the_upstream_from_envoy(data: bytes, status: str, flags: str, details: str) -> None:
    """Attributes of the filter arrive by name, a number as its digits."""
    event = read(data)

    assert isinstance(event, ResponseHeaders)
    assert event.headers[":status"] == status
    assert event.attributes == {
        "response.code_details": details,
        "response.flags": flags,
        "request.path": "/v1/chat/completions",
        "xds.route_name": "",
    }


def test_a_recorded_end_is_an_empty_body() -> None:
    """A chunked response ends with an empty body that says so."""
    assert read(recorded.LAST_CHUNK) == ResponseBody(b"", end=True)


def test_bytes_that_are_no_utf8_are_read() -> None:
    """A path that an HTTP/2 client filled with any bytes does not break the stream, though it is an attribute too."""
    event = read(recorded.ODD_BYTES)

    assert isinstance(event, RequestHeaders)
    assert event.headers[":path"] == "/v1/a\xff\xc3"
    assert event.headers["x-w"] == "\xff"


def test_the_older_form_of_a_header_is_read() -> None:
    """An Envoy told to send ``value`` instead of ``raw_value`` is understood."""
    request = pb.ProcessingRequest()
    request.request_headers.headers.headers.add(key="x-old", value="y")

    assert read(request.SerializeToString()) == RequestHeaders({"x-old": "y"}, end=False)


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"\x62\x00"], ids=["no phase", "garbage", "unknown phase"])
def test_a_message_without_a_known_phase_is_refused(data: bytes) -> None:
    """What is no event raises an error of its own."""
    with pytest.raises(UnreadableMessageError):
        read(data)


@given(st.binary(max_size=64))
def test_reading_raises_nothing_else(data: bytes) -> None:
    """Any bytes are an event or an UnreadableMessageError."""
    try:
        event = read(data)
    except UnreadableMessageError:
        return

    assert event == read(message(event))


@pytest.mark.parametrize(("event", "phase"), PHASES, ids=[name for _, name in PHASES])
@pytest.mark.parametrize("action", [PASS, Proceed()], ids=["shared", "fresh"])
def test_passing_answers_in_the_phase_of_the_event(event: Event, phase: str, action: Proceed) -> None:
    """Nothing to change is an empty answer in the same phase, with no mode and no metadata."""
    response = written(event, action)

    assert response.WhichOneof("response") == phase
    assert len(response.ListFields()) == 1
    assert response == written(event, PASS)


def test_headers_overwrite_with_raw_bytes() -> None:
    """Set headers replace every copy, byte for byte, and removed ones are named."""
    event = RequestBody(b"{}", end=True)
    action = Proceed(set_headers=((":path", "/x"), ("x-l", "\xe9")), remove_headers=("a", "b"), clear_route_cache=True)
    found = common(event, written(event, action))

    overwrite = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    assert set_headers(found.header_mutation) == [(":path", b"/x", overwrite), ("x-l", b"\xe9", overwrite)]
    assert list(found.header_mutation.remove_headers) == ["a", "b"]
    assert found.clear_route_cache


@pytest.mark.parametrize(
    ("body", "kind", "value"),
    [(None, None, None), (b"", "clear_body", True), (b"\x00new", "body", b"\x00new")],
    ids=["kept", "emptied", "replaced"],
)
@pytest.mark.parametrize("event", [RequestBody(b"old", end=True), ResponseBody(b"old", end=False)])
def test_a_body_is_kept_emptied_or_replaced(event: Event, body: bytes | None, kind: str | None, value: object) -> None:
    """None leaves the body alone, which is not the same as an empty one."""
    mutation = common(event, written(event, Proceed(body=body))).body_mutation

    assert mutation.WhichOneof("mutation") == kind
    assert kind is None or getattr(mutation, kind) == value


_NAMES = st.sampled_from([":path", "x-a", "x-request-id", "content-length", "date"])
_VALUES = st.one_of(st.text(st.characters(max_codepoint=255), max_size=200), st.just("v" * 5000))
_BODIES = st.one_of(st.none(), st.sampled_from([0, 1, 127, 128, 16383, 16384, 16385]).map(lambda size: b"\xff" * size))


@given(
    st.lists(st.tuples(_NAMES, _VALUES), max_size=5).map(tuple),
    st.lists(_NAMES, max_size=2).map(tuple),
    _BODIES,
    st.booleans(),
    st.booleans(),
)
def test_pieces_make_one_answer(
    headers: tuple[tuple[str, str], ...], removed: tuple[str, ...], body: bytes | None, clear: bool, secret: bool
) -> None:
    """Whatever of an answer was kept and whatever is new, Envoy reads all of it, and headers of one name in order."""
    event = ResponseBody(b"old", end=True)
    action = Proceed(headers, removed, body, clear, metadata={"input_tokens": 3}, secret=secret)
    for _ in range(2):
        response = written(event, action)
        found = common(event, response)

        told = [(name, value) for name, value, _ in set_headers(found.header_mutation)]
        assert sorted(told, key=lambda pair: pair[0]) == sorted(
            [(name, value.encode("latin-1")) for name, value in headers], key=lambda pair: pair[0]
        )
        assert tuple(found.header_mutation.remove_headers) == removed
        assert found.clear_route_cache is clear
        assert (found.body_mutation.WhichOneof("mutation") is None) == (body is None)
        assert found.body_mutation.body == (body or b"")
        assert response.HasField("dynamic_metadata")


@pytest.mark.parametrize(
    ("mode", "sent"),
    [(BodyMode.BUFFERED, pb.ProcessingMode.BUFFERED), (BodyMode.STREAMED, pb.ProcessingMode.STREAMED)],
)
def test_a_body_mode_also_asks_for_trailers(mode: BodyMode, sent: Any) -> None:
    """The override keeps headers coming, and asks for trailers, where HTTP/2 upstreams put their end."""
    override = written(ResponseHeaders({}, end=False), Proceed(body_mode=mode)).mode_override

    assert override == pb.ProcessingMode(
        response_header_mode=pb.ProcessingMode.SEND,
        response_body_mode=sent,
        response_trailer_mode=pb.ProcessingMode.SEND,
    )


@pytest.mark.parametrize("event", [RequestTrailers(), ResponseTrailers()])
def test_trailers_can_be_changed(event: Event) -> None:
    """An answer to trailers sets and removes trailers."""
    response = written(event, Proceed(set_headers=(("x-t", "1"),), remove_headers=("y",)))
    mutation = (
        response.request_trailers if isinstance(event, RequestTrailers) else response.response_trailers
    ).header_mutation

    assert [name for name, _, _ in set_headers(mutation)] == ["x-t"]
    assert list(mutation.remove_headers) == ["y"]


@pytest.mark.parametrize(
    "event",
    [RequestHeaders({}, end=False), ResponseHeaders({}, end=False), RequestTrailers(), ResponseTrailers()],
    ids=lambda e: type(e).__name__,
)
def test_only_a_body_is_answered_with_a_body(event: Event) -> None:
    """A body where none can go is an error of ours, never silently lost."""
    with pytest.raises(ValueError, match="cannot be answered with a body"):
        write(event, Proceed(body=b"x"))


def test_metadata_goes_to_the_namespace() -> None:
    """Usage stands as numbers and names as text under the documented namespace."""
    response = written(
        ResponseBody(b"", end=True), Proceed(metadata={"input_tokens": 7, "model": "gpt", "odd": "\ud800"})
    )
    expected = struct_pb2.Struct()
    expected.update({"io.envoy.ai_gateway": {"input_tokens": 7, "model": "gpt", "odd": "?"}})

    assert response.dynamic_metadata == expected
    assert response.WhichOneof("response") == "response_body"


@pytest.mark.parametrize(("event", "_phase"), PHASES, ids=[name for _, name in PHASES])
def test_a_reply_fits_every_phase(event: Event, _phase: str) -> None:
    """A reply carries status, headers, body, details and metadata, whatever it answers."""
    reply = Reply(404, b'{"error":1}', "llmroute_\ud800", (("content-type", "application/json"),), {"model": "m"})
    response = written(event, reply)
    immediate = response.immediate_response

    assert (immediate.status.code, immediate.body, immediate.details) == (404, b'{"error":1}', "llmroute_?")
    overwrite = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    assert set_headers(immediate.headers) == [("content-type", b"application/json", overwrite)]
    assert response.dynamic_metadata.fields["io.envoy.ai_gateway"].struct_value.fields["model"].string_value == "m"


def test_a_header_beyond_latin1_is_refused() -> None:
    """A header that has no bytes raises instead of being sent changed."""
    with pytest.raises(UnicodeEncodeError):
        write(RequestBody(b"", end=True), Proceed(set_headers=(("x", "\u20ac"),)))


def test_a_number_beyond_a_double_is_left_out() -> None:
    """An upstream's absurd count costs itself its place and nothing else."""
    counts = {"input_tokens": int("9" * 400), "output_tokens": 3, "total_tokens": -int("9" * 400)}
    response = written(ResponseBody(b"", end=True), Proceed(metadata=counts))

    fields = response.dynamic_metadata.fields["io.envoy.ai_gateway"].struct_value.fields
    assert {name: value.number_value for name, value in fields.items()} == {"output_tokens": 3.0}
