"""What becomes of each field of a client dialect at each upstream: found out by sending it, and told in the docs.

A probe is one request beside its baseline. Refused: there is no upstream request. Dropped, approximated: the loss list
says so. Carried: the upstream request changes. Harmless: it does not, and the probe says why that is right.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec.structs import replace

from extproc.conversation.errors import ClientError, Loss
from extproc.conversation.provenance import without_foreign
from extproc.dialects.contract import Destination
from extproc.platforms.contract import Place
from extproc.registry import client_dialect, platform, upstream_dialect

ROOT = Path(__file__).parents[2]
PROBES = ROOT / "tests" / "golden" / "fields"
DOCS = ROOT / "docs" / "dialects"

CLIENTS = {"openai": "OpenAI", "anthropic": "Anthropic"}
#: What the APIs are called on the pages.
APIS = {"openai": "OpenAI chat completions", "anthropic": "Anthropic messages"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A client and an upstream between which is translated.

    ``models``: the main table's first, then those it tells. ``siblings``: other schemas of the same dialect.
    """

    client: str
    upstream: str
    schema: str
    title: str
    models: Mapping[str, str]
    siblings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.client}-to-{self.upstream}"


_ON_BEDROCK = {
    "Claude Sonnet 4.5": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "Claude Opus 4.8": "us.anthropic.claude-opus-4-8",
    "Nova 2 Lite": "us.amazon.nova-2-lite-v1:0",
    "gpt-oss": "openai.gpt-oss-120b-1:0",
    "Llama 3.3": "us.meta.llama3-3-70b-instruct-v1:0",
    "unknown": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
}
_CLAUDE = {
    "Claude Opus 4.8": "claude-opus-4-8",
    "Claude Opus 4.6": "claude-opus-4-6",
    "Claude Sonnet 4.5": "claude-sonnet-4-5",
    "Claude Opus 5.5": "claude-opus-5-5",
    "unknown": "our-alias",
}
_GEMINI = {
    "Gemini 3.5 Flash": "gemini-3.5-flash",
    "Gemini 2.5 Flash": "gemini-2.5-flash",
    "Gemini 2.0 Flash": "gemini-2.0-flash",
    "unknown": "1234567890",
}
_GPT = {
    "GPT-5.2": "gpt-5.2",
    "GPT-5.6": "gpt-5.6",
    "GPT-4o": "gpt-4o",
    "gpt-oss": "openai/gpt-oss-120b",
    "unknown": "our-deployment",
}
PAIRS = (
    Pair("openai", "anthropic", "Anthropic", APIS["anthropic"], _CLAUDE, ("AWSAnthropic", "GCPAnthropic")),
    Pair("openai", "bedrock", "AWSBedrock", "AWS Bedrock Converse", _ON_BEDROCK),
    Pair("openai", "gemini", "GCPVertexAI", "Gemini on Vertex AI", _GEMINI, ("Gemini",)),
    Pair("anthropic", "openai", "OpenAI", APIS["openai"], _GPT, ("AzureOpenAI",)),
    Pair("anthropic", "bedrock", "AWSBedrock", "AWS Bedrock Converse", _ON_BEDROCK),
    Pair("anthropic", "gemini", "GCPVertexAI", "Gemini on Vertex AI", _GEMINI, ("Gemini",)),
)


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


@cache
def load_probes(client: str) -> tuple[Probe, ...]:
    """All probes of a client's dialect, in the order of the file."""
    described = yaml.load((PROBES / f"{client}.yaml").read_bytes(), yaml.CSafeLoader)
    probes = []
    for entry in described["probes"]:
        strangers = set(entry) - {"field", "values", "with", "set", "harmless"}
        assert not strangers, f"{entry['field']} has {sorted(strangers)}, which nothing reads"
        common = {name: value for name, value in described.items() if name == "baseline"}["baseline"]
        baseline = {**common, **entry.get("with", {})}
        request = {**baseline, **entry["set"]}
        probes.append(Probe(entry["field"], str(entry["values"]), baseline, request, entry.get("harmless")))
    return tuple(probes)


def judge(pair: Pair, probe: Probe, model: str) -> Verdict:
    """What becomes of the probe on the way to one model; fails for a field that vanishes without a reason."""
    try:
        sent, losses = _sent(pair, probe.request, model)
    except ClientError as refused:
        return Verdict("refused", refused.error.message)
    baseline, known = _sent(pair, probe.baseline, model)
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


def _sent(pair: Pair, request: Mapping[str, Any], model: str) -> tuple[tuple[str | None, bytes], tuple[Loss, ...]]:
    host = platform(pair.schema)
    upstream = upstream_dialect(host.dialect)
    known = upstream.capabilities(model)
    read = client_dialect(CLIENTS[pair.client]).read_request(msgspec.json.encode(request))
    turns, foreign = without_foreign(read.turns, known, model)
    to = Destination(model, known, None, 4096, host.fetches_urls, host.hosted)
    written = upstream.write_request(replace(read, turns=turns), to)
    path = host.path("chat", Place(model, read.stream))
    return (path, written.body), (*foreign, *written.losses)


# --- the pages


#: The generated pages.
PAGES = (*(DOCS / f"{pair.name}.md" for pair in PAIRS), *(DOCS / f"{client}-to-{client}.md" for client in CLIENTS))


@cache
def pages() -> Mapping[Path, str]:
    """``PAGES`` by their place."""
    return {DOCS / f"{pair.name}.md": _page(pair) for pair in PAIRS} | {
        DOCS / f"{client}-to-{client}.md": _passthrough_page(client) for client in CLIENTS
    }


GENERATED = "<!-- Generated from the code by `make golden`; do not edit. -->\n"


def _page(pair: Pair) -> str:
    main, *others = pair.models.values()
    rows, differing = [], []
    for probe in load_probes(pair.client):
        verdict = judge(pair, probe, main)
        rows.append((probe.field, probe.values, f"**{verdict.word}**", verdict.detail))
        told = [verdict.word, *(judge(pair, probe, model).word for model in others)]
        if len(set(told)) > 1:
            differing.append((probe.field, probe.values, *told))
    head = ("field", "values", "verdict", "why")
    also = "".join(f"\n{_sibling(pair, schema)}\n" for schema in pair.siblings)
    return f"""{GENERATED}
# {APIS[pair.client]} to {pair.title}

Each row is a request that was read and written by the code; see the [words](README.md). The model is
`{main}`; where other models differ, the second table says how.
{also}
{table(head, rows)}
## Where the model makes a difference

The bundled table of models is `extproc/dialects/{pair.upstream}/models.py`; a backend's `capabilities` override it.
*Unknown* is any model that the table does not match.

{table(("field", "values", *pair.models), differing)}"""


def _sibling(pair: Pair, schema: str) -> str:
    """Where another host of the same dialect has other verdicts."""
    model = next(iter(pair.models.values()))
    other = dataclasses.replace(pair, schema=schema)
    differing = [
        f"{probe.field}, {probe.values} (**{told.word}**)"
        for probe in load_probes(pair.client)
        if (told := judge(other, probe, model)).word != judge(pair, probe, model).word
    ]
    if not differing:
        return f"The same table holds for `{schema}`."
    return f"The same table holds for `{schema}`, but for: {'; '.join(differing)}."


_EDITS = {
    "openai": """Three things are edited in place: `model`, when the backend has its own name for it;
`stream_options.include_usage`, when the client streams without it (the usage chunk that this adds is taken out again);
and the reasoning of other makers' models, which the gateway itself wrote into earlier answers, is left out.""",
    "anthropic": """Two things are edited in place: `model`, when the backend has its own name for it, and thinking that
another maker signed, which the API would refuse: then all of such a conversation's thinking stays behind. The clouds
(`AWSAnthropic`, `GCPAnthropic`) take the model in the path and the version in the body; nothing else changes.""",
}


def _passthrough_page(client: str) -> str:
    tables = ", ".join(f"[{pair.upstream}]({pair.name}.md)" for pair in PAIRS if pair.client == client)
    return f"""{GENERATED}
# {APIS[client]} to {APIS[client]}

Passed through: nothing is refused, nothing is dropped, and the bytes stay as the client sent them.
{_EDITS[client]}

All {len(load_probes(client))} requests of the tables for {tables} were tried, those of unknown fields and wrong values
among them.
"""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)
