"""What a client's dialect has no place for is listed, whichever way the answer comes."""

import json

from extproc.dialects.contract import Identity, UpstreamRequest
from extproc.exchange.translation import TranslatedFlow
from extproc.registry import client_dialect, upstream_dialect
from tests.support.anthropic_messages import delta, ends, opens, sse, start
from tests.support.openai_chat import read

SENT = UpstreamRequest(b"")
IDENTITY = Identity("abc", "m", 1_700_000_000)
SOURCE = {"type": "char_location", "cited_text": "q", "document_index": 0, "start_char_index": 0, "end_char_index": 1}


def test_citations_of_documents_are_listed_once_for_each_text() -> None:
    """Sources that OpenAI's form cannot name are in the list of a stream while it flows, each text once."""
    client = client_dialect("OpenAI")
    flow = TranslatedFlow(
        upstream_dialect("anthropic").stream_reader({}, SENT),
        client.stream_writer(read(stream=True), IDENTITY),
        None,
        client.untold_event,
    )
    cited = delta(0, type="citations_delta", citation=SOURCE)
    text = delta(0, type="text_delta", text="a")
    told = flow.feed(sse(start(), opens(0, type="text", text=""), text, cited, cited, *ends()))

    assert flow.lost == ["blocks[0].citations"]
    assert b"citations" not in told


def test_citations_of_documents_are_listed_in_a_whole_answer() -> None:
    """The same sources are listed for a whole answer."""
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "citations": [SOURCE]}]
    message = {"type": "message", "content": content, "stop_reason": "end_turn"}
    response = upstream_dialect("anthropic").read_response(json.dumps(message).encode(), {}, SENT)

    assert client_dialect("OpenAI").untold(response) == ("blocks[1].citations",)
