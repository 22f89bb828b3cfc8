"""Case append-only: what was sent of a conversation stands at the beginning of whatever is sent of it later."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.exchange.messages import Reply
from extproc.wire import jsontext
from tests.support.dialogues import Ask, Dialogue, Use, client_body, dialogues
from tests.support.matrix_cells import CELLS, FEW, Cell, sent_body

#: The member that holds the messages.
_MESSAGES = ("messages", "contents")


@pytest.mark.parametrize("cell", CELLS, ids=str)
@FEW
@given(dialogue=dialogues(odd=True) | dialogues(), data=st.data())
def test_append_only(cell: Cell, dialogue: Dialogue, data: st.DataObject) -> None:
    """System text, tools and all messages of the shorter conversation are, byte for byte, the longer one's first."""
    ends = [i for i, step in enumerate(dialogue.steps, 1) if isinstance(step, Ask | Use)]
    shorter = dialogue.begun(data.draw(st.sampled_from(ends)))
    sent = []
    for one in (shorter, dialogue):
        body = client_body(cell.client, one, stream=False)
        _, action = cell.send(body)
        if isinstance(action, Reply):
            return
        sent.append(_members(sent_body(action, body)))
    short, long = sent
    for name in short.keys() - set(_MESSAGES):
        assert long[name] == short[name], name
    [name] = short.keys() & set(_MESSAGES)
    told, later = _elements(short[name]), _elements(long[name])
    # The user may go on speaking in the last message; each of its parts stands where it stood.
    assert later[: len(told) - 1] == told[:-1]
    _begins_with(later[len(told) - 1], told[-1])


def _begins_with(longer: bytes, shorter: bytes) -> None:
    long, short = json.loads(longer), json.loads(shorter)
    assert long.keys() == short.keys()
    for name, value in short.items():
        grown: Any = long[name]
        if isinstance(value, str) and not isinstance(grown, str):
            # One text alone is written as a string.
            grown = grown[0]["text"]
        assert grown == value if isinstance(value, str) else grown[: len(value)] == value, name


def _members(body: bytes) -> dict[str, bytes]:
    return {name: bytes(value) for name, value in jsontext.members(body)}


def _elements(array: bytes) -> list[bytes]:
    return [json.dumps(one, ensure_ascii=False).encode() for one in json.loads(array)]
