"""What programs read in the answers of each cell, through the official SDKs and their stream accumulators."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import anthropic
import openai
import pytest

from extproc.registry import platform
from tests.support.every_case import every_case
from tests.support.matrix import CELLS, Cell, Scenario, cases, scenarios
from tests.support.matrix_run import played, run
from tests.support.matrix_sdks import Told, read, sent_back
from tests.support.matrix_turns import next_request

CASES = [(cell, each) for cell, each in cases() if each.operation == "chat"]
BY_NAME = {each.name: each for each in scenarios()}

Errors = Mapping[str, type[Exception] | tuple[type[Exception], ...]]

WEATHER: Final = ("get_weather", {"city": "Paris"})
TIME: Final = ("get_time", {"zone": "Europe/Paris"})
TEXT: Final = Told("Paris is the capital of France.", (), "", "end_turn", 12, 8)
TOOLS: Final = Told("Let me look.", (WEATHER, TIME), "", "tool_use", 40, 30)
THINKING: Final = Told("", (WEATHER,), "The user wants the weather.", "tool_use", 40, 30)
JSON: Final = Told('{"city": "Paris", "population": 2100000}', (), "", "end_turn", 20, 14)

#: By the file that answers. Every upstream says the same, each in its own format.
MEANT: Final = {
    "text": TEXT,
    "stream": TEXT,
    "tools": TOOLS,
    "stream-tools": TOOLS,
    "tool": replace(THINKING, thought=""),
    "thinking": THINKING,
    "stream-thinking": THINKING,
    "structured-output": JSON,
    "stop-sequence": Told("One, two, ", (), "", "end_turn", 9, 4),
    "length": Told("One, two, th", (), "", "max_tokens", 9, 5),
    "refusal": Told("", (), "", "refusal", 9, 0),
    "refusal-in-words": Told("I cannot help with that.", (), "", "refusal", 9, 6),
    "caching": replace(TEXT, input_tokens=110),
}
OPENAI_ERRORS: Final[Errors] = {
    "bad-request": openai.BadRequestError,
    "context-length": openai.BadRequestError,
    "authentication": (openai.AuthenticationError, openai.PermissionDeniedError),
    "permission": openai.PermissionDeniedError,
    "model-not-found": openai.NotFoundError,
    "too-large": openai.APIStatusError,
    "rate-limit": openai.RateLimitError,
    "billing": openai.APIStatusError,
    "server": openai.InternalServerError,
    "overloaded": openai.InternalServerError,
    "timeout": openai.APIStatusError,
    "not-json": openai.InternalServerError,
}
ANTHROPIC_ERRORS: Final[Errors] = {
    "bad-request": anthropic.BadRequestError,
    "context-length": anthropic.BadRequestError,
    "authentication": (anthropic.AuthenticationError, anthropic.PermissionDeniedError),
    "permission": anthropic.PermissionDeniedError,
    "model-not-found": anthropic.NotFoundError,
    "too-large": anthropic.RequestTooLargeError,
    "rate-limit": anthropic.RateLimitError,
    "billing": anthropic.APIStatusError,
    "server": anthropic.InternalServerError,
    "overloaded": anthropic.OverloadedError,
    "timeout": anthropic.APIStatusError,
    "not-json": anthropic.InternalServerError,
}
ENDED: Final = [(c, s) for c, s in CASES if s.error is None and s.name not in {"stream-cut", "stream-error"}]
FAILED: Final = [(cell, scenario) for cell, scenario in CASES if scenario.error is not None]
BROKEN: Final = [(cell, scenario) for cell, scenario in CASES if scenario.name in {"stream-cut", "stream-error"}]


def name_of(cell: Cell) -> str:
    """The ids of the parameters."""
    return cell.name


each_cell = pytest.mark.parametrize("cell", CELLS, ids=name_of)


@each_cell
def test_sdk_reads_what_the_upstream_said(cell: Cell) -> None:
    """Text, calls, thinking, stop reason and usage are those of the upstream, whole or streamed, in every cell."""
    with every_case() as case:
        for scenario in (each for at, each in ENDED if at == cell):
            with case(scenario.name):
                check_told(cell, scenario)


def check_told(cell: Cell, scenario: Scenario) -> None:
    result = run(cell, scenario)
    if result.refused:
        with pytest.raises((openai.BadRequestError, anthropic.BadRequestError)):
            read(cell.client, result)
        return
    assert read(cell.client, result) == meant(cell, scenario)


def meant(cell: Cell, scenario: Scenario) -> Told:
    """What the program is to read: ``MEANT``, and what only some upstreams can say or some clients hear."""
    upstream = platform(cell.schema).dialect
    if scenario.name == "refusal" and upstream == "openai":
        return MEANT["refusal-in-words"]
    told = MEANT[scenario.answer]
    if scenario.name == "stop-sequence" and cell.client == "anthropic" and upstream in {"anthropic", "bedrock"}:
        return replace(told, stop="stop_sequence")
    if scenario.name == "tool-forced" and not cell.translates and upstream == "openai":
        return replace(told, stop="end_turn")  # OpenAI's own word for a call that was demanded
    return told


@each_cell
def test_sdk_raises_the_class_of_the_error(cell: Cell) -> None:
    """An upstream's error is the SDK's own exception for it, with the gateway's id of the request."""
    with every_case() as case:
        for scenario in (each for at, each in FAILED if at == cell):
            with case(scenario.name):
                check_raised(cell, scenario)


def check_raised(cell: Cell, scenario: Scenario) -> None:
    assert scenario.error is not None
    kinds = OPENAI_ERRORS if cell.client == "openai" else ANTHROPIC_ERRORS
    with pytest.raises(kinds[scenario.error]) as caught:
        read(cell.client, run(cell, scenario))
    assert isinstance(caught.value, openai.APIStatusError | anthropic.APIStatusError)
    assert caught.value.request_id is not None


@each_cell
def test_sdk_never_takes_a_broken_stream_for_an_answer(cell: Cell) -> None:
    """A stream that is cut, or says that it failed, raises in both SDKs (cases stream-cut and stream-fault).

    Where OpenAI's own bytes pass, half an event has left before the cut is known: openai-python fails to parse that.
    """
    passed = () if cell.translates or cell.client == "anthropic" else (json.JSONDecodeError,)
    with every_case() as case:
        for scenario in (each for at, each in BROKEN if at == cell):
            with case(scenario.name), pytest.raises((openai.APIError, anthropic.APIStatusError, *passed)):
                read(cell.client, run(cell, scenario))


@pytest.mark.parametrize(
    "cell", [cell for cell, scenario in CASES if scenario.name == "thinking-returned" and cell.translates], ids=name_of
)
def test_streamed_thinking_comes_back_as_the_whole_does(cell: Cell) -> None:
    """A turn that the SDK put together from a stream reaches the upstream as the same turn from a whole answer."""
    thinking, streamed, returned = (BY_NAME[n] for n in ("thinking", "stream-thinking", "thinking-returned"))
    asked = run(cell, thinking).asked
    bodies = []
    for scenario in (thinking, streamed):
        answer = sent_back(cell.client, run(cell, scenario))
        bodies.append(played(cell, returned, body=next_request(cell.client, asked, answer)).sent)
    whole, stream = bodies
    assert whole is not None
    assert stream == whole


@pytest.mark.parametrize("cell", [cell for cell, scenario in CASES if scenario.moved], ids=name_of)
def test_thinking_of_another_maker_stays_behind(cell: Cell) -> None:
    """A conversation that lands at another maker's model brings no foreign signature, and no mark of the gateway's."""
    result = run(cell, BY_NAME["thinking-moved"])

    signatures = (b"c2lnbmVkLWNhbGw=", b"EqoBCkgIBhABGAIiQAsigned", b"EmwKAhgBredacted")
    assert any(signature in result.asked for signature in signatures)
    assert result.sent is not None
    assert not any(foreign in result.sent for foreign in (b"llmr1.", *signatures))
