"""A processor that does nothing but send a request where its ``x-pick`` header says, over real gRPC.

It stands in for extproc where Envoy's side of the arrangement is what is looked at.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from extproc.config.names import BACKEND_HEADER
from extproc.server.proto import extproc_pb2 as pb

_METHOD = "envoy.service.ext_proc.v3.ExternalProcessor"


@dataclass
class Seen:
    """What the processor was told of one request."""

    headers: dict[str, str] = field(default_factory=dict)
    details: str = ""


@contextmanager
def picking_processor(path: Path) -> Iterator[list[Seen]]:
    """Serves on a Unix socket; yields what it sees, request by request."""
    seen: list[Seen] = []

    def process(
        requests: Iterator[pb.ProcessingRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ProcessingResponse]:
        one = Seen()
        seen.append(one)
        for request in requests:
            yield _answer(request, one)

    server = grpc.server(ThreadPoolExecutor(8))
    handler = grpc.stream_stream_rpc_method_handler(
        process,
        request_deserializer=pb.ProcessingRequest.FromString,
        response_serializer=pb.ProcessingResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_METHOD, {"Process": handler}),))
    alive = health.HealthServicer()
    alive.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(alive, server)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield seen
    finally:
        server.stop(None).wait()


def _answer(request: pb.ProcessingRequest, seen: Seen) -> pb.ProcessingResponse:
    response = pb.ProcessingResponse()
    match request.WhichOneof("request"):
        case "request_headers":
            seen.headers = {h.key: h.raw_value.decode() for h in request.request_headers.headers.headers}
            response.request_headers.SetInParent()
        case "request_body":
            common = response.request_body.response
            common.clear_route_cache = True
            _set(common, BACKEND_HEADER, seen.headers.get("x-pick", ""))
            _set(common, ":authority", "forged.example.com")
            response.dynamic_metadata.update({"io.envoy.ai_gateway": {"model": "gpt", "input_tokens": 7}})
        case "response_headers":
            attributes = request.attributes["envoy.filters.http.ext_proc"]
            seen.details = attributes.fields["response.code_details"].string_value.decode()
            response.response_headers.SetInParent()
        case other:
            raise AssertionError(f"{other} was not asked for")
    return response


def _set(common: pb.CommonResponse, name: str, value: str) -> None:
    option = common.header_mutation.set_headers.add()
    option.header.key, option.header.raw_value = name, value.encode()
    option.append_action = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
