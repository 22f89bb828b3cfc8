"""Every golden case of every dialect pair: exact bytes both ways, judged by the vendors' own types.

A case has one test for its bytes, and one for each place at which its stream may be cut; the judges take all cases of a
pair at once (``every_case`` names those that fail).
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support import anthropic_oracle, bedrock_oracle, gemini_oracle, openai_oracle
from tests.support.every_case import every_case
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

each_pair = pytest.mark.parametrize("pair", sorted(PAIRS))
loaded = cache(load)


@cache
def produced_by(folder: Path) -> Mapping[str, bytes]:
    """The files that the case gives, by name."""
    return run(loaded(folder)).files


def name_of(folder: Path) -> str:
    return f"{folder.parent.name}-{folder.name}"


def check_all(folders: list[Path], pair: str, check: Callable[[Case], None]) -> None:
    """Each folder of the pair, by its name."""
    with every_case() as case:
        for folder in folders:
            if folder.parent.name == pair:
                with case(folder.name):
                    check(loaded(folder))


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_case(folder: Path, *, update_golden: bool) -> None:
    """The case gives the files beside it, byte for byte, and no others."""
    produced = produced_by(folder)
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


@each_pair
def test_request_is_one_that_the_vendor_takes(pair: str) -> None:
    """The vendor's own types or service model know every member of each request, and what they demand is there."""
    check_all(FOLDERS, pair, check_request)


def check_request(case: Case) -> None:
    produced = produced_by(case.folder)
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


@each_pair
def test_answer_is_one_that_the_vendor_gives(pair: str) -> None:
    """A fixture that the upstream could not send proves nothing; those that mean to be strange say so."""
    check_all(ANSWERED, pair, check_answer)


def check_answer(case: Case) -> None:
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


@each_pair
def test_client_gets_what_its_sdk_takes(pair: str) -> None:
    """Answers, errors and streams are valid by the strict models of the client's own SDK."""
    check_all(FOLDERS, pair, check_told)


def check_told(case: Case) -> None:
    produced = produced_by(case.folder)
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


@pytest.mark.parametrize("pair", [pair for pair, schemas in PAIRS.items() if schemas[1] == "AWSBedrock"])
def test_stream_is_one_that_botocore_reads(pair: str) -> None:
    """The frames of a fixture are what botocore's own decoder and parser take; damaged ones are what it refuses."""
    check_all(STREAMED, pair, check_frames)


def check_frames(case: Case) -> None:
    assert case.frames is not None
    if "strange" in case.settings:
        return
    if case.damaged:
        with pytest.raises(bedrock_oracle.ChecksumMismatch):
            bedrock_oracle.check_stream(case.frames)
    else:
        assert len(bedrock_oracle.check_stream(case.frames)) == case.whole_frames


@pytest.mark.parametrize("folder", STREAMED, ids=name_of)
def test_stream_is_the_same_at_every_split(folder: Path) -> None:
    """A stream gives the same events byte by byte and cut in two at every place."""
    case = loaded(folder)
    assert case.frames is not None
    reader = reader_factory(case)
    whole = read_events(reader(), [case.frames])
    for chunks in all_splits(case.frames):
        assert read_events(reader(), chunks) == whole, f"split as {[len(chunk) for chunk in chunks][:2]}"
