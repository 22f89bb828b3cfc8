"""google-genai's own types as the judge of what we send to Gemini, and of what our fixtures say Gemini sends.

The types refuse unknown names and wrong types, and warn of unknown words, which is an error in these tests. Six things
they let through are checked here: two data members in one part, names of functions, both forms of parameters, a level
beside a budget, roles, and empty parts.
"""

import json
import re
from typing import Any

from google.genai import types

_DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_EVERYWHERE = {
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
    "serviceTier",
}
_JSON_SCHEMA = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems",
    "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required",
    "propertyOrdering",
}  # fmt: skip


def check_request(body: bytes, *, vertex: bool) -> dict[str, Any]:
    """Fails unless Gemini would take the body; returns it parsed."""
    wire: dict[str, Any] = json.loads(body)
    assert not wire.keys() - _EVERYWHERE - ({"labels"} if vertex else set()), wire.keys()
    for content in wire["contents"]:
        types.Content.model_validate_json(json.dumps(content))
        assert content["role"] in {"user", "model"}
        _check_parts(content["parts"])
    _check_calls(wire["contents"])
    if "systemInstruction" in wire:
        types.Content.model_validate_json(json.dumps(wire["systemInstruction"]))
        assert all(part.keys() == {"text"} and part["text"].strip() for part in wire["systemInstruction"]["parts"])
    for tool in wire.get("tools", []):
        _check_tool(tool)
    if "toolConfig" in wire:
        types.ToolConfig.model_validate_json(json.dumps(wire["toolConfig"]))
        assert "tools" in wire
    for setting in wire.get("safetySettings", []):
        types.SafetySetting.model_validate_json(json.dumps(setting))
    _check_config(wire.get("generationConfig", {}))
    return wire


def check_answer(body: bytes) -> None:
    """Fails unless Gemini could send this answer, piece of one, or array of pieces."""
    told = json.loads(body)
    for piece in told if isinstance(told, list) else [told]:
        if "error" not in piece:
            types.GenerateContentResponse.model_validate_json(json.dumps(piece))


def check_json_schema(schema: Any) -> None:
    """Fails for keywords that ``responseJsonSchema`` does not have, and for what stands beside ``$ref``."""
    if isinstance(schema, bool):
        return
    assert schema.keys() <= _JSON_SCHEMA, schema.keys() - _JSON_SCHEMA
    if "$ref" in schema:
        assert all(name.startswith("$") for name in schema), schema
    for name in ("items", "additionalProperties"):
        if name in schema:
            check_json_schema(schema[name])
    children = [child for name in ("anyOf", "oneOf", "prefixItems") for child in schema.get(name, [])]
    children += [child for name in ("properties", "$defs") for child in schema.get(name, {}).values()]
    for child in children:
        check_json_schema(child)
    assert all(isinstance(value, str | int | float) and value is not True for value in schema.get("enum", []))


def _check_parts(parts: list[dict[str, Any]]) -> None:
    assert parts
    for part in parts:
        held = [name for name in _DATA if name in part]
        assert len(held) == 1, part
        assert part.get("text") != "" or part.get("thoughtSignature"), part
        for name in ("functionCall", "functionResponse"):
            if name in part:
                assert _NAME.fullmatch(part[name]["name"]), part


def _check_calls(contents: list[dict[str, Any]]) -> None:
    """The results of a content's calls are the next content, in their order, and stand nowhere else."""
    assert not _of(contents[0], "functionCall")
    for at, content in enumerate(contents):
        answers = _of(content, "functionResponse")
        calls = _of(contents[at - 1], "functionCall") if at else []
        assert [_who(answer) for answer in answers] == [_who(call) for call in calls]
        assert not answers or len(answers) == len(content["parts"])
    assert not _of(contents[-1], "functionCall")


def _of(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [part[name] for part in content["parts"] if name in part]


def _who(node: dict[str, Any]) -> tuple[Any, Any]:
    return node.get("id"), node["name"]


def _check_tool(tool: dict[str, Any]) -> None:
    types.Tool.model_validate_json(json.dumps(tool))
    names = [declaration["name"] for declaration in tool["functionDeclarations"]]
    assert all(_NAME.fullmatch(name) for name in names)
    for declaration in tool["functionDeclarations"]:
        assert not {"parameters", "parametersJsonSchema"} <= declaration.keys()
        if "parametersJsonSchema" in declaration:
            check_json_schema(declaration["parametersJsonSchema"])


def _check_config(config: dict[str, Any]) -> None:
    types.GenerationConfig.model_validate_json(json.dumps(config))
    assert not {"thinkingBudget", "thinkingLevel"} <= config.get("thinkingConfig", {}).keys()
    assert not {"responseSchema", "responseJsonSchema"} <= config.keys()
    if {"responseSchema", "responseJsonSchema"} & config.keys():
        assert config["responseMimeType"] == "application/json"
    if "logprobs" in config:
        assert config["responseLogprobs"] is True
    if "responseJsonSchema" in config:
        check_json_schema(config["responseJsonSchema"])
