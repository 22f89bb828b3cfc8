"""What becomes of each field of a client dialect at each upstream: found out by sending it, and told in the docs.

A probe is one request beside its baseline. Refused: there is no upstream request. Dropped, approximated: the loss list
says so. Carried: the upstream request changes. Harmless: it does not, and the probe says why that is right.
"""

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from typing_extensions import is_typeddict

from extproc.conversation.errors import ClientError, Loss
from extproc.dialects.bedrock.models import capabilities_of
from extproc.dialects.contract import Destination
from extproc.platforms.contract import Place
from extproc.registry import client_dialect, platform, upstream_dialect

ROOT = Path(__file__).parents[2]
PROBES = ROOT / "tests" / "golden" / "fields" / "openai.yaml"
DOCS = ROOT / "docs" / "dialects"

#: The model of the main table first, then those that the table by model tells apart.
MODELS = {
    "Claude Sonnet 4.5": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "Claude Opus 4.8": "us.anthropic.claude-opus-4-8",
    "Nova 2 Lite": "us.amazon.nova-2-lite-v1:0",
    "gpt-oss": "openai.gpt-oss-120b-1:0",
    "Llama 3.3": "us.meta.llama3-3-70b-instruct-v1:0",
    "unknown": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """One row: ``values`` names the class of values that ``request`` stands for."""

    field: str
    values: str
    baseline: Mapping[str, Any]
    request: Mapping[str, Any]
    harmless: str | None

    @property
    def name(self) -> str:
        return f"{self.field}: {self.values}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``word`` and the sentence behind it."""

    word: Literal["carried", "approximated", "dropped", "refused", "harmless"]
    detail: str = ""


def load_probes() -> list[Probe]:
    """All probes, in the order of the file."""
    described = yaml.safe_load(PROBES.read_text())
    probes = []
    for entry in described["probes"]:
        strangers = set(entry) - {"field", "values", "with", "set", "harmless"}
        assert not strangers, f"{entry['field']} has {sorted(strangers)}, which nothing reads"
        baseline = {**described["baseline"], **entry.get("with", {})}
        request = {**baseline, **entry["set"]}
        probes.append(Probe(entry["field"], str(entry["values"]), baseline, request, entry.get("harmless")))
    return probes


def judge(probe: Probe, model: str) -> Verdict:
    """What Bedrock's writer does with the probe for one model; fails for a field that vanishes without a reason."""
    try:
        sent, losses = _sent(probe.request, model)
    except ClientError as refused:
        return Verdict("refused", refused.error.message)
    baseline, known = _sent(probe.baseline, model)
    fresh = [loss for loss in losses if loss not in known]
    if fresh:
        word: Literal["approximated", "dropped"] = (
            "dropped" if any(loss.kind == "drop" for loss in fresh) else "approximated"
        )
        return Verdict(word, "; ".join(dict.fromkeys(loss.reason for loss in fresh)))
    if sent != baseline:
        return Verdict("carried")
    assert probe.harmless is not None, f"{probe.name} changes nothing, is not listed, and the probe gives no reason"
    return Verdict("harmless", probe.harmless)


def _sent(request: Mapping[str, Any], model: str) -> tuple[tuple[str | None, bytes], tuple[Loss, ...]]:
    host = platform("AWSBedrock")
    read = client_dialect("OpenAI").read_request(msgspec.json.encode(request))
    written = upstream_dialect(host.dialect).write_request(read, Destination(model, capabilities_of(model)))
    path = host.path("chat", Place(model, read.stream))
    return (path, written.body), written.losses


# --- what the official SDK knows


@cache
def sdk_fields() -> tuple[str, ...]:
    """Every field of the SDK's request type, as ``messages[user].content[image_url].image_url.detail``."""
    return tuple(dict.fromkeys(_declared(CompletionCreateParamsNonStreaming, "", ())))


def used_fields(request: Mapping[str, Any]) -> Iterator[str]:
    """Every field that a request uses, in the same form."""
    yield from _used(request, "")


def _declared(shape: Any, path: str, above: tuple[Any, ...]) -> Iterator[str]:
    for name, hint in get_type_hints(shape).items():
        here = f"{path}.{name}" if path else name
        yield here
        for member in _members(hint):
            if is_typeddict(member) and member not in above:
                tag = _declared_tag(member)
                yield from _declared(member, f"{here}[{tag}]" if tag else here, (*above, member))


def _members(hint: Any) -> Iterable[Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Required, NotRequired, Annotated}:
        return _members(arguments[0])
    if origin in {Union, types.UnionType}:
        return [member for argument in arguments for member in _members(argument)]
    if arguments and origin is not dict and origin is not Literal:
        return _members(arguments[0])
    return [hint]


def _declared_tag(shape: Any) -> str | None:
    hints = get_type_hints(shape)
    return next(
        (get_args(hints[name])[0] for name in ("role", "type") if name in hints and get_args(hints[name])), None
    )


def _used(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for entry in value:
            yield from _used(entry, path)
    elif isinstance(value, dict):
        tag = next((value[name] for name in ("role", "type") if isinstance(value.get(name), str)), None)
        at = f"{path}[{tag}]" if tag else path
        for name, member in value.items():
            here = f"{at}.{name}" if at else name
            yield here
            yield from _used(member, here)


# --- the pages


def pages() -> dict[Path, str]:
    """The generated pages by their place."""
    probes = load_probes()
    return {
        DOCS / "README.md": _index(),
        DOCS / "openai-to-bedrock.md": _bedrock_page(probes),
        DOCS / "openai-to-openai.md": _passthrough_page(len(probes)),
    }


_GENERATED = "<!-- Generated from the code by `pytest tests/dialects --update-golden`; do not edit. -->\n"


def _index() -> str:
    return f"""{_GENERATED}
# What each dialect pair carries

| client (`inputSchema.schema`) | upstream (`outputSchema.schema`) | page |
|---|---|---|
| OpenAI chat completions (`OpenAI`) | OpenAI chat completions (`OpenAI`) | [openai-to-openai](openai-to-openai.md) |
| OpenAI chat completions (`OpenAI`) | AWS Bedrock Converse (`AWSBedrock`) | [openai-to-bedrock](openai-to-bedrock.md) |

The words of the tables:

- **carried**: it reaches the upstream and means the same there.
- **approximated**: it reaches the upstream as the nearest thing that the upstream has; listed.
- **dropped**: a tuning field that the upstream does not have; the request goes without it; listed.
- **refused**: content that the upstream cannot take, and without which the answer would be another one: 400 with the
  JSON path. Nothing is sent.
- **harmless**: nothing has to be sent, and nothing is lost.

Listed fields are in the log line of the request and in a counter; they are names and reasons, never values.
"""


def _bedrock_page(probes: list[Probe]) -> str:
    main, *others = MODELS.values()
    rows, differing = [], []
    for probe in probes:
        verdict = judge(probe, main)
        rows.append((probe.field, probe.values, f"**{verdict.word}**", verdict.detail))
        told = [verdict.word, *(judge(probe, model).word for model in others)]
        if len(set(told)) > 1:
            differing.append((probe.field, probe.values, *told))
    head = ("field", "values", "verdict", "why")
    return f"""{_GENERATED}
# OpenAI chat completions to AWS Bedrock Converse

Each row is a request that was read and written by the code; see the [words](README.md). The model is
`{main}`; where other models differ, the second table says how.

{_table(head, rows)}
## Where the model makes a difference

The bundled table of models is `extproc/dialects/bedrock/models.py`; a backend's `capabilities` override it. *Unknown*
is any model that the table does not match, an opaque ARN for example.

{_table(("field", "values", *MODELS), differing)}"""


def _passthrough_page(count: int) -> str:
    return f"""{_GENERATED}
# OpenAI chat completions to OpenAI chat completions

Passed through: nothing is refused, nothing is dropped, and the bytes stay as the client sent them. Two things are
edited in place: `model`, when the backend has its own name for it, and `stream_options.include_usage`, when the client
streams without it; the usage chunk that this adds is taken out again. All {count} requests of the
[table for Bedrock](openai-to-bedrock.md) were tried, those of unknown fields and wrong values among them.
"""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)
