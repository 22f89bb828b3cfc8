import gzip
import json
import zlib

import pytest

from extproc.config.errors import ConfigError
from extproc.config.loader import load
from extproc.config.schema import Config, HeaderMatch, Match
from tests.support.routing_configs import HAND_WRITTEN

SMALL = b'{"version":2,"revision":7,"rules":[{"refusal":"soon"}]}'


def finding_of(data: bytes) -> str:
    """The one finding of a file that must be refused."""
    with pytest.raises(ConfigError) as refused:
        load(data)
    (finding,) = refused.value.findings
    return str(finding)


def test_the_hand_written_file_of_the_design_loads_as_it_reads() -> None:
    """The original format keeps its meaning: names, weights and their default, schemas."""
    config = load(HAND_WRITTEN)

    assert config.input_schema is not None
    assert config.input_schema.schema_ == "OpenAI"
    assert (config.backend_routing_header_key, config.model_name_header_key) == ("x-backend-name", "x-model-name")
    assert [
        [(b.name, b.weight, b.output_schema.schema_) for b in rule.backends if b.output_schema] for rule in config.rules
    ] == [[("kserve", 1, "OpenAI"), ("awsbedrock", 10, "AWSBedrock")], [("openai", 1, "OpenAI")]]
    assert config.rules[0].alternatives == (
        Match(headers=(HeaderMatch(name="x-model-name", value="llama3.3333", type="Exact"),)),
    )


@pytest.mark.parametrize(
    "data",
    [
        SMALL,
        b"\xef\xbb\xbf" + SMALL,
        b" \n" + SMALL + b"\n",
        b"# a comment\nversion: 2\nrevision: 7\nrules:\n- refusal: soon\n",
        b"---\nversion: 2\r\nrevision: 0x7\r\nrules: [{'refusal': \"soon\"}]\r\n...\r\n",
        b"{version: 2, revision: 7, rules: [{refusal: soon,},],}",
        b'{"version": 2, # braces do not make it JSON\n "revision": 7, "rules": [{"refusal": "soon"}]}',
        gzip.compress(SMALL),
        zlib.compress(b"revision: +7\nrules: [{refusal: soon}]", wbits=31),
        b'{"rules": [{"refusal": "s\\u006fon"}], "revision": 7}',
    ],
    ids=["json", "bom", "space", "yaml", "crlf", "flow", "flow-with-comment", "gzip", "gzip-yaml", "escapes"],
)
def test_the_content_decides_the_format(data: bytes) -> None:
    """JSON, YAML of any style, and gzip of either are the same configuration."""
    assert load(data) == Config.model_validate(json.loads(SMALL))


def test_an_empty_mapping_is_a_configuration() -> None:
    """A file without rules serves nothing, which is not an error."""
    assert load(b"{}") == Config()


def test_the_version_before_is_still_read() -> None:
    """The processor reads the version before its own."""
    assert load(b"version: 1").version == 1


def test_header_names_are_lower_cased() -> None:
    """A header name has no case, whatever the file says."""
    config = load(b"modelNameHeaderKey: X-Model\nrules: [{headers: [{name: X-Team, value: A}]}]")

    assert config.model_name_header_key == "x-model"
    assert config.rules[0].alternatives[0].headers[0].name == "x-team"


def test_only_the_documented_names_are_read() -> None:
    """The Python names of the fields are not names of the file."""
    assert finding_of(b"path_prefix: /a") == 'path_prefix: unknown field (did you mean "pathPrefix"?)'


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (gzip.compress(SMALL)[:-9], "the gzip data is cut off"),
        (gzip.compress(SMALL) + b"x", "there are bytes after the end of the gzip data"),
        (b"\x1f\x8bnonsense", "the gzip data is damaged"),
        (gzip.compress(SMALL)[:-5] + b"\0\0\0\0\0", "the gzip data is damaged"),
        (zlib.compress(bytes(65 << 20), wbits=31), "the gzip data unpacks to more than 64 MiB"),
        (b" " * ((64 << 20) + 1), "the file is larger than 64 MiB"),
        (gzip.compress(gzip.compress(SMALL)), "line 1: not UTF-8 text: byte 1 is 0x8b"),
        (b"", "the file is empty; an empty configuration is {}"),
        (gzip.compress(b""), "the file is empty; an empty configuration is {}"),
        (b"\xef\xbb\xbf \n", "the file is empty; an empty configuration is {}"),
        (b"revision: 1\nrules: \xff", "line 2: not UTF-8 text: byte 19 is 0xff"),
        ("rules: []".encode("utf-16"), "line 1: not UTF-8 text: byte 0 is 0xff"),
    ],
    ids=range(12),
)
def test_damaged_bytes_are_named(data: bytes, finding: str) -> None:
    """What is not a text at all is refused with what is wrong with its bytes."""
    assert finding_of(data) == finding


@pytest.mark.parametrize("cut", range(1, len(SMALL)))
def test_a_truncated_file_is_refused_with_a_line(cut: int) -> None:
    """A generated file that was cut anywhere is never taken for a smaller configuration."""
    assert finding_of(SMALL[:cut]).startswith("line 1: not valid JSON: ")
