"""Golden cases of a dialect pair: a folder each, found by glob, compared byte for byte.

``tests/golden/dialects/<client>_to_<upstream>/<case>/`` holds

* inputs: ``case.yaml`` (what is shown; the upstream's model; overrides, status and headers where the case needs them),
  ``client_request.json``, and the upstream's answer as ``upstream_response.json``, ``.txt`` (bytes as they are) or
  ``.yaml`` (event stream frames);
* outputs: ``upstream_request.json``, ``client_response.json`` or ``client_response.sse``, and ``outcome.json`` (status,
  usage, losses and whatever else is no body).

A frame in the YAML is one member: an event type and its payload; ``exception <type>`` and its payload; ``error`` with
``code`` and ``message``. The top level may ``corrupt: <n>`` a bit in frame n, or ``cut: <n>`` bytes from the end.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec.structs
import yaml

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import ClientError, Loss, UpstreamError
from extproc.conversation.events import Event, Fault, Metered
from extproc.conversation.replay import events_of
from extproc.conversation.request import Request
from extproc.conversation.response import NO_USAGE, Usage
from extproc.dialects.bedrock.models import capabilities_of
from extproc.dialects.contract import (
    ClientDialect,
    Destination,
    Identity,
    StreamReader,
    UpstreamDialect,
    UpstreamRequest,
)
from extproc.platforms.contract import Place
from extproc.registry import client_dialect, platform, upstream_dialect
from tests.support.eventstream_frames import event, exception, frame

ROOT = Path(__file__).parents[1] / "golden" / "dialects"
INPUTS = (
    "case.yaml",
    "client_request.json",
    "upstream_response.json",
    "upstream_response.txt",
    "upstream_response.yaml",
)
OUTPUTS = ("upstream_request.json", "client_response.json", "client_response.sse", "outcome.json")

#: ``<client>_to_<upstream>`` -> ``inputSchema.schema`` and ``outputSchema.schema``.
PAIRS = {"openai_to_bedrock": ("OpenAI", "AWSBedrock")}

#: The answer's own words about itself, the same in every case.
IDENTITY_ID = "0000000000000000"
CREATED = 1_790_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """One folder."""

    folder: Path
    client_request: bytes
    settings: Mapping[str, Any]
    upstream_response: bytes | None
    frames: bytes | None
    damaged: bool
    whole_frames: int

    @property
    def pair(self) -> str:
        return self.folder.parent.name

    @property
    def upstream_model(self) -> str:
        return str(self.settings["model"])

    @property
    def status(self) -> int:
        return int(self.settings.get("status", 200))

    @property
    def headers(self) -> Mapping[str, str]:
        return {"x-amzn-requestid": "req-0001", **self.settings.get("headers", {})}

    def capabilities(self) -> Capabilities:
        return capabilities_of(self.upstream_model).overridden(self.settings.get("capabilities", {}))


@dataclass(slots=True)
class Outcome:
    """What became of a case: files by name."""

    files: dict[str, bytes] = field(default_factory=dict)


def case_folders() -> list[Path]:
    """Every folder that holds a case."""
    return sorted(path for pair in ROOT.iterdir() for path in pair.iterdir())


def load(folder: Path) -> Case:
    """The inputs of a folder; fails for what does not belong there."""
    strangers = {path.name for path in folder.iterdir()} - {*INPUTS, *OUTPUTS}
    assert not strangers, f"{folder} holds {sorted(strangers)}, which nothing reads"
    assert folder.parent.name in PAIRS, f"no dialect pair is named {folder.parent.name}"
    answers = [name for name in INPUTS[2:] if (folder / name).exists()]
    assert len(answers) <= 1, f"{folder} holds more than one upstream answer: {answers}"
    answer = folder / answers[0] if answers else None
    framed = answer is not None and answer.suffix == ".yaml"
    described = yaml.safe_load(answer.read_text()) if answer and framed else None
    return Case(
        folder=folder,
        client_request=(folder / "client_request.json").read_bytes(),
        settings=yaml.safe_load((folder / "case.yaml").read_text()),
        upstream_response=answer.read_bytes() if answer and not framed else None,
        frames=build_frames(described) if described else None,
        damaged=described is not None and "corrupt" in described,
        whole_frames=len(described["frames"]) - ("cut" in described) if described else 0,
    )


def build_frames(described: Mapping[str, Any]) -> bytes:
    """The bytes of an event stream from its description."""
    built = [_frame(entry) for entry in described["frames"]]
    if (damaged := described.get("corrupt")) is not None:
        target = bytearray(built[damaged])
        target[-6] ^= 1
        built[damaged] = bytes(target)
    whole = b"".join(built)
    return whole[: len(whole) - described.get("cut", 0)]


def _frame(entry: Mapping[str, Any]) -> bytes:
    [(kind, payload)] = entry.items()
    if kind == "error":
        headers = {":message-type": "error", ":error-code": payload["code"], ":error-message": payload["message"]}
        return frame(headers, b"")
    encoded = payload.encode() if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False).encode()
    name = kind.removeprefix("exception ")
    return event(kind, encoded) if name == kind else exception(name, encoded)


def run(case: Case) -> Outcome:
    """Client bytes through to upstream bytes, and the upstream's answer back."""
    schemas = PAIRS[case.pair]
    client, host = client_dialect(schemas[0]), platform(schemas[1])
    upstream = upstream_dialect(host.dialect)
    outcome = Outcome()
    facts: dict[str, Any] = {}
    try:
        request = client.read_request(case.client_request)
        sent = upstream.write_request(request, Destination(case.upstream_model, case.capabilities()))
    except ClientError as refused:
        facts["status"] = refused.error.status
        outcome.files["client_response.json"] = client.write_error(refused.error)
    else:
        path = host.path("chat", Place(case.upstream_model, request.stream))
        facts |= {"path": path, "losses": [_told(loss) for loss in sent.losses], "output_tool": sent.output_tool}
        outcome.files["upstream_request.json"] = sent.body
        facts |= _answer(_Ends(client, upstream, request, sent), case, outcome)
    told = {name: value for name, value in facts.items() if value not in (None, [])}
    outcome.files["outcome.json"] = json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n"
    return outcome


@dataclass(frozen=True, slots=True)
class _Ends:
    client: ClientDialect
    upstream: UpstreamDialect
    request: Request
    sent: UpstreamRequest

    def identity(self) -> Identity:
        return Identity(IDENTITY_ID, self.request.model, CREATED)


def _answer(ends: _Ends, case: Case, outcome: Outcome) -> dict[str, Any]:
    if case.frames is not None:
        return _streamed(ends, case, case.frames, outcome)
    if case.upstream_response is None:
        return {}
    if case.status != 200:
        error = ends.upstream.read_error(case.status, case.headers, case.upstream_response)
        outcome.files["client_response.json"] = ends.client.write_error(error)
        return {"status": error.status, "native_type": error.native_type}
    try:
        response = ends.upstream.read_response(case.upstream_response, case.headers, ends.sent)
        if ends.request.stream:
            writer = ends.client.stream_writer(ends.request, ends.identity())
            outcome.files["client_response.sse"] = b"".join(writer.write(event) for event in events_of(response))
        else:
            outcome.files["client_response.json"] = ends.client.write_response(response, ends.request, ends.identity())
    except UpstreamError as failed:
        outcome.files["client_response.json"] = ends.client.write_error(failed.error)
        return {"status": failed.error.status}
    return {"status": 200, "usage": _counts(response.usage), "response_losses": list(response.losses)}


def _streamed(ends: _Ends, case: Case, frames: bytes, outcome: Outcome) -> dict[str, Any]:
    events = read_events(ends.upstream.stream_reader(case.headers, ends.sent), [frames])
    writer = ends.client.stream_writer(ends.request, ends.identity())
    outcome.files["client_response.sse"] = b"".join(writer.write(event) for event in events)
    usage = NO_USAGE
    for told in events:
        usage = usage.updated(told.usage) if isinstance(told, Metered) else usage
    fault = next((told.error for told in events if isinstance(told, Fault)), None)
    native = fault.native_type if fault else None
    return {"status": 200, "usage": _counts(usage), "fault": fault and fault.status, "native_type": native}


def reader_factory(case: Case) -> Callable[[], StreamReader]:
    """Makes readers for the answer to the case's own request."""
    schemas = PAIRS[case.pair]
    upstream = upstream_dialect(platform(schemas[1]).dialect)
    request = client_dialect(schemas[0]).read_request(case.client_request)
    sent = upstream.write_request(request, Destination(case.upstream_model, case.capabilities()))
    return lambda: upstream.stream_reader(case.headers, sent)


def read_events(reader: StreamReader, chunks: Sequence[bytes]) -> list[Event]:
    """All events of a stream that arrives in these chunks."""
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return [*events, *reader.finish()]


def all_splits(whole: bytes) -> Iterator[list[bytes]]:
    """Byte by byte, and every way to cut in two."""
    yield [whole[i : i + 1] for i in range(len(whole))]
    for cut in range(len(whole) + 1):
        yield [whole[:cut], whole[cut:]]


def _told(loss: Loss) -> str:
    return f"{loss.path}: {loss.kind}: {loss.reason}"


def _counts(usage: Usage) -> dict[str, int] | None:
    return {name: count for name, count in msgspec.structs.asdict(usage).items() if count is not None} or None
