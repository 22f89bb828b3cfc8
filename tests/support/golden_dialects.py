"""Golden cases of a dialect pair: a folder each, found by glob, compared byte for byte.

``tests/golden/dialects/<client>_to_<upstream>/<case>/`` holds

* inputs: ``case.yaml`` (see ``SETTINGS``), ``client_request.json``, and the upstream's answer as
  ``upstream_response.json``, ``.txt`` (a whole body, bytes as they are), ``.sse`` (a stream, bytes as they are) or
  ``.yaml`` (event stream frames);
* outputs: ``upstream_request.json``, ``client_response.json`` or ``client_response.sse``, and ``outcome.json`` (status,
  headers, usage, losses and whatever else is no body).

A request and its answer take the steps that the exchange takes: foreign reasoning stays behind, the platform dresses
the body and takes its framing off the answer.

A frame in the YAML is one member: an event type and its payload; ``exception <type>`` and its payload; ``error`` with
``code`` and ``message``. The payload of a ``chunk`` is what InvokeModel wraps in base64.
The top level may ``corrupt: <n>`` a bit in frame n, or ``cut: <n>`` bytes from the end.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec.structs
import yaml

from extproc.conversation.errors import ApiError, ClientError, Loss, UpstreamError
from extproc.conversation.events import Event, Fault, Lost, Metered
from extproc.conversation.provenance import origin_of, without_foreign
from extproc.conversation.replay import events_of
from extproc.conversation.request import Request
from extproc.conversation.response import NO_USAGE, Usage
from extproc.dialects.contract import (
    ClientDialect,
    Destination,
    Identity,
    StreamReader,
    UpstreamDialect,
    UpstreamRequest,
)
from extproc.platforms.contract import Place, Platform
from extproc.registry import client_dialect, platform, upstream_dialect
from tests.support.eventstream_frames import event, exception, frame

ROOT = Path(__file__).parents[1] / "golden" / "dialects"
INPUTS = (
    "case.yaml",
    "client_request.json",
    "upstream_response.json",
    "upstream_response.txt",
    "upstream_response.sse",
    "upstream_response.yaml",
)
OUTPUTS = ("upstream_request.json", "client_response.json", "client_response.sse", "outcome.json")

#: What ``case.yaml`` may hold: what the case shows; the upstream's model; what the configuration says of the backend
#: (``capabilities``, ``version``, ``project``, ``location``, ``max_output_tokens``); ``client_headers``; ``status`` and
#: ``headers`` of the answer; and why an answer is ``strange`` where it is none that the vendor's own types take.
SETTINGS = frozenset(
    {
        "shows",
        "model",
        "capabilities",
        "version",
        "project",
        "location",
        "max_output_tokens",
        "client_headers",
        "status",
        "headers",
        "strange",
    }
)

#: ``<client>_to_<upstream>`` -> ``inputSchema.schema`` and ``outputSchema.schema``.
PAIRS = {
    "openai_to_anthropic": ("OpenAI", "Anthropic"),
    "openai_to_bedrock": ("OpenAI", "AWSBedrock"),
    "openai_to_gemini": ("OpenAI", "GCPVertexAI"),
    "anthropic_to_gemini": ("Anthropic", "GCPVertexAI"),
    "anthropic_to_bedrock": ("Anthropic", "AWSBedrock"),
    "openai_to_awsanthropic": ("OpenAI", "AWSAnthropic"),
    "openai_to_gcpanthropic": ("OpenAI", "GCPAnthropic"),
    "anthropic_to_openai": ("Anthropic", "OpenAI"),
    "anthropic_to_azure": ("Anthropic", "AzureOpenAI"),
}

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
    def schemas(self) -> tuple[str, str]:
        return PAIRS[self.pair]

    @property
    def upstream_model(self) -> str:
        return str(self.settings["model"])

    @property
    def status(self) -> int:
        return int(self.settings.get("status", 200))

    @property
    def headers(self) -> Mapping[str, str]:
        return {"x-amzn-requestid": "req-0001", **self.settings.get("headers", {})}

    @property
    def client_headers(self) -> Mapping[str, str]:
        return {str(name): str(value) for name, value in self.settings.get("client_headers", {}).items()}

    @property
    def host(self) -> Platform:
        return platform(self.schemas[1])

    def place(self, *, stream: bool) -> Place:
        told = {name: self.settings.get(name) for name in ("version", "project", "location")}
        version, project, location = (None if value is None else str(value) for value in told.values())
        return Place(self.upstream_model, stream, version, project, location)

    def destination(self) -> Destination:
        host, settings = self.host, self.settings
        known = upstream_dialect(host.dialect).capabilities(self.upstream_model)
        return Destination(
            self.upstream_model,
            known.overridden(settings.get("capabilities", {})),
            host.version(self.place(stream=False).version),
            settings.get("max_output_tokens"),
            host.fetches_urls,
            host.hosted,
        )


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
    settings = yaml.load((folder / "case.yaml").read_bytes(), yaml.CSafeLoader)
    assert not set(settings) - SETTINGS, f"{folder}/case.yaml: nothing reads {sorted(set(settings) - SETTINGS)}"
    answer = folder / answers[0] if answers else None
    framed = answer is not None and answer.suffix == ".yaml"
    streamed = answer is not None and answer.suffix == ".sse"
    described = yaml.load(answer.read_bytes(), yaml.CSafeLoader) if answer and framed else None
    return Case(
        folder=folder,
        client_request=(folder / "client_request.json").read_bytes(),
        settings=settings,
        upstream_response=answer.read_bytes() if answer and not framed and not streamed else None,
        frames=build_frames(described) if described else answer.read_bytes() if answer and streamed else None,
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
    if kind == "chunk":
        encoded = json.dumps({"bytes": base64.b64encode(encoded).decode()}).encode()
    name = kind.removeprefix("exception ")
    return event(kind, encoded) if name == kind else exception(name, encoded)


def run(case: Case) -> Outcome:
    """Client bytes through to upstream bytes, and the upstream's answer back."""
    outcome = Outcome()
    facts: dict[str, Any] = {}
    try:
        ends, losses = _sent(case)
        dressed = case.host.dress(
            ends.sent.body, {**case.client_headers, **dict(ends.sent.headers)}, "chat", case.place(stream=ends.stream)
        )
    except ClientError as refused:
        facts["status"] = refused.error.status
        outcome.files["client_response.json"] = client_dialect(case.schemas[0]).write_error(refused.error)
    else:
        told = [_told(loss) for loss in (*losses, *ends.sent.losses, *dressed.losses)]
        named = {**dict(ends.sent.headers), **dict(dressed.set_headers)}
        headers = {name: value for name, value in named.items() if name not in dressed.remove_headers}
        facts |= {
            "path": case.host.path("chat", case.place(stream=ends.stream)),
            "headers": headers or None,
            "losses": told,
            "output_tool": ends.sent.output_tool,
        }
        outcome.files["upstream_request.json"] = dressed.body
        facts |= _answer(ends, case, outcome)
    known = {name: value for name, value in facts.items() if value not in (None, [])}
    outcome.files["outcome.json"] = json.dumps(known, indent=2, ensure_ascii=False).encode() + b"\n"
    return outcome


@dataclass(frozen=True, slots=True)
class _Ends:
    client: ClientDialect
    upstream: UpstreamDialect
    request: Request
    sent: UpstreamRequest
    origin: str

    @property
    def stream(self) -> bool:
        return self.request.stream

    def identity(self) -> Identity:
        return Identity(IDENTITY_ID, self.request.model, CREATED, self.origin)


def _sent(case: Case) -> tuple[_Ends, tuple[Loss, ...]]:
    """The request on its way; raises ``ClientError``."""
    client, upstream = client_dialect(case.schemas[0]), upstream_dialect(case.host.dialect)
    to = case.destination()
    request = client.read_request(case.client_request, case.client_headers)
    turns, losses = without_foreign(request.turns, to.capabilities, to.model)
    sent = upstream.write_request(msgspec.structs.replace(request, turns=turns), to)
    return _Ends(client, upstream, request, sent, origin_of(to.capabilities, to.model)), losses


def _answer(ends: _Ends, case: Case, outcome: Outcome) -> dict[str, Any]:
    if case.frames is not None:
        return _streamed(ends, case, case.frames, outcome)
    if case.upstream_response is None:
        return {}
    if case.status != 200:
        error = _read_error(ends, case, case.upstream_response)
        outcome.files["client_response.json"] = ends.client.write_error(error)
        return {"status": error.status, "native_type": error.native_type}
    try:
        body = case.host.undress(case.upstream_response, "chat")
        response = ends.upstream.read_response(body, case.headers, ends.sent)
        if ends.stream:
            writer = ends.client.stream_writer(ends.request, ends.identity())
            outcome.files["client_response.sse"] = b"".join(writer.write(event) for event in events_of(response))
        else:
            outcome.files["client_response.json"] = ends.client.write_response(response, ends.request, ends.identity())
    except UpstreamError as failed:
        outcome.files["client_response.json"] = ends.client.write_error(failed.error)
        return {"status": failed.error.status}
    return {"status": 200, "usage": _counts(response.usage), "response_losses": list(response.losses)}


def _read_error(ends: _Ends, case: Case, body: bytes) -> ApiError:
    name = case.host.error_dialect(case.headers, body)
    dialect = ends.upstream if name == ends.upstream.name else upstream_dialect(name)
    return dialect.read_error(case.status, case.headers, body)


def _streamed(ends: _Ends, case: Case, frames: bytes, outcome: Outcome) -> dict[str, Any]:
    events = read_events(_reader(ends, case), [frames])
    writer = ends.client.stream_writer(ends.request, ends.identity())
    outcome.files["client_response.sse"] = b"".join(
        writer.write(event) for event in events if not isinstance(event, Lost)
    )
    usage = NO_USAGE
    for told in events:
        usage = usage.updated(told.usage) if isinstance(told, Metered) else usage
    fault = next((told.error for told in events if isinstance(told, Fault)), None)
    return {
        "status": 200,
        "usage": _counts(usage),
        "fault": fault and fault.status,
        "native_type": fault.native_type if fault else None,
        "response_losses": [told.path for told in events if isinstance(told, Lost)],
    }


class _Unframed:
    """A reader behind its platform's unframer."""

    def __init__(self, reader: StreamReader, host: Platform) -> None:
        self._reader = reader
        self._unframer = host.maybe_unframer()

    def feed(self, chunk: bytes) -> Sequence[Event]:
        return self._reader.feed(chunk if self._unframer is None else self._unframer.feed(chunk))

    def finish(self) -> Sequence[Event]:
        rest = b"" if self._unframer is None else self._unframer.finish()
        return [*(self._reader.feed(rest) if rest else ()), *self._reader.finish()]


def _reader(ends: _Ends, case: Case) -> StreamReader:
    return _Unframed(ends.upstream.stream_reader(case.headers, ends.sent), case.host)


def reader_factory(case: Case) -> Callable[[], StreamReader]:
    """Makes readers for the answer to the case's own request."""
    ends, _ = _sent(case)
    return lambda: _reader(ends, case)


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
