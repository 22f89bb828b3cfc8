"""botocore's own service model as the judge of what we send to Bedrock, and of what our fixtures say Bedrock sends.

``ParamValidator`` alone does not look at enums, patterns and upper limits, and takes text for bytes; so the wire JSON
is walked beside the shapes first. No credentials and no network are used.
"""

import base64
import json
import re
from functools import cache
from typing import Any

import botocore.session
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from botocore.model import OperationModel
from botocore.parsers import EventStreamJSONParser
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

__all__ = ["ChecksumMismatch", "check_operation", "check_request", "check_response", "check_stream", "operation"]


@cache
def operation(*, stream: bool = False) -> Any:
    """``Converse`` or ``ConverseStream`` as botocore knows it."""
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    model: OperationModel = service.operation_model("ConverseStream" if stream else "Converse")
    return model


def check_request(body: bytes, model: str, path: str, *, stream: bool) -> None:
    """Fails unless the service model takes the body, would write it just so, and would post it to ``path``."""
    wire = json.loads(body)
    op = operation(stream=stream)
    params = {"modelId": model, **from_wire(wire, op.input_shape, "$", skip={"modelId"})}
    report = ParamValidator().validate(params, op.input_shape)
    assert not report.has_errors(), report.generate_report()
    written = create_serializer("rest-json").serialize_to_request(params, op)
    assert json.loads(written["body"]) == wire
    assert written["url_path"] == path


def check_operation(name: str, params: dict[str, Any], path: str) -> None:
    """Fails unless the service model has such an operation, takes the parameters, and would post them to ``path``."""
    op = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model(name)
    report = ParamValidator().validate(params, op.input_shape)
    assert not report.has_errors(), report.generate_report()
    written = create_serializer("rest-json").serialize_to_request(params, op)
    assert (written["method"], written["url_path"]) == ("POST", path)


def check_response(body: bytes) -> None:
    """Fails unless the service model allows the answer; members that it requires may be missing on purpose."""
    shape = operation().output_shape
    report = ParamValidator().validate(from_wire(json.loads(body), shape, "$"), shape)
    assert not report.has_errors(), report.generate_report()


def check_stream(frames: bytes) -> list[dict[str, Any]]:
    """What botocore's own decoder and parser read from the frames; fails where they see an unknown event."""
    buffer = EventStreamBuffer()
    buffer.add_data(frames)
    parser = EventStreamJSONParser()
    shape = operation(stream=True).get_event_stream_output()
    events = []
    for message in buffer:
        raw = message.to_response_dict()
        parsed = parser.parse(raw, shape)
        assert parsed, f"botocore knows no such event: {raw['headers']}"
        events.append(parsed)
    return events


def from_wire(value: Any, shape: Any, path: str, skip: frozenset[str] | set[str] = frozenset()) -> Any:
    """Wire JSON as botocore's parameters (blobs as bytes); fails where the wire form breaks the shape's limits."""
    if getattr(shape, "is_document_type", False):
        return value
    if shape.type_name == "structure":
        assert isinstance(value, dict), f"{path} is no object"
        known = set(shape.members) - skip
        assert set(value) <= known, f"{path} has unknown members {sorted(set(value) - known)}"
        return {name: from_wire(member, shape.members[name], f"{path}.{name}") for name, member in value.items()}
    if shape.type_name == "list":
        _check_size(len(value), shape, path)
        return [from_wire(member, shape.member, f"{path}[{i}]") for i, member in enumerate(value)]
    if shape.type_name == "map":
        _check_size(len(value), shape, path)
        return {
            from_wire(key, shape.key, f"{path} key"): from_wire(member, shape.value, f"{path}.{key}")
            for key, member in value.items()
        }
    return _scalar(value, shape, path)


def _scalar(value: Any, shape: Any, path: str) -> Any:
    if shape.type_name == "blob":
        assert isinstance(value, str), f"{path} is no base64 text"
        return base64.b64decode(value, validate=True)
    if shape.type_name == "string":
        _check_size(len(value), shape, path)
        allowed = getattr(shape, "enum", None)
        assert not allowed or value in allowed, f"{path} is none of {allowed}"
        pattern = shape.metadata.get("pattern")
        assert pattern is None or re.fullmatch(pattern, value), f"{path} does not match {pattern}"
    elif shape.type_name in {"integer", "long", "float", "double"}:
        _check_size(value, shape, path)
    return value


def _check_size(size: float, shape: Any, path: str) -> None:
    limits = shape.metadata
    assert size >= limits.get("min", size), f"{path} is below {limits['min']}"
    assert size <= limits.get("max", size), f"{path} is above {limits['max']}"
