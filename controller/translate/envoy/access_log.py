"""One JSON line for each request, with what the processor said of it and who ended it."""

from controller.translate.envoy.documents import Document, extension
from extproc.config.names import METADATA_KEYS, METADATA_NAMESPACE

#: Fields in the order of their names, as Envoy writes them. The path is without its query, which may hold a key;
#: bodies, headers of the client and credentials are never logged.
_FIELDS = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream": "%UPSTREAM_HOST%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "received_bytes": "%BYTES_RECEIVED%",
    "sent_bytes": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
}


def access_log(path: str | None) -> Document:
    """The access logger, into a file or, without one, to standard output."""
    fields = _FIELDS | {key: f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:{key})%" for key in METADATA_KEYS}
    log_format = {"json_format": fields}
    if path is None:
        return extension(
            "envoy.access_loggers.stdout",
            "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format=log_format,
        )
    return extension(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format=log_format,
    )
