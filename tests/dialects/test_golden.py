"""Every golden case of every dialect pair: exact bytes both ways, judged by the vendors' own types."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import anthropic_oracle, bedrock_oracle, gemini_oracle, openai_oracle
from tests.support.golden_dialects import (
    OUTPUTS,
    PAIRS,
    ROOT,
    Case,
    all_splits,
    case_folders,
    load,
    read_events,
    reader_factory,
    run,
)

FOLDERS = case_folders()
ANSWERED = [folder for folder in FOLDERS if (folder / "upstream_response.json").exists()]
STREAMED = [f for f in FOLDERS if (f / "upstream_response.yaml").exists() or (f / "upstream_response.sse").exists()]


def name_of(folder: Path) -> str:
    return f"{folder.parent.name}-{folder.name}"


def of(dialect: str, folders: list[Path]) -> list[Path]:
    """The folders whose upstream speaks a dialect."""
    return [folder for folder in folders if load(folder).host.dialect == dialect]


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_case(folder: Path, *, update_golden: bool) -> None:
    """The case gives the files beside it, byte for byte, and no others."""
    produced = run(load(folder)).files
    if update_golden:
        for name in OUTPUTS:
            (folder / name).unlink(missing_ok=True)
        for name, content in produced.items():
            (folder / name).write_bytes(content)
    stored = {name: (folder / name).read_bytes() for name in OUTPUTS if (folder / name).exists()}
    assert produced == stored


def test_every_pair_has_cases() -> None:
    """A dialect pair without a folder of cases, or a folder without a pair, is an oversight."""
    assert {path.name for path in ROOT.iterdir()} == set(PAIRS)


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_request_is_one_that_the_vendor_takes(folder: Path) -> None:
    """The vendor's own types or service model know every member of each request, and what they demand is there."""
    case = load(folder)
    produced = run(case).files
    outcome = json.loads(produced["outcome.json"])
    if "upstream_request.json" in produced:
        judge_request(case, produced["upstream_request.json"], outcome["path"])
    else:
        assert outcome == {"status": 400}


def judge_request(case: Case, body: bytes, path: str) -> None:
    """Fails for a request that the case's upstream would refuse."""
    stream = json.loads(case.client_request).get("stream", False)
    match case.host.dialect:
        case "bedrock":
            bedrock_oracle.check_request(body, case.upstream_model, path, stream=stream)
        case "openai":
            openai_oracle.check_request(body)
        case "gemini":
            gemini_oracle.check_request(body, vertex=case.schemas[1] == "GCPVertexAI")
        case "anthropic":
            anthropic_oracle.check_request(undressed(body, case.upstream_model))
        case other:
            pytest.fail(f"nobody judges requests for {other}")


def undressed(body: bytes, model: str) -> bytes:
    """The Messages body inside that of a cloud, which names version and betas in it and the model in the path."""
    members: dict[str, Any] = json.loads(body)
    for name in ("anthropic_version", "anthropic_beta"):
        members.pop(name, None)
    return json.dumps({"model": model, **members}).encode()


@pytest.mark.parametrize("folder", ANSWERED, ids=name_of)
def test_answer_is_one_that_the_vendor_gives(folder: Path) -> None:
    """A fixture that the upstream could not send proves nothing; those that mean to be strange say so."""
    case = load(folder)
    assert case.upstream_response is not None
    if "strange" in case.settings:
        with pytest.raises((AssertionError, ValueError)):
            judge_answer(case, case.upstream_response)
    elif case.status == 200:
        judge_answer(case, case.upstream_response)


def judge_answer(case: Case, body: bytes) -> None:
    """Fails for an answer that the case's upstream would not give."""
    match case.host.dialect:
        case "bedrock":
            bedrock_oracle.check_response(body)
        case "openai":
            openai_oracle.check_response(body)
        case "gemini":
            gemini_oracle.check_answer(body)
        case "anthropic":
            anthropic_oracle.check_message(body)
        case other:
            pytest.fail(f"nobody judges answers of {other}")


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_client_gets_what_its_sdk_takes(folder: Path) -> None:
    """Answers, errors and streams are valid by the strict models of the client's own SDK."""
    case = load(folder)
    produced = run(case).files
    anthropic = case.schemas[0] == "Anthropic"
    if (body := produced.get("client_response.json")) is not None:
        status = json.loads(produced["outcome.json"])["status"]
        if anthropic:
            (anthropic_oracle.check_message if status == 200 else anthropic_oracle.check_error)(body)
        elif status == 200:
            openai_oracle.check_response(body)
        else:
            assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    if (stream := produced.get("client_response.sse")) is not None:
        (anthropic_oracle.check_stream if anthropic else openai_oracle.check_stream)(stream)


@pytest.mark.parametrize(
    "folder", [f for f in of("bedrock", STREAMED) if "strange" not in load(f).settings], ids=name_of
)
def test_stream_is_one_that_botocore_reads(folder: Path) -> None:
    """The frames of a fixture are what botocore's own decoder and parser take; damaged ones are what it refuses."""
    case = load(folder)
    assert case.frames is not None
    if case.damaged:
        with pytest.raises(bedrock_oracle.ChecksumMismatch):
            bedrock_oracle.check_stream(case.frames)
    else:
        assert len(bedrock_oracle.check_stream(case.frames)) == case.whole_frames


@pytest.mark.parametrize("folder", STREAMED, ids=name_of)
def test_stream_is_the_same_at_every_split(folder: Path) -> None:
    """A stream gives the same events byte by byte and cut in two at every place."""
    case = load(folder)
    assert case.frames is not None
    reader = reader_factory(case)
    whole = read_events(reader(), [case.frames])
    for chunks in all_splits(case.frames):
        assert read_events(reader(), chunks) == whole, f"split as {[len(chunk) for chunk in chunks][:2]}"
