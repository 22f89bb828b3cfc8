import json
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic.fields import FieldInfo

from extproc.config import document, loader, patterns, yaml_reader
from extproc.config.auth import (
    ApiKeyAuth,
    Auth,
    AwsAuth,
    AzureAuth,
    ClientAuth,
    ClientKeys,
    ClientTokens,
    GcpAuth,
    NoAuth,
    PassthroughAuth,
)
from extproc.config.errors import ConfigError
from extproc.config.loader import load
from extproc.config.names import CLIENT_DIALECTS, PLATFORMS
from extproc.config.schema import (
    MAX_INTEGER,
    Backend,
    CapabilityOverrides,
    Config,
    Defaults,
    GoogleCloud,
    HeaderMatch,
    InputSchema,
    Match,
    OutputSchema,
    Rule,
    WeightedBackend,
)
from extproc.config.shape import Shape
from extproc.routing.conditions import MAX_MODEL_CHARS
from tests.support.routing_configs import HAND_WRITTEN

PAGE = (Path(__file__).parents[2] / "docs" / "config.md").read_text()

SECTIONS: dict[type[Shape], str] = {
    Config: "The whole file",
    Backend: "`backends[]`",
    Rule: "`rules[]`",
    Match: "`rules[].matches[]`",
    HeaderMatch: "`rules[].matches[].headers[]`",
    WeightedBackend: "`rules[].backends[]`",
    InputSchema: "`inputSchema`",
    OutputSchema: "`outputSchema`",
    CapabilityOverrides: "`backends[].capabilities`",
    Defaults: "`backends[].defaults`",
    GoogleCloud: "`backends[].gcp`",
    Auth: "`backends[].auth`",
    ApiKeyAuth: "`backends[].auth.apiKey`",
    AwsAuth: "`backends[].auth.aws`",
    GcpAuth: "`backends[].auth.gcp`",
    AzureAuth: "`backends[].auth.azure`",
    PassthroughAuth: "`backends[].auth.passthrough`",
    NoAuth: "`backends[].auth.none`",
    ClientAuth: "`rules[].clientAuth`",
    ClientKeys: "`rules[].clientAuth.apiKeys`",
    ClientTokens: "`rules[].clientAuth.jwt`",
}


def rows(shape: type[Shape]) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    section = PAGE.split(f"\n## {SECTIONS[shape]}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def default(field: FieldInfo) -> str:
    """What the page says where a field is left out."""
    if field.is_required():
        return "required"
    return "" if field.default is None else f"`{json.dumps(field.default)}`"


def test_every_shape_has_its_section() -> None:
    """A part that is new in the schema needs a section of the page."""
    assert set(Shape.__subclasses__()) == set(SECTIONS)


@pytest.mark.parametrize("shape", SECTIONS, ids=lambda shape: shape.__name__)
def test_every_field_stands_in_the_page_with_its_default(shape: type[Shape]) -> None:
    """The page has the fields of the schema, in its order, each with whether it is required or what it is else."""
    expected = [(f"`{field.alias or name}`", default(field)) for name, field in shape.model_fields.items()]

    assert [(row[0], row[2]) for row in rows(shape)] == expected


@pytest.mark.parametrize("shape", SECTIONS, ids=lambda shape: shape.__name__)
def test_every_limit_stands_in_the_page(shape: type[Shape]) -> None:
    """The numbers that bound a field are in its row, those of header names below the first table."""
    fields = shape.model_json_schema()["properties"]
    for row in rows(shape):
        bounds = re.findall(r'"(?:maximum|maxLength|maxItems)": ([0-9]+)', json.dumps(fields[row[0].strip("`")]))
        shown = {str(MAX_INTEGER): "2^53-1", "256": "header name" if row[1] == "header name" else "256"}

        assert [bound for bound in bounds if shown.get(bound, bound) not in " ".join(row)] == []


@pytest.mark.parametrize("shape", SECTIONS, ids=lambda shape: shape.__name__)
def test_every_word_stands_in_the_page(shape: type[Shape]) -> None:
    """The words that a field takes are in its row, and no others."""
    for row, field in zip(rows(shape), shape.model_fields.values(), strict=True):
        literals = [word for part in (field.annotation, *get_args(field.annotation)) for word in get_args(part)]
        words = [word for word in literals if isinstance(word, str)]
        if field.alias == "schema":
            words = list(CLIENT_DIALECTS if shape is InputSchema else PLATFORMS)

        assert re.findall(r"`([^`]+)`", row[1]) == words


def test_the_limits_of_the_file_stand_in_the_page() -> None:
    """The numbers of the text are those of the code."""
    numbers = (
        f"at most {document.MAX_BYTES >> 20} MiB unpacked",
        f"{yaml_reader.MAX_ALIASED:,} values in all",
        f"{yaml_reader.MAX_VALUES:,} values and",
        f"{yaml_reader.MAX_DEPTH} levels",
        f"Above {loader.PACK_ABOVE >> 10} KiB",
        f"more than {patterns.MAX_PATTERN_BYTES >> 20} MiB is refused",
        f"more than {MAX_MODEL_CHARS} characters",
        "at most 256 characters",
    )
    text = " ".join(PAGE.split())

    assert [number for number in numbers if number not in text] == []


def test_the_examples_of_the_page_are_real() -> None:
    """The file is the one that the tests load, and the finding is what its damaged copy gives."""
    assert f"```yaml\n{HAND_WRITTEN.decode()}```" in PAGE
    with pytest.raises(ConfigError) as refused:
        load(HAND_WRITTEN.replace(b"AWSBedrock", b"bedrock"))

    assert f"```\n{refused.value}\n```" in PAGE
