"""The yardstick: an ext_proc server on grpc.aio that does nothing, in the same modes as the real one.

Run as ``python -m bench.echo ADDRESS``.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator

import grpc
import uvloop

from extproc.server.proto import extproc_pb2 as pb

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"


async def process(
    requests: AsyncIterator[pb.ProcessingRequest], context: object
) -> AsyncIterator[pb.ProcessingResponse]:
    """One answer a message, nothing read but what chooses the body mode."""
    del context
    async for request in requests:
        kind = request.WhichOneof("request")
        if kind == "request_headers":
            yield pb.ProcessingResponse(request_headers=pb.HeadersResponse())
        elif kind == "request_body":
            yield pb.ProcessingResponse(request_body=pb.BodyResponse())
        elif kind == "response_headers":
            stream = any(
                h.key == "content-type" and (b"stream" in h.raw_value) for h in request.response_headers.headers.headers
            )
            mode = pb.ProcessingMode(
                response_header_mode=pb.ProcessingMode.SEND,
                response_body_mode=pb.ProcessingMode.STREAMED if stream else pb.ProcessingMode.BUFFERED,
                response_trailer_mode=pb.ProcessingMode.SEND,
            )
            yield pb.ProcessingResponse(response_headers=pb.HeadersResponse(), mode_override=mode)
        elif kind == "response_body":
            yield pb.ProcessingResponse(response_body=pb.BodyResponse())
        else:
            yield pb.ProcessingResponse(response_trailers=pb.TrailersResponse())


async def _serve(address: str) -> None:
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    )
    handler = grpc.stream_stream_rpc_method_handler(
        process,
        request_deserializer=pb.ProcessingRequest.FromString,
        response_serializer=pb.ProcessingResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Process": handler}),))
    server.add_insecure_port(address)
    await server.start()
    gc.freeze()
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
