"""Prometheus metrics of one worker, named after OpenTelemetry's GenAI conventions where those have a name.

Labels are bounded whatever clients send: routes and backends come from the configuration; a model has its own label
when the configuration names it, or once an upstream has answered for it, and is ``other`` else; a request that no route
took counts under ``unknown``; a dropped field has its path as a label when that is in the fixed list below.
Names: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ (2026-11).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from extproc.conversation.response import NO_USAGE, Usage
from extproc.exchange.record import Record

if TYPE_CHECKING:
    # The supervisor collects metrics without carrying the loader's weight.
    from extproc.server.reload import ConfigStatus

#: Where the workers' counters lie; read by ``prometheus_client`` when it is imported, so set it before.
DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

_UNKNOWN: Final = "unknown"
_OTHER: Final = "other"
#: Models that a catch-all rule lets through: so many have a label of their own.
_MAX_LEARNED: Final = 256
_MAX_NAME: Final = 128
#: Fast local answers and hour-long reasoning both matter: 10 ms doubling to 82 s, then up to ten minutes.
_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 300.0, 600.0)
_FIRST_TOKEN_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 90.0)
_TOKENS: Final = tuple(float(4**power) for power in range(14))
_GENERATION: Final = re.compile(r"@\d+(?=#|$)")
_INDEX: Final = re.compile(r"\[\d+\]")

#: The members of a request body as OpenAI and Anthropic document them, and headers whose values are lists of wishes:
#: only these, and what ``_PLACES`` and ``_MEMBERS`` make, become labels. The client chooses all other names.
#: https://platform.openai.com/docs/api-reference/chat/create, openai-python 3.54 and anthropic-python 2.12, read
#: 2026-11-22.
_ROOTS: Final = frozenset(
    [
        "anthropic-beta",
        "audio",
        "cache_control",
        "container",
        "context_management",
        "diagnostics",
        "frequency_penalty",
        "function_call",
        "functions",
        "inference_geo",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "output_config",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "speed",
        "stop",
        "stop_sequences",
        "store",
        "stream",
        "stream_options",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
#: Objects within a body whose members may be left out; ``[]`` stands for any index.
_PLACES: Final = frozenset(
    [
        "messages[]",
        "messages[].content[]",
        "messages[].content[].file",
        "messages[].content[].image_url",
        "messages[].content[].content[]",
        "messages[].content[].input_audio",
        "messages[].content[].source",
        "messages[].reasoning_details[]",
        "messages[].reasoning_details[]",
        "messages[].thinking_blocks[]",
        "messages[].tool_calls[]",
        "messages[].tool_calls[].function",
        "metadata",
        "output_config",
        "output_config.format",
        "response_format",
        "response_format.json_schema",
        "stream_options",
        "system[]",
        "thinking",
        "tool_choice",
        "tools[]",
        "tools[].function",
    ]
)
_MEMBERS: Final = frozenset(
    [
        "allowed_callers",
        "annotations",
        "audio",
        "budget_tokens",
        "cache_control",
        "citations",
        "context",
        "defer_loading",
        "description",
        "detail",
        "disable_parallel_tool_use",
        "display",
        "eager_input_streaming",
        "effort",
        "filename",
        "include_obfuscation",
        "input_examples",
        "is_error",
        "name",
        "refusal",
        "schema",
        "strict",
        "title",
        "transformations",
        "type",
        "user_id",
    ]
)
_FIELDS: Final = _ROOTS | _PLACES | {f"{place}.{member}" for place in _PLACES for member in _MEMBERS}

# The library's own names for these carry no types.
_value_class: Final[Callable[[Callable[[], int]], Any]] = values.MultiProcessValue
_mark_dead: Final[Callable[[int, str], None]] = mark_process_dead
_collect: Final[Callable[[CollectorRegistry, str], object]] = MultiProcessCollector

_GEN_AI_LABELS: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "backend")


def keep_in_worker_files(index: int) -> None:
    """Make metrics that are created from now on live in the files of worker ``index``.

    A respawned worker takes its predecessor's files over, so counters go on where they stood and the number of files
    does not grow with crashes. Needs ``DIRECTORY_VARIABLE`` set; at no time may two processes use one index.
    """
    values.ValueClass = _value_class(lambda: index)


def forget_worker_gauges(index: int, directory: str) -> None:
    """Remove what worker ``index``, which is dead, said of the present; its counters stay."""
    _mark_dead(index, directory)


def collected(directory: str) -> CollectorRegistry:
    """A registry that answers for all workers whose files are in ``directory``."""
    registry = CollectorRegistry()
    _collect(registry, directory)
    return registry


_Key = tuple[str, str, str, str, str, int, str]
_Observe = Callable[[float], None]


@dataclass(slots=True)
class _Children:
    """The bound methods for one combination of labels, so that nothing is looked up per request.

    Those that not every exchange needs are made when one does: a series that is always zero costs every scrape.
    """

    gen_ai: tuple[str, str, str, str]
    count: Callable[[], None]
    duration: _Observe
    first_token: _Observe | None = None
    tokens: dict[str, _Observe] = field(default_factory=dict)


class Metrics:
    """The metrics of this process. Not for several threads at once: the event loop's thread observes."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "llmroute_requests",
            "Requests that were answered, by what became of them.",
            ("operation", "route", "backend", "model", "status", "outcome"),
            registry=registry,
        )
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request's headers to the end of the answer, as the gateway saw it.",
            _GEN_AI_LABELS,
            registry=registry,
            buckets=_SECONDS,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request's headers to the first byte of a streamed answer's body.",
            _GEN_AI_LABELS,
            registry=registry,
            buckets=_FIRST_TOKEN_SECONDS,
        )
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens per request, as the upstream counted them. Cached ones are also input, reasoning ones also output.",
            (*_GEN_AI_LABELS, "gen_ai_token_type"),
            registry=registry,
            buckets=_TOKENS,
        )
        self._dropped = Counter(
            "llmroute_dropped_fields",
            "Request fields that the backend's API cannot carry, left out of the upstream request.",
            ("field", "backend"),
            registry=registry,
        )
        self._errors = Counter(
            "llmroute_internal_errors", "Failures that are bugs of the processor.", registry=registry
        )
        loads = "Configurations that a worker loaded (result ok) or refused (result error)."
        self._loads = Counter("llmroute_config_loads", loads, ("result",), registry=registry)
        self._revision = Gauge(
            "llmroute_config_revision",
            "Revision of the configuration being served: the oldest among the workers, 0 when there is none.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._config_error = Gauge(
            "llmroute_config_error",
            "1 while a worker cannot load the configuration file as it is now, else 0.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        refreshes = "Credentials that a worker read or fetched anew (outcome ok), or tried to (outcome error)."
        self._refreshes = Counter("llmroute_credential_refresh", refreshes, ("backend", "outcome"), registry=registry)
        streams = _streams_gauge(registry)
        self.stream_started: Callable[[], None] = streams.inc
        self.stream_ended: Callable[[], None] = streams.dec
        self._children: dict[_Key, _Children] = {}
        self._configured: frozenset[str] = frozenset()
        self._learned_models: set[str] = set()

    def observe(self, record: Record) -> None:
        """Count a finished exchange."""
        key = (
            record.operation,
            record.route,
            record.backend,
            record.provider,
            self._model_label(record),
            record.status,
            record.outcome,
        )
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = self._new_children(key)
        children.count()
        if record.ended is not None:
            children.duration(record.ended - record.started)
        if record.stream and record.first_body is not None:
            if children.first_token is None:
                children.first_token = self._first_token.labels(*children.gen_ai).observe
            children.first_token(record.first_body - record.started)
        if record.usage is not NO_USAGE:
            self._observe_usage(children, record.usage)
        for path in record.dropped:
            self._dropped.labels(_field_label(path), record.backend).inc()
        if record.dropped_more:
            self._dropped.labels(_OTHER, record.backend).inc(record.dropped_more)

    def _observe_usage(self, children: _Children, usage: Usage) -> None:
        for kind, tokens in (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached_input", usage.cached_input_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if tokens is not None:
                observe = children.tokens.get(kind)
                if observe is None:
                    observe = children.tokens[kind] = self._tokens.labels(*children.gen_ai, kind).observe
                observe(tokens)

    def internal_error(self) -> None:
        """Count a bug of ours."""
        self._errors.inc()

    def credential_refreshed(self, backend: str, outcome: str) -> None:
        """Count a renewal of a configured backend's credential, or the failure of one."""
        self._refreshes.labels(backend, outcome).inc()

    def config(self, status: "ConfigStatus") -> None:
        """Count a load, good or bad, and show what is served."""
        self._loads.labels("error" if status.error else "ok").inc()
        self._revision.set(status.revision)
        self._config_error.set(1 if status.error else 0)
        self._configured = status.models

    def _model_label(self, record: Record) -> str:
        model = record.model
        if not record.backend:
            return _UNKNOWN
        if model in self._configured or model in self._learned_models:
            return model
        if record.outcome == "ok" and model and _may_learn(self._learned_models, model):
            return model
        return _OTHER

    def _new_children(self, key: _Key) -> _Children:
        operation, route, backend, provider, model, status, outcome = key
        gen_ai = (operation or _UNKNOWN, provider or _UNKNOWN, model, backend)
        return _Children(
            gen_ai,
            self._requests.labels(gen_ai[0], route_label(route), backend, model, status, outcome).inc,
            self._duration.labels(*gen_ai).observe,
        )


def _streams_gauge(registry: CollectorRegistry) -> Gauge:
    name, text = "llmroute_streams_in_flight", "Exchanges that are open now."
    return Gauge(name, text, registry=registry, multiprocess_mode="livesum")


def _field_label(path: str) -> str:
    name = _INDEX.sub("[]", path) if len(path) <= _MAX_NAME else ""
    return name if name in _FIELDS else _OTHER


def _may_learn(learned: set[str], name: str) -> bool:
    """Remember ``name`` as one that has a label of its own, unless there are too many or it is absurdly long."""
    if len(learned) >= _MAX_LEARNED or len(name) > _MAX_NAME:
        return False
    learned.add(name)
    return True


@lru_cache(maxsize=4096)
def route_label(route: str) -> str:
    """A rule's provenance without its generation: an edit elsewhere in the resource must not start a new series."""
    return _GENERATION.sub("", route)
