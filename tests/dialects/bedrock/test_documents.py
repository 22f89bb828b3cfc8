"""Documents, search results, audio, and citations both ways."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.conversation.errors import Refusal
from extproc.conversation.request import Audio, Block, Citation, Document, Image, SearchResult, Text
from extproc.dialects.bedrock import DIALECT
from extproc.dialects.bedrock.documents import MAX_DOCUMENTS, DocumentWriter
from extproc.dialects.contract import UpstreamRequest
from tests.dialects.bedrock.converse import ABLE, body, call, conversation, losses, result, write
from tests.support.bedrock_oracle import check_request
from tests.support.wire_costs import assert_linear

PDF = Document("d", media_type="application/pdf", data="AAAA", filename="a.pdf")
CLAUDE = replace(ABLE, maker="anthropic")
NAME = re.compile(r"(?!.* {2})[A-Za-z0-9()\[\]-]([A-Za-z0-9()\[\] -]{0,198}[A-Za-z0-9()\[\]-])?")
PATH = "/model/m/converse"


def written(*blocks: Block) -> list[dict[str, Any]]:
    """The content of one message; botocore takes it."""
    request = conversation(("user", [*blocks, "Read."]))
    check_request(write(request).body, "m", PATH, stream=False)
    content: list[dict[str, Any]] = body(request)["messages"][0]["content"][:-1]
    return content


def names(*filenames: str | None) -> list[str]:
    return [element["document"]["name"] for element in written(*(replace(PDF, filename=name) for name in filenames))]


def test_converse_document_names() -> None:
    """Names lose what Converse does not take, and none is given twice, however they are written."""
    assert names("John's  report.pdf", "John's  report.pdf", "a\u3000b.pdf", None, None, "document") == [
        "John s report",
        "John s report 2",
        "a b",
        "document",
        "document 2",
        "document 3",
    ]
    assert names("report 2.pdf", "report.pdf", "report.pdf") == ["report 2", "report", "report 3"]
    assert names("v1.2 notes", ".pdf", "x" * 300, "x" * 300) == ["v1 2 notes", "pdf", "x" * 200, "x" * 198 + " 2"]


@given(st.lists(st.none() | st.text(max_size=8) | st.text("a. -", max_size=4), min_size=1, max_size=6))
def test_any_name_becomes_a_valid_one(filenames: list[str | None]) -> None:
    """Whatever files are called, the names are valid and unique, and depend only on those before."""
    given_names = names(*filenames)
    assert all(NAME.fullmatch(name) for name in given_names)
    assert len(set(given_names)) == len(given_names)
    assert names(*filenames[:-1], "z") == [*given_names[:-1], names(*filenames[:-1], "z")[-1]]


def test_a_changed_name_is_listed() -> None:
    """A suffix says the format and is no part of the name; anything else that changes is listed."""
    assert losses(conversation(("user", [PDF, "x"]))) == []
    assert losses(conversation(("user", [replace(PDF, filename="a_b.pdf"), "x"]))) == [("d", "approx")]


@pytest.mark.parametrize(
    ("document", "sent"),
    [
        (PDF, {"name": "a", "format": "pdf", "source": {"bytes": "AAAA"}}),
        (
            replace(PDF, media_type="application/octet-stream", filename="t.MD"),
            {"name": "t", "format": "md", "source": {"bytes": "AAAA"}},
        ),
        (
            Document("d", text="Sky.", filename="T", context="c", citations=True),
            {
                "name": "T",
                "format": "txt",
                "source": {"text": "Sky."},
                "context": "c",
                "citations": {"enabled": True},
            },
        ),
        (
            Document("d", blocks=(Text("a"), Text(" "), Text("b"))),
            {"name": "document", "source": {"content": [{"text": "a"}, {"text": "b"}]}},
        ),
    ],
)
def test_documents(document: Document, sent: dict[str, Any]) -> None:
    """Files, texts, texts in pieces and stored files each have their source."""
    assert written(document) == [{"document": sent}]


def test_files_in_s3_are_named_only_where_they_may_be() -> None:
    """Bedrock reads them as the gateway, so a client may name one only where the backend says so."""
    document, image = Document("d", url="s3://bucket/a.docx"), Image("i", url="s3://bucket/a.png")
    request = conversation(("user", [document, image, "Read."]))

    sent = body(request, replace(ABLE, stored_files=True))["messages"][0]["content"]
    assert sent[:2] == [
        {"document": {"name": "document", "format": "docx", "source": {"s3Location": {"uri": "s3://bucket/a.docx"}}}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}},
    ]
    for block in (document, image):
        with pytest.raises(Refusal, match="storedFiles") as refused:
            write(conversation(("user", [block, "Read."])))
        assert refused.value.error.param == block.path


def test_many_documents_of_one_name_cost_no_more_each() -> None:
    """Each is numbered on from the last, also where names differ only behind what is left of them."""

    def naming(count: int) -> Callable[[], object]:
        stems = ["a", *("x" * 198 + end for end in ("aa", "ab"))]
        documents = [Document("d", text="t", filename=stems[at % 3]) for at in range(count)]

        def work() -> object:
            writer = DocumentWriter([], stored_files=False)
            return [writer.write(document) for document in documents]

        return work

    assert_linear(naming, MAX_DOCUMENTS // 8)


def test_documents_without_end_are_refused() -> None:
    """The refusal names the limit."""
    with pytest.raises(Refusal, match=f"at most {MAX_DOCUMENTS} documents"):
        write(conversation(("user", [*[PDF] * (MAX_DOCUMENTS + 1), "Read."])))


@pytest.mark.parametrize(
    "document",
    [
        Document("d", file_id="file-1"),
        Document("d", url="https://example.com/a.pdf"),
        Document("d", media_type="application/zip", data="AAAA"),
        Document("d", url="s3://bucket/noname"),
        Document("d", text=" "),
        Document("d", blocks=()),
        Document("d", blocks=(Text("a"), Image("i", media_type="image/png", data="AAAA"))),
    ],
)
@pytest.mark.parametrize("in_result", [False, True])
def test_documents_that_cannot_go(document: Document, *, in_result: bool) -> None:
    """What would have to be fetched, or has no form here, is refused with its path."""
    last: Block = replace(result("1", "x"), blocks=(document,)) if in_result else document
    answered = [last] if in_result else [result("1", "x"), last]
    with pytest.raises(Refusal) as refused:
        write(conversation(("user", "a"), ("assistant", call("1")), ("user", [*answered, "b"])))
    assert refused.value.error.param == "d"


def test_converse_document_needs_text() -> None:
    """A message of documents alone is refused with the first one's path; a neighbour's text will do."""
    with pytest.raises(Refusal) as refused:
        write(conversation(("user", [PDF, replace(PDF, path="e")])))
    assert refused.value.error.param == "d"
    assert len(body(conversation(("user", PDF), ("user", "Read.")))["messages"]) == 1


def test_documents_and_results_of_a_tool() -> None:
    """A tool may answer with documents and search results, which stand in its result."""
    found = SearchResult("s", "https://a.example", "A", (Text("Sky."),), citations=True)
    answer = replace(result("1", "x"), blocks=(Text("x"), PDF, found))
    request = conversation(("user", "a"), ("assistant", call("1")), ("user", answer))
    check_request(write(request).body, "m", PATH, stream=False)
    content = body(request)["messages"][2]["content"][0]["toolResult"]["content"]
    assert [next(iter(element)) for element in content] == ["text", "document", "searchResult"]


def test_search_results() -> None:
    """A search result keeps its source, title and texts; one without text is refused."""
    found = SearchResult("s", "https://a.example", "A", (Text("Sky."), Text(" ")))
    assert written(found) == [
        {"searchResult": {"source": "https://a.example", "title": "A", "content": [{"text": "Sky."}]}}
    ]
    with pytest.raises(Refusal) as refused:
        written(replace(found, blocks=()))
    assert refused.value.error.param == "s"


def test_audio() -> None:
    """Audio goes as it is, in formats that Converse knows; which model listens is not known here."""
    assert written(Audio("a", "wav", "AAAA")) == [{"audio": {"format": "wav", "source": {"bytes": "AAAA"}}}]
    with pytest.raises(Refusal) as refused:
        written(Audio("a", "amr", "AAAA"))
    assert refused.value.error.param == "a"


CITED = [
    (
        Citation("char", "Sky", "T", document=0, start=1, end=4),
        {
            "title": "T",
            "sourceContent": [{"text": "Sky"}],
            "location": {"documentChar": {"documentIndex": 0, "start": 1, "end": 4}},
        },
    ),
    (
        Citation("page", "Sky", document=1, start=1, end=2),
        {
            "sourceContent": [{"text": "Sky"}],
            "location": {"documentPage": {"documentIndex": 1, "start": 1, "end": 2}},
        },
    ),
    (
        Citation("block", document=0, start=0, end=1),
        {"location": {"documentChunk": {"documentIndex": 0, "start": 0, "end": 1}}},
    ),
    (
        Citation("search_result", title="T", url="https://a.example", document=2, start=0, end=1),
        {
            "title": "T",
            "source": "https://a.example",
            "location": {"searchResultLocation": {"searchResultIndex": 2, "start": 0, "end": 1}},
        },
    ),
    (
        Citation("web", title="T", url="https://a.example"),
        {"title": "T", "source": "https://a.example", "location": {"web": {"url": "https://a.example"}}},
    ),
]


@pytest.mark.parametrize(("citation", "sent"), CITED)
def test_citations_both_ways(citation: Citation, sent: dict[str, Any]) -> None:
    """The sources of an earlier answer go back as they came, and come as they went."""
    text = Text("Blue.", "t", citations=(citation,))
    request = conversation(("user", "a"), ("assistant", text), ("user", "b"))
    check_request(write(request, CLAUDE).body, "m", PATH, stream=False)
    content = body(request, CLAUDE)["messages"][1]["content"]
    assert content == [{"citationsContent": {"content": [{"text": "Blue."}], "citations": [sent]}}]
    answer = {"output": {"message": {"content": content}}, "stopReason": "end_turn"}
    response = DIALECT.read_response(msgspec.json.encode(answer), {}, UpstreamRequest(b""))
    assert response.blocks == (Text("Blue.", citations=(citation,)),)


def test_citations_that_stay_here() -> None:
    """Text of the user's, and text for other makers' models, goes without its sources, and that is listed."""
    text = Text("Blue.", "t", citations=(Citation("web", url="https://a.example"),))
    for turns, capabilities in (([("user", text)], CLAUDE), ([("user", "a"), ("assistant", text)], ABLE)):
        request = conversation(*turns, ("user", "b"))
        assert losses(request, capabilities) == [("t", "drop")]
        assert b"citation" not in write(request, capabilities).body


def test_citations_without_a_place() -> None:
    """What a half-known source does not say is not made up."""
    text = Text("Blue.", citations=(Citation("char", "Sky"), Citation("web"), Citation("page", start=-1)))
    request = conversation(("user", "a"), ("assistant", text), ("user", "b"))
    check_request(write(request, CLAUDE).body, "m", PATH, stream=False)
    [element] = body(request, CLAUDE)["messages"][1]["content"]
    assert element["citationsContent"]["citations"] == [{"sourceContent": [{"text": "Sky"}]}, {}, {}]


def test_answers_citing_nothing_known() -> None:
    """A source that points nowhere is left out; the text stays."""
    cited = {"content": [{"text": "a"}, {"text": "b"}], "citations": [{"title": "T"}, {"location": {"new": {}}}]}
    answer = {"output": {"message": {"content": [{"citationsContent": cited}]}}, "stopReason": "end_turn"}
    response = DIALECT.read_response(msgspec.json.encode(answer), {}, UpstreamRequest(b""))
    assert response.blocks == (Text("ab"),)
