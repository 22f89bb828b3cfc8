"""Named cases that belong to a pair of dialects and to neither of them alone."""

import json
from typing import Any

import pytest

from extproc.conversation.errors import Loss
from extproc.dialects.contract import Destination
from extproc.registry import client_dialect, upstream_dialect

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("required", "closed", "strict"),
    [(["name", "age"], True, True), (["name"], True, False), (["name", "age"], False, False)],
)
def test_structured_anthropic_to_openai(required: list[str], *, closed: bool, strict: bool) -> None:
    """A schema that demands all it names is enforced; with an optional property it is asked for, and listed."""
    schema = {**PERSON, "required": required, **({"additionalProperties": False} if closed else {})}
    body, losses = written(output_config={"format": {"type": "json_schema", "schema": schema}})

    assert body["response_format"]["json_schema"] == {"name": "output", "schema": schema, "strict": strict}
    assert [(loss.path, loss.kind) for loss in losses] == ([] if strict else [("output_config.format", "approx")])


def written(**fields: Any) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    """What an Anthropic client's request is at OpenAI, and what was lost."""
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}], **fields}
    upstream = upstream_dialect("openai")
    to = Destination("gpt-5.2", upstream.capabilities("gpt-5.2"))
    sent = upstream.write_request(client_dialect("Anthropic").read_request(json.dumps(asked).encode()), to)
    return json.loads(sent.body), sent.losses
