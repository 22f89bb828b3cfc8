"""Conversations that hypothesis builds, in no vendor's format, and how each client writes them.

``plain`` ones hold what every upstream can carry, so that no cell has a reason to refuse one. ``odd`` ones have ids and
names of any characters, blank texts and arguments of every spelling.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_OTHER_PNG = "iVBORw0KGgo="


@dataclass(frozen=True, slots=True)
class Ask:
    """What the user says: texts, and pictures (base64) after them."""

    texts: tuple[str, ...]
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Say:
    """What the assistant says."""

    text: str


@dataclass(frozen=True, slots=True)
class Late:
    """A system message between other messages."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Result:
    """What the tool answered; only Anthropic's clients can say that it failed."""

    call_id: str
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """Parallel calls, maybe after a text, with all their results in any order."""

    text: str
    calls: tuple[Call, ...]
    results: tuple[Result, ...]


Step = Ask | Say | Late | Use


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation that waits for an answer: it ends with the user's word, or a tool's."""

    system: tuple[str, ...]
    steps: tuple[Step, ...]
    tools: tuple[str, ...]
    escaped: bool = False

    def begun(self, length: int) -> "Dialogue":
        """The same conversation after its first ``length`` steps."""
        return Dialogue(self.system, self.steps[:length], self.tools, self.escaped)


plain_texts = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip())) | st.sampled_from(
    ["Hello", 'quoted "words" \\ and\nlines', "data: {}\n\n", "a\u2028b", "caf\u00e9 \U0001f600", " padded "]
)
_names = st.sampled_from(["look_up", "get-weather", "f", "n" * 64])
_ids = st.from_regex(r"call_[a-zA-Z0-9]{4,20}", fullmatch=True)
_objects = st.sampled_from(["{}", '{"city":"Oslo"}', '{"n":12345678901234567890,"x":1.0,"y":[-0.0,1e3]}'])
_drawn = st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.text(max_size=4), max_size=2)
plain_arguments = _objects | _drawn.map(json.dumps)
_pictures = st.lists(st.sampled_from([PNG, _OTHER_PNG]), max_size=2).map(tuple)

_odd_texts = st.text(max_size=6) | plain_texts
_odd_names = st.sampled_from(["g.h", "1st", "n" * 100, "na me", "\u00e9t\u00e9"]) | _names
_odd_ids = st.text(min_size=1, max_size=70)
_odd_arguments = st.sampled_from(["", " ", "[]", '"x"', '{"a":', "nonsense", '{"a":1,"a":2}']) | plain_arguments


@st.composite
def _uses(draw: st.DrawFn, odd: bool) -> Use:
    texts, arguments = (_odd_texts, _odd_arguments) if odd else (plain_texts, plain_arguments)
    ids = draw(st.lists(_odd_ids if odd else _ids, min_size=1, max_size=3, unique=True))
    calls = tuple(Call(one, draw(_odd_names if odd else _names), draw(arguments)) for one in ids)
    answers = [Result(one, draw(texts), draw(st.booleans())) for one in draw(st.permutations(ids))]
    return Use(draw(st.just("") | texts), calls, tuple(answers))


@st.composite
def dialogues(draw: st.DrawFn, *, odd: bool = False) -> Dialogue:
    """Any conversation that a client may have had."""
    texts = _odd_texts if odd else plain_texts
    asks = st.builds(Ask, st.lists(texts, min_size=1, max_size=2).map(tuple), _pictures)
    steps: list[Step] = [draw(asks)]
    for _ in range(draw(st.integers(0, 4))):
        use: st.SearchStrategy[list[Step]] = _uses(odd).map(lambda one: [one])
        talk: st.SearchStrategy[list[Step]] = st.tuples(st.builds(Say, texts), asks).map(list)
        told: st.SearchStrategy[list[Step]] = st.tuples(asks, st.builds(Late, texts), st.builds(Say, texts), asks).map(
            list
        )
        steps += draw(st.one_of(use, use, talk, told))
    called = {call.name for step in steps if isinstance(step, Use) for call in step.calls}
    system = draw(st.lists(texts, max_size=2))
    return Dialogue(tuple(system), tuple(steps), tuple(sorted(called | {"spare"})), draw(st.booleans()))


# --- as the clients write them


def client_body(client: str, dialogue: Dialogue, *, stream: bool, more: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """The request body of an ``openai`` or ``anthropic`` client; ``more``: messages at its end, as the client has them.

    Schemas of tools are open objects. Arguments that are no object cannot be written as Anthropic's ``input``, and are
    sent as they are, for the gateway to refuse.
    """
    writer = _openai_body if client == "openai" else _anthropic_body
    head, messages, tools = writer(dialogue, stream=stream)
    texts = [json.dumps(one, ensure_ascii=dialogue.escaped) for one in (*messages, *more)]
    for marker, raw in _raws(dialogue):
        texts = [text.replace(json.dumps(marker), raw) for text in texts]
    fields = json.dumps({**head, "tools": tools}, ensure_ascii=dialogue.escaped)
    return f'{fields[:-1]}, "messages": [{", ".join(texts)}]}}'.encode()


def _raws(dialogue: Dialogue) -> list[tuple[str, str]]:
    """A placeholder for each call's arguments, and the JSON text that stands there in Anthropic's form."""
    calls = [call for step in dialogue.steps if isinstance(step, Use) for call in step.calls]
    return [(_marker(call), call.arguments if call.arguments.strip() else "{}") for call in calls]


def _marker(call: Call) -> str:
    return "\x00input of " + call.id


def _openai_body(dialogue: Dialogue, *, stream: bool) -> tuple[dict[str, Any], list[Any], list[Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": text} for text in dialogue.system]
    for step in dialogue.steps:
        messages += _openai_messages(step)
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in dialogue.tools
    ]
    streaming = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return {"model": "m", "max_completion_tokens": 1000, **streaming}, messages, tools


def _openai_messages(step: Step) -> list[dict[str, Any]]:
    match step:
        case Ask():
            images = [
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}} for data in step.pictures
            ]
            return [{"role": "user", "content": [*({"type": "text", "text": text} for text in step.texts), *images]}]
        case Say():
            return [{"role": "assistant", "content": step.text}]
        case Late():
            return [{"role": "system", "content": step.text}]
        case Use():
            calls = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in step.calls
            ]
            results = [{"role": "tool", "tool_call_id": one.call_id, "content": one.text} for one in step.results]
            return [{"role": "assistant", "content": step.text or None, "tool_calls": calls}, *results]


def _anthropic_body(dialogue: Dialogue, *, stream: bool) -> tuple[dict[str, Any], list[Any], list[Any]]:
    messages: list[dict[str, Any]] = []
    for step in dialogue.steps:
        messages += _anthropic_messages(step)
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in dialogue.tools]
    system = {"system": [{"type": "text", "text": text} for text in dialogue.system]} if dialogue.system else {}
    return {"model": "m", "max_tokens": 1000, **system, **({"stream": True} if stream else {})}, messages, tools


def _anthropic_messages(step: Step) -> list[dict[str, Any]]:
    match step:
        case Ask():
            images = [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
                for data in step.pictures
            ]
            return [{"role": "user", "content": [*({"type": "text", "text": text} for text in step.texts), *images]}]
        case Say():
            return [{"role": "assistant", "content": step.text}]
        case Late():
            return [{"role": "system", "content": step.text}]
        case Use():
            said = [{"type": "text", "text": step.text}] if step.text else []
            calls = [
                {"type": "tool_use", "id": call.id, "name": call.name, "input": _marker(call)} for call in step.calls
            ]
            return [{"role": "assistant", "content": [*said, *calls]}, _results_message(step.results)]


def _results_message(results: Sequence[Result]) -> dict[str, Any]:
    blocks = []
    for one in results:
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": one.call_id, "content": one.text}
        blocks.append({**block, "is_error": True} if one.failed else block)
    return {"role": "user", "content": blocks}


def answers(client: str, results: Sequence[Result]) -> list[dict[str, Any]]:
    """The results of calls as a client's own messages."""
    if client == "openai":
        return [{"role": "tool", "tool_call_id": one.call_id, "content": one.text} for one in results]
    return [_results_message(results)] if results else []
