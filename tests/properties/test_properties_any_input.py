"""Nothing that arrives makes a translator raise: a wrong request is answered in dialect, a wrong answer told as one."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.exchange.machine import Exchange
from extproc.exchange.messages import Proceed, Reply, ResponseBody
from tests.support.client_answers import read_answer
from tests.support.dialogues import client_body, dialogues
from tests.support.echo_upstreams import Answer, Spent
from tests.support.eventstream_frames import raw_frame
from tests.support.exchange_driver import response_headers
from tests.support.matrix_cells import CELLS, FEW, TRANSLATING, Cell

cells = pytest.mark.parametrize("cell", CELLS, ids=str)
translating = pytest.mark.parametrize("cell", TRANSLATING, ids=str)

#: Values that stand where others are expected; words that mean something somewhere are among them.
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "auto", "text", "tool", "user", "system", "image_url", "tool_use", "llmr1.", "\ud7ff", "\x00"]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "text", "id", "name", "content", "index"]), inner, max_size=2)
    ),
    max_leaves=4,
)
ANSWER = Answer("hm", "c2ln", "hello", (("call_1", "spare", '{"a":1}'),), Spent(9, 3, 2, 5))


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in inner for place in _places(one, (*at, key)))]


def _mutated(draw: st.DataObject, value: Any) -> Any:
    """The value with up to three places replaced, removed or doubled."""
    for _ in range(draw.draw(st.integers(1, 3))):
        places = [place for place in _places(value) if place]
        if not places:
            break
        *above, last = draw.draw(st.sampled_from(places))
        holder = value
        for key in above:
            holder = holder[key]
        how = draw.draw(st.sampled_from(["replace", "replace", "remove", "double"]))
        if how == "replace":
            holder[last] = draw.draw(junk)
        elif how == "remove":
            del holder[last]
        elif isinstance(holder, list):
            holder.append(holder[last])
        else:
            holder[draw.draw(st.sampled_from(["type", "id", "x", "thinking", "reasoning_details"]))] = holder[last]
    return value


@cells
@FEW
@given(dialogue=dialogues(), draw=st.data(), stream=st.booleans())
def test_any_request_is_sent_or_answered(cell: Cell, dialogue: Any, draw: st.DataObject, *, stream: bool) -> None:
    """A request with wrong, missing or stray members goes upstream or is answered 4xx with an error in dialect."""
    body = _mutated(draw, json.loads(client_body(cell.client, dialogue, stream=stream)))
    _, action = cell.send(json.dumps(body).encode())
    if isinstance(action, Reply):
        assert 400 <= action.status < 500, action
        assert json.loads(action.body)["error"]["message"]
    elif action.body is not None:
        json.loads(action.body)


def _asked(cell: Cell, *, stream: bool) -> Exchange:
    head = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    tool = {"name": "spare", "input_schema": {"type": "object"}}
    openai = {"type": "function", "function": {"name": "spare"}}
    made, action = cell.send(json.dumps({**head, "tools": [openai if cell.client == "openai" else tool]}).encode())
    assert isinstance(action, Proceed), action
    return made


@translating
@FEW
@given(draw=st.data())
def test_any_answer_is_told_or_is_an_error(cell: Cell, draw: st.DataObject) -> None:
    """An answer with wrong, missing or stray members is read as far as it goes, or is the upstream's failure."""
    body = json.dumps(_mutated(draw, json.loads(cell.echo.whole(ANSWER)))).encode()
    made = _asked(cell, stream=False)
    made.receive(response_headers())
    action = made.receive(ResponseBody(body, end=True))
    assert isinstance(action, Proceed)
    json.loads(action.body or b"")


@translating
@FEW
@given(body=st.binary(max_size=40), status=st.sampled_from([200, 400, 429, 500, 529]))
def test_any_bytes_are_told_as_an_error(cell: Cell, body: bytes, status: int) -> None:
    """Bytes that are no answer at all end as an error in the client's dialect, under any status."""
    made = _asked(cell, stream=False)
    made.receive(response_headers(status))
    action = made.receive(ResponseBody(body, end=True))
    assert isinstance(action, Proceed)
    assert json.loads(action.body or b"")["error"]["message"]


@translating
@FEW
@given(draw=st.data())
def test_any_stream_ends_in_its_end_or_an_error(cell: Cell, draw: st.DataObject) -> None:
    """Events changed, lost, doubled, broken or put between random bytes: legal events come out, and one end."""
    chunks = cell.echo.stream(ANSWER)
    for _ in range(draw.draw(st.integers(1, 3))):
        place = draw.draw(st.integers(0, len(chunks) - 1))
        how = draw.draw(st.sampled_from(["junk", "cut", "remove", "double", "swap", "mutate"]))
        if how == "mutate":
            chunks[place] = _mutated_event(draw, cell, chunks[place])
        else:
            _damage(draw, chunks, place, how)
        if not chunks:
            break
    made = _asked(cell, stream=True)
    made.receive(response_headers(kind=cell.echo.content_type))
    out = b""
    for chunk, end in [*((chunk, False) for chunk in chunks), (b"", True)]:
        action = made.receive(ResponseBody(chunk, end=end))
        assert isinstance(action, Proceed)
        out += action.body if action.body is not None else b""
    _ends(cell, out)


def _damage(draw: st.DataObject, chunks: list[bytes], place: int, how: str) -> None:
    match how:
        case "junk":
            chunks.insert(place, draw.draw(st.binary(max_size=20)))
        case "cut":
            chunks[place] = chunks[place][: draw.draw(st.integers(0, len(chunks[place])))]
        case "remove":
            del chunks[place]
        case "double":
            chunks.insert(place, chunks[place])
        case _:
            chunks[place], chunks[-1] = chunks[-1], chunks[place]


def _mutated_event(draw: st.DataObject, cell: Cell, chunk: bytes) -> bytes:
    """The event with its JSON changed; the same bytes where there is none."""
    if cell.echo.content_type != "text/event-stream":
        return _mutated_frame(draw, chunk)
    head, _, data = chunk.partition(b"data: ")
    value = _maybe_json(data)
    return head + b"data: " + json.dumps(_mutated(draw, value)).encode() + b"\n\n" if value else chunk


def _mutated_frame(draw: st.DataObject, chunk: bytes) -> bytes:
    """AWS's frame with its JSON changed, or that which it wraps, and checksums that fit."""
    block_end = 12 + int.from_bytes(chunk[4:8], "big")
    value = _maybe_json(chunk[block_end:-4])
    if not isinstance(value, dict):
        return chunk
    if "bytes" in value:
        inner = _mutated(draw, json.loads(base64.b64decode(value["bytes"])))
        value["bytes"] = base64.b64encode(json.dumps(inner).encode()).decode()
    else:
        value = _mutated(draw, value)
    return raw_frame(chunk[12:block_end], json.dumps(value).encode())


def _maybe_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _ends(cell: Cell, out: bytes) -> None:
    """The client's stream is over, in a way that its SDK notices."""
    blocks = [block for block in out.split(b"\n\n") if block]
    assert blocks, "an empty stream"
    last = blocks[-1]
    if b'"error"' in last:
        return
    if cell.client == "anthropic":
        read_answer("anthropic", out, stream=True)
        assert b"message_stop" in last
    else:
        assert last == b"data: [DONE]"
