"""Every golden case of every dialect pair: exact bytes both ways, judged by the vendor's own service model."""

import json
from pathlib import Path

import pytest

from tests.support import bedrock_oracle
from tests.support.golden_dialects import (
    OUTPUTS,
    PAIRS,
    ROOT,
    all_splits,
    case_folders,
    load,
    read_events,
    reader_factory,
    run,
)

FOLDERS = case_folders()
ANSWERED = [folder for folder in FOLDERS if (folder / "upstream_response.json").exists()]
STREAMED = [folder for folder in FOLDERS if (folder / "upstream_response.yaml").exists()]


def name_of(folder: Path) -> str:
    return folder.name


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
def test_request_is_one_that_the_service_model_takes(folder: Path) -> None:
    """Botocore validates each request, serializes the same JSON, and posts it to the same path."""
    case = load(folder)
    produced = run(case).files
    if "upstream_request.json" in produced:
        stream = json.loads(case.client_request).get("stream", False)
        path = json.loads(produced["outcome.json"])["path"]
        bedrock_oracle.check_request(produced["upstream_request.json"], case.upstream_model, path, stream=stream)
    else:
        assert json.loads(produced["outcome.json"]) == {"status": 400}


@pytest.mark.parametrize("folder", ANSWERED, ids=name_of)
def test_answer_is_one_that_the_service_model_gives(folder: Path) -> None:
    """A fixture that Bedrock could not send proves nothing; those that mean to be strange say so."""
    case = load(folder)
    assert case.upstream_response is not None
    if "strange" in case.settings:
        with pytest.raises(AssertionError):
            bedrock_oracle.check_response(case.upstream_response)
    else:
        bedrock_oracle.check_response(case.upstream_response)


@pytest.mark.parametrize("folder", [f for f in STREAMED if "strange" not in load(f).settings], ids=name_of)
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
