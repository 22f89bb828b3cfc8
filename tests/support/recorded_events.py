"""Messages as Envoy 1.40.0 sent them to a processor, byte for byte, recorded on 2026-11-22."""

#: HTTP/1.1, POST of ``{}`` with two ``x-many`` headers. Fields 8 and 11 are there too, which we do not read.
REQUEST_HEADERS = (
    b"\x12\x86\x02\n\x83\x02\n\x1b\n\n:authority\x1a\rgateway.local\n\x1d\n\x05:path\x1a\x14/v1/chat/completions"
    b"\n\x0f\n\x07:method\x1a\x04POST\n\x0f\n\x07:scheme\x1a\x04http\n \n\x0ccontent-type\x1a\x10application/json"
    b"\n\x0b\n\x06x-many\x1a\x01a\n\x0e\n\x06x-many\x1a\x04b, c\n\x13\n\x0econtent-length\x1a\x012"
    b"\n\x19\n\x11x-forwarded-proto\x1a\x04http"
    b"\n4\n\x0cx-request-id\x1a$798dde75-5539-4f37-a013-e511de58d679B\x00Z\x02\x08\x02"
)
#: Its body.
REQUEST_BODY = b'"\x06\n\x02{}\x10\x01B\x00'
#: A real upstream's JSON answer, with the attributes ``response.code_details``, ``response.flags`` (a number),
#: ``request.path`` and ``xds.route_name`` asked for.
RESPONSE_HEADERS = (
    b"\x1a\xc3\x01\n\xc0\x01\n\x0e\n\x07:status\x1a\x03200\n \n\x0ccontent-type\x1a\x10application/json"
    b"\n\x17\n\x0cx-request-id\x1a\x07req_abc\n\x1a\n\x14openai-processing-ms\x1a\x0212"
    b"\n\x1c\n\x0eopenai-version\x1a\n2020-10-01\n\x15\n\x0econtent-length\x1a\x03744"
    b'\n"\n\x1dx-envoy-upstream-service-time\x1a\x010B\x00J\xa4\x01\n\x1benvoy.filters.http.ext_proc\x12\x84\x01'
    b"\n\x1b\n\x0eresponse.flags\x12\t\x11\x00\x00\x00\x00\x00\x00\x00\x00\n\x14\n\x0exds.route_name\x12\x02\x1a\x00"
    b"\n&\n\x0crequest.path\x12\x16\x1a\x14/v1/chat/completions\n'\n\x15response.code_details\x12\x0e\x1a\x0cvia_upstream"
)
#: Envoy's own answer for an upstream that refuses connections.
LOCAL_REPLY = (
    b"\x1aD\nB\n\x0e\n\x07:status\x1a\x03503\n\x14\n\x0econtent-length\x1a\x0298\n\x1a\n\x0ccontent-type\x1a\ntext/plain"
    b"B\x00J\x84\x02\n\x1benvoy.filters.http.ext_proc\x12\xe4\x01\n\x86\x01\n\x15response.code_details\x12m\x1ak"
    b"upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
    b"\n\x1b\n\x0eresponse.flags\x12\t\x11\x00\x00\x00\x00\x00\x00@@\n\x14\n\x0exds.route_name\x12\x02\x1a\x00"
    b"\n&\n\x0crequest.path\x12\x16\x1a\x14/v1/chat/completions"
)
#: The end of a chunked response: an empty body with end_of_stream.
LAST_CHUNK = b"*\x02\x10\x01B\x00"
#: HTTP/2, GET of ``/v1/a\xff\xc3`` with a header of the byte 0xff; the path is also the attribute ``request.path``.
ODD_BYTES = (
    b"\x12\xa4\x01\n\x9f\x01\n\x0e\n\x07:method\x1a\x03GET\n\x10\n\x05:path\x1a\x07/v1/a\xff\xc3\n\x0f\n\x07:scheme\x1a\x04http"
    b"\n\x0f\n\n:authority\x1a\x01a\n\x08\n\x03x-w\x1a\x01\xff\n\x19\n\x11x-forwarded-proto\x1a\x04http"
    b"\n4\n\x0cx-request-id\x1a$4cdc0142-5e4b-4993-bf5a-769e07ea28a8\x18\x01B\x00J]\n\x1benvoy.filters.http.ext_proc"
    b"\x12>\n\x19\n\x0crequest.path\x12\t\x1a\x07/v1/a\xff\xc3\n!\n\x0frequest.headers\x12\x0e\x1a\x0cCelMap value"
    b"Z\x02\x08\x02"
)
