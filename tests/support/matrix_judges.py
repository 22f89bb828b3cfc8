"""The vendors' own types as judges of the matrix: what upstreams are sent, what they are said to answer."""

import base64
import json
from typing import Any

from extproc.dialects.bedrock.models import countable_model
from extproc.registry import platform
from tests.support import anthropic_oracle, bedrock_oracle, gemini_oracle, openai_oracle
from tests.support.matrix import Answer, Cell, Scenario, model_of
from tests.support.matrix_run import Run

#: Members of a Messages body that clouds put there.
_OF_A_CLOUD = ("anthropic_version", "anthropic_beta")


def judge_request(cell: Cell, scenario: Scenario, result: Run) -> None:
    """Fails for a request that the cell's upstream would refuse."""
    assert result.sent is not None
    model, count = model_of(cell, scenario), scenario.operation == "count_tokens"
    match platform(cell.schema).dialect:
        case "openai":
            openai_oracle.check_request(result.sent)
        case "anthropic":
            anthropic_oracle.check_request(_messages_body(result.sent, model, cell), count=count)
        case "bedrock" if count:
            params = {"modelId": countable_model(model), **json.loads(result.sent)}
            bedrock_oracle.check_operation("CountTokens", params, result.path)
        case "bedrock":
            bedrock_oracle.check_request(result.sent, model, result.path, stream=scenario.streams)
        case "gemini" if count:
            _judge_count(json.loads(result.sent), vertex=cell.schema == "GCPVertexAI")
        case "gemini":
            gemini_oracle.check_request(result.sent, vertex=cell.schema == "GCPVertexAI")
        case other:
            raise AssertionError(f"nobody judges requests for {other}")


def _messages_body(sent: bytes, model: str, cell: Cell) -> bytes:
    """The Messages body inside that of a cloud; of CountTokens also out of its envelope."""
    members: dict[str, Any] = json.loads(sent)
    if "input" in members:
        members = json.loads(base64.b64decode(members["input"]["invokeModel"]["body"]))
        members.pop("max_tokens")
    if cell.schema != "Anthropic":
        for name in _OF_A_CLOUD:
            members.pop(name, None)
        members.setdefault("model", model)
    return json.dumps(members).encode()


def _judge_count(wire: dict[str, Any], *, vertex: bool) -> None:
    """Vertex AI is asked with the members themselves, the Gemini API with the whole request inside."""
    if not vertex:
        wire = wire["generateContentRequest"]
        assert wire.pop("model").startswith("models/")
    gemini_oracle.check_request(json.dumps(wire).encode(), vertex=vertex)


def judge_answer(schema: str, answer: Answer) -> None:
    """Fails for a whole answer that the upstream would not give."""
    match platform(schema).dialect:
        case "openai":
            openai_oracle.check_response(answer.body)
        case "anthropic":
            anthropic_oracle.check_message(answer.body)
        case "bedrock":
            bedrock_oracle.check_response(answer.body)
        case "gemini":
            gemini_oracle.check_answer(answer.body)
        case other:
            raise AssertionError(f"nobody judges answers of {other}")


def judge_stream(schema: str, answer: Answer) -> None:
    """Fails for a stream that the upstream would not send; InvokeModel's frames are made of Anthropic's."""
    if schema == "AWSAnthropic":
        return
    match platform(schema).dialect:
        case "openai" if schema == "OpenAI":
            openai_oracle.check_stream(answer.body)
        case "openai":
            assert answer.body.endswith(b"data: [DONE]\n\n") or b'"error"' in answer.body
        case "anthropic":
            anthropic_oracle.check_stream(answer.body)
        case "bedrock":
            assert bedrock_oracle.check_stream(answer.body)
        case "gemini":
            for line in answer.body.splitlines():
                if line:
                    gemini_oracle.check_answer(line.removeprefix(b"data: "))
        case other:
            raise AssertionError(f"nobody judges streams of {other}")


def judge_told(cell: Cell, scenario: Scenario, result: Run) -> None:
    """Fails for an answer, error or stream that the client's SDK does not take as it stands."""
    anthropic = cell.client == "anthropic"
    if result.stream:
        (anthropic_oracle.check_stream if anthropic else openai_oracle.check_stream)(result.body)
    elif result.status != 200:
        if anthropic:
            anthropic_oracle.check_error(result.body)
        else:
            assert json.loads(result.body)["error"]["message"]
    elif scenario.operation == "count_tokens":
        assert json.loads(result.body) == {"input_tokens": 42}
    else:
        (anthropic_oracle.check_message if anthropic else openai_oracle.check_response)(result.body)
