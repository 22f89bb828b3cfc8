"""The answers that Envoy gives without the processor, in the client's dialect.

What Envoy answers behind the processor (no upstream, time-outs) passes through the processor's response phase and is
written there. These do not: the processor itself is gone, or the answer comes before it, instead of it, or while it
holds the headers of an upstream's. They are told apart by CEL over their code details and headers, because filters by
status would also hit the processor's own immediate responses.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.translate.envoy.documents import Document, extension
from controller.translate.settings import BUFFER_BYTES
from extproc.config.names import METADATA_NAMESPACE


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of local reply.

    ``expression`` is CEL over the response. ``status`` None: the one that Envoy chose. ``retry`` asks the client to
    come back.
    """

    expression: str
    status: int | None
    kind: str
    code: str
    message: str
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one client dialect writes an error.

    ``name`` is what the processor calls it in the metadata. ``paths``: where its paths begin; none: what no earlier row
    took.
    """

    schema: str
    name: str
    paths: tuple[str, ...]
    body: Callable[[Failure], Mapping[str, Any]]

    def expression(self, path_prefix: str) -> str | None:
        """CEL for a request in this dialect; None for the last row.

        Once the processor has routed a request, its path is the upstream's, and the metadata say whose it was.
        """
        if not self.paths:
            return None
        ours = f"metadata.filter_metadata[{json.dumps(METADATA_NAMESPACE)}]"
        begins = " || ".join(f"request.path.startsWith({json.dumps(path_prefix + path)})" for path in self.paths)
        return (
            f"({json.dumps(METADATA_NAMESPACE)} in metadata.filter_metadata && 'client_dialect' in {ours}"
            f" ? {ours}['client_dialect'] == {json.dumps(self.name)} : {begins})"
        )


def _openai(failure: Failure) -> Mapping[str, Any]:
    return {"error": {"message": failure.message, "type": failure.kind, "param": None, "code": failure.code}}


def _anthropic(failure: Failure) -> Mapping[str, Any]:
    kind = _ANTHROPIC_KINDS.get(failure.code, _ANTHROPIC_KINDS.get(failure.kind, "api_error"))
    return {"type": "error", "error": {"type": kind, "message": failure.message}}


#: Anthropic's error types by our code or else by OpenAI's type; what is not here is an ``api_error``
#: (https://docs.anthropic.com/en/api/errors, read 2026-11-22).
_ANTHROPIC_KINDS = {
    "processor_unavailable": "overloaded_error",
    "request_too_large": "request_too_large",
    "request_timeout": "timeout_error",
    "timeout": "timeout_error",
    "invalid_request_error": "invalid_request_error",
}

#: A new client dialect is one row, before the last.
DIALECTS = (
    Dialect("Anthropic", "anthropic", ("/v1/messages", "/anthropic/"), _anthropic),
    Dialect("OpenAI", "openai", (), _openai),
)


_LIMIT = f"{BUFFER_BYTES >> 20} MiB"
#: The processor's own replies come with their type, and may have the code details of what they stand for.
_UNWRITTEN = "!('content-type' in response.headers)"

#: The local replies that the processor does not see; the first one that fits counts.
FAILURES = (
    Failure(
        "response.code_details.startsWith('ext_proc_error')",
        503,
        "server_error",
        "processor_unavailable",
        "The gateway's processor is not available; try again.",
        retry=True,
    ),
    Failure(
        "response.code_details == 'request_payload_too_large'",
        413,
        "invalid_request_error",
        "request_too_large",
        f"The request is larger than {_LIMIT}, the most that this gateway takes.",
    ),
    Failure(
        "response.code_details.startsWith('response_payload_too_large')",
        502,
        "server_error",
        "response_too_large",
        f"The backend's response is larger than {_LIMIT}, the most that this gateway passes on.",
    ),
    Failure(
        # The headers of the answer were still with the processor; after that there is nothing left but to cut it.
        "response.code_details.startsWith('upstream_reset_after_response_started')",
        502,
        "server_error",
        "upstream_reset",
        "The backend broke off its answer before anything of it could be passed on.",
    ),
    Failure(
        "response.code_details in ['request_overall_timeout', 'request_header_timeout']",
        408,
        "invalid_request_error",
        "request_timeout",
        "The request did not arrive in time.",
    ),
    Failure(
        f"response.code_details == 'response_timeout' && {_UNWRITTEN}",
        504,
        "server_error",
        "timeout",
        "The backend did not finish its answer in the time that the rule allows.",
    ),
    Failure(
        f"response.code < 500 && {_UNWRITTEN}",
        None,
        "invalid_request_error",
        "request_refused",
        "The gateway cannot take this request (%RESPONSE_CODE_DETAILS%).",
    ),
    Failure(
        _UNWRITTEN,
        None,
        "server_error",
        "proxy_error",
        "The gateway cannot answer this request (%RESPONSE_CODE_DETAILS%).",
    ),
)


def local_reply_config(path_prefix: str) -> Document:
    """The HTTP connection manager's ``local_reply_config``. ``path_prefix`` stands before ``/v1``."""
    return {
        "mappers": [_mapper(failure, dialect, path_prefix) for failure in FAILURES for dialect in DIALECTS],
    }


def _mapper(failure: Failure, dialect: Dialect, path_prefix: str) -> Document:
    expression, asked = failure.expression, dialect.expression(path_prefix)
    if asked is not None:
        expression = f"{expression} && {asked}"
    mapper: Document = {
        "filter": {
            "extension_filter": extension(
                "envoy.access_loggers.extension_filters.cel",
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                expression=expression,
            )
        },
        "body_format_override": {"json_format": dialect.body(failure), "content_type": "application/json"},
    }
    if failure.status is not None:
        mapper["status_code"] = failure.status
    # OpenAI's SDKs show their users the one, Anthropic's the other.
    headers = {"x-request-id": "%REQ(X-REQUEST-ID)%", "request-id": "%REQ(X-REQUEST-ID)%"}
    if failure.retry:
        headers["retry-after"] = "1"
    mapper["headers_to_add"] = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in headers.items()
    ]
    return mapper
