"""Any conversation through every cell, to an upstream that tells what it heard and says something back."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.exchange.messages import Reply
from tests.support.client_answers import Told, read_answer
from tests.support.dialogues import (
    Ask,
    Call,
    Dialogue,
    Late,
    Result,
    Say,
    Use,
    answers,
    client_body,
    dialogues,
    plain_arguments,
    plain_texts,
)
from tests.support.echo_upstreams import Answer, Heard, Spent, literal
from tests.support.matrix_cells import CELLS, FEW, TRANSLATING, Cell, sent_body, streamed_answer, whole_answer

counts = st.integers(0, 10**6)
spendings = st.builds(
    lambda fresh, cached, written, output: Spent(fresh + cached + written, cached, written, output),
    *(counts, counts, counts, counts),
)
#: What the upstream answers; the names of the calls are replaced by such as it heard.
said = st.builds(
    Answer,
    st.none() | plain_texts,
    st.sampled_from(["c2lnbmF0dXJl", "QUJD" * 30]),
    plain_texts | st.just(""),
    st.lists(st.tuples(st.just(""), st.just(""), plain_arguments), max_size=3).map(tuple),
    spendings,
).filter(lambda answer: bool(answer.text or answer.calls))
cells = pytest.mark.parametrize("cell", CELLS, ids=str)
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def _value(literally: Any) -> Any:
    """A JSON value by what its numbers are worth, as SDKs parse them and write them anew."""
    match literally:
        case ("number", str(word)):
            return Decimal(word)
        case dict():
            return {name: _value(one) for name, one in literally.items()}
        case list() | tuple():
            return [_value(one) for one in literally]
        case _:
            return literally


def _calls(dialogue: Dialogue) -> list[Call]:
    return [call for step in dialogue.steps if isinstance(step, Use) for call in step.calls]


def _words(dialogue: Dialogue) -> list[tuple[str, str]]:
    """Who said what, late system text left out, neighbours joined."""
    heard = Heard()
    for step in dialogue.steps:
        match step:
            case Ask():
                heard.say("user", "".join(step.texts))
            case Say():
                heard.say("assistant", step.text)
            case Use() if step.text:
                heard.say("assistant", step.text)
            case _:
                pass
    return heard.words


def _rejoined(words: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one speaker joined, speakers of nothing left out."""
    joined = Heard()
    for role, text in words:
        if text:
            joined.say(role, text)
    return joined.words


def _folded(text: str, whole: str) -> str:
    """A late system text as it was told in the user's name: in a wrapper, or as it is."""
    wrapped = f"<system_message>\n{text}\n</system_message>"
    return wrapped if wrapped in whole else text


def _heard_as_said(cell: Cell, dialogue: Dialogue, heard: Heard) -> None:
    late = [step.text for step in dialogue.steps if isinstance(step, Late)]
    told_apart = [text for text in late if text in heard.system[len(dialogue.system) :]]
    assert heard.system[: len(dialogue.system)] == list(dialogue.system)
    folded = [text for text in late if text not in told_apart]
    if not folded:
        assert _rejoined(heard.words) == _words(dialogue)
    else:
        told, said_words = ("".join(t for r, t in words if r == "user") for words in (heard.words, _words(dialogue)))
        extra = [_folded(text, told) for text in folded]
        assert all(text in told for text in extra)
        assert len(told) == len(said_words) + sum(map(len, extra))
        assert [t for r, t in heard.words if r == "assistant"] == [t for r, t in _words(dialogue) if r == "assistant"]
    pictures = [data for step in dialogue.steps if isinstance(step, Ask) for data in step.pictures]
    assert heard.pictures == pictures
    assert sorted(heard.tools) == sorted(dialogue.tools)


def _calls_as_said(cell: Cell, dialogue: Dialogue, heard: Heard) -> None:
    calls = _calls(dialogue)
    assert [(name, given) for _, name, given in heard.calls] == [(c.name, literal(c.arguments)) for c in calls]
    results = {r.call_id: r for step in dialogue.steps if isinstance(step, Use) for r in step.results}
    told = {one: (text, failed) for one, text, failed in heard.results}
    if None in told:
        expected = [results[c.id] for c in calls]
        assert [(text, failed) for _, text, failed in heard.results] == [_result(cell, r) for r in expected]
        return
    assert len(heard.results) == len(calls)
    for call, (one, _, _) in zip(calls, heard.calls, strict=True):
        assert told[one] == _result(cell, results[call.id])


def _result(cell: Cell, result: Result) -> tuple[str, bool]:
    return result.text, result.failed and cell.client == "anthropic"


def _unique(dialogue: Dialogue) -> Dialogue:
    """Ids that no other turn has, as vendors give them."""
    steps: list[Any] = []
    for position, step in enumerate(dialogue.steps):
        if isinstance(step, Use):
            calls = tuple(replace(call, id=f"{call.id}_{position}") for call in step.calls)
            results = tuple(replace(one, call_id=f"{one.call_id}_{position}") for one in step.results)
            steps.append(Use(step.text, calls, results))
        else:
            steps.append(step)
    return replace(dialogue, steps=tuple(steps))


plain_dialogues = dialogues().map(_unique)


@cells
@FEW
@given(dialogue=plain_dialogues)
def test_the_upstream_hears_what_the_client_said(cell: Cell, dialogue: Dialogue) -> None:
    """Texts, pictures, calls with their arguments to the letter, and results by their calls, all in order."""
    body = client_body(cell.client, dialogue, stream=False)
    _, action = cell.send(body)
    heard = cell.echo.hear(sent_body(action, body))
    _heard_as_said(cell, dialogue, heard)
    _calls_as_said(cell, dialogue, heard)


@pytest.mark.parametrize("cell", TRANSLATING, ids=str)
@FEW
@given(dialogue=dialogues(odd=True))
def test_what_cannot_be_carried_is_refused_by_name(cell: Cell, dialogue: Dialogue) -> None:
    """Odd ids, names, arguments and blanks arrive paired and in order, or are refused, and the refusal says which."""
    body = client_body(cell.client, dialogue, stream=False)
    _, action = cell.send(body)
    if isinstance(action, Reply):
        assert action.status == 400
        message = str(literal(action.body)["error"]["message"])
        assert "messages" in message or "tools" in message or "JSON" in message or "json" in message, message
        return
    heard = cell.echo.hear(sent_body(action, body))
    assert len(heard.calls) == len(heard.results) == len(_calls(dialogue))
    for (one, _, _), (answered, _, _) in zip(
        *(sorted(told, key=lambda entry: str(entry[0])) for told in (heard.calls, heard.results)), strict=True
    ):
        assert one == answered


def _answer(draw: st.DataObject, heard: Heard) -> Answer:
    """What the upstream says: its calls have names that it knows, and ids of its own."""
    answer = draw.draw(said)
    names = [draw.draw(st.sampled_from(heard.tools)) for _ in answer.calls]
    given = zip(names, answer.calls, strict=True)
    calls = tuple((f"call_up_{i}", name, call[2]) for i, (name, call) in enumerate(given))
    return replace(answer, calls=calls)


def _told_as_said(cell: Cell, told: Told, answer: Answer) -> None:
    assert told.text == answer.text
    assert told.thought == (answer.thought or "")
    expected = [(name, _value(literal(arguments))) for _, name, arguments in answer.calls]
    assert [(name, _value(given)) for _, name, given in told.calls] == expected
    ids = [one for one, _, _ in told.calls]
    assert len(set(ids)) == len(ids)
    if cell.schema != "Gemini":
        assert ids == [one for one, _, _ in answer.calls]
    assert (told.prompt, told.cached, told.output) == (answer.spent.prompt, answer.spent.cached, answer.spent.output)
    stopped = {"openai": ("stop", "tool_calls"), "anthropic": ("end_turn", "tool_use")}[cell.client]
    assert told.finish == stopped[bool(answer.calls)]


def _cut(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    return [whole[start:end] for start, end in pairwise(places)]


@streams
@cells
@FEW
@given(dialogue=plain_dialogues, draw=st.data(), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_the_client_is_told_what_the_upstream_said(
    cell: Cell, dialogue: Dialogue, draw: st.DataObject, cuts: list[int], *, stream: bool
) -> None:
    """Text, reasoning, calls, ids, usage and why it stopped; sent back, the upstream hears its own words again.

    A stream gives the same bytes wherever it is cut.
    """
    body = client_body(cell.client, dialogue, stream=stream)
    made, action = cell.send(body)
    answer = _answer(draw, cell.echo.hear(sent_body(action, body)))
    if stream:
        chunks = cell.echo.stream(answer)
        out = streamed_answer(made, cell.echo.content_type, chunks)
        again, _ = cell.send(body)
        assert streamed_answer(again, cell.echo.content_type, _cut(b"".join(chunks), cuts)) == out
    else:
        out = whole_answer(made, cell.echo.whole(answer))
    told = read_answer(cell.client, out, stream=stream)
    _told_as_said(cell, told, answer)
    _hears_itself(cell, dialogue, told, answer)


def _hears_itself(cell: Cell, dialogue: Dialogue, told: Told, answer: Answer) -> None:
    """The next turn: the answer and the results of its calls, as the client writes them."""
    results = [Result(one, "done") for one, _, _ in told.calls]
    more = [told.message, *answers(cell.client, results), {"role": "user", "content": "go on"}]
    body = client_body(cell.client, dialogue, stream=False, more=more)
    _, action = cell.send(body)
    heard = cell.echo.hear(sent_body(action, body))
    assert _value(heard.last) == _value(cell.echo.spoken(answer))
